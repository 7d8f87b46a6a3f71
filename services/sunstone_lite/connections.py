"""Bounds on connections: aiohttp times requests and bodies, not clients that never finish the head of a request."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

IDLE_S = 60.0
LOOK_EVERY_S = 1.0
CONNECTIONS_MAX = 1000

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Usher:
    """Closes connections that carry no request for too long, and the longest idle ones when there are too many."""

    def __init__(self, idle_s: float = IDLE_S, connections_max: int = CONNECTIONS_MAX) -> None:
        """`idle_s` also bounds keep-alive; `connections_max` holds per process."""
        self._idle_s = idle_s
        self._connections_max = connections_max
        self._busy: set[web.RequestHandler] = set()
        self._idle_since: dict[web.RequestHandler, float] = {}

    @property
    def busy(self) -> int:
        """How many connections carry a request."""
        return len(self._busy)

    async def attend(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A middleware's work: the connection is busy while its request is."""
        connection = request.protocol
        self._busy.add(connection)
        try:
            return await handler(request)
        finally:
            self._busy.discard(connection)
            self._idle_since[connection] = time.monotonic()

    async def run(self, server: web.Server) -> None:
        """Look after the server's connections until cancelled."""
        while True:
            self.close_idle(server.connections, time.monotonic())
            await asyncio.sleep(LOOK_EVERY_S)

    def close_idle(self, connections: Iterable[web.RequestHandler], now: float) -> None:
        """Close what is overdue at `now` (monotonic seconds)."""
        # built anew each time, so that closed connections are forgotten
        self._idle_since = {each: self._idle_since.get(each, now) for each in connections if each not in self._busy}
        idle = sorted(self._idle_since, key=self._idle_since.__getitem__)
        too_many = len(idle) + len(self._busy) - self._connections_max
        for place, each in enumerate(idle):
            if place < too_many or now - self._idle_since[each] >= self._idle_s:
                each.force_close()
