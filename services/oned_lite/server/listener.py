"""The listening socket: accepts as many connections as there is room for, the rest wait in the kernel's queue."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial

from services.common.settings import Address

from .http import Application, Budget, HttpConnection, HttpLimits

BACKLOG = 1024
SWEEP_S = 0.25
ACCEPT_PAUSE_S = 0.1
"""After a failed accept (out of file descriptors), which would fail again at once."""


def open_socket(address: Address) -> socket.socket:
    """Bound and listening. OSError where the port is taken."""
    family, kind, protocol, _, where = socket.getaddrinfo(
        address.host if address.host != "*" else None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(where)
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


class HttpServer:
    """Serves an application on a listening socket. One task runs it."""

    def __init__(self, listening: socket.socket, limits: HttpLimits) -> None:
        self._listening = listening
        self._limits = limits
        self._bodies = Budget(limits.bodies_total)
        self._connections: set[HttpConnection] = set()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def run(self, application: Application) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sweep())
            tasks.create_task(self._accept(application))

    async def stop(self, grace_s: float) -> None:
        """Lets the requests under way come to their answers, no longer than `grace_s`; accepts no others."""
        self._listening.close()
        loop = asyncio.get_running_loop()
        until = loop.time() + grace_s
        while self._connections and loop.time() < until:
            for connection in tuple(self._connections):
                connection.close_when_idle()
            await asyncio.sleep(0.01)
        for connection in tuple(self._connections):
            connection.abort()

    async def _accept(self, application: Application) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._wait_for_room()
            try:
                client, _ = await loop.sock_accept(self._listening)
            except OSError:
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(partial(self._connection, application), client)

    async def _wait_for_room(self) -> None:
        """At the bound, a connection that is only kept open for later gives way."""
        while len(self._connections) >= self._limits.connections:
            idle = next((one for one in self._connections if one.idle), None)
            if idle is not None:
                idle.abort()
            self._room.clear()
            try:
                async with asyncio.timeout(ACCEPT_PAUSE_S):
                    await self._room.wait()
            except TimeoutError:
                continue  # one may have become idle meanwhile

    def _connection(self, application: Application) -> HttpConnection:
        ended: Callable[[], None] = lambda: self._ended(connection)  # noqa: E731
        connection = HttpConnection(application, self._limits, self._bodies, ended)
        self._connections.add(connection)
        return connection

    def _ended(self, connection: HttpConnection) -> None:
        self._connections.discard(connection)
        self._room.set()

    async def _sweep(self) -> None:
        """Ends connections that make no progress, and the slowest readers where too many answers wait."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_S)
            now = loop.time()
            for connection in [one for one in self._connections if one.overdue(now)]:
                connection.abort()
            waiting = sorted((one for one in self._connections if one.unsent), key=lambda one: one.unsent)
            total = sum(one.unsent for one in waiting)
            while total > self._limits.answers_total:
                slowest = waiting.pop()
                total -= slowest.unsent
                slowest.abort()
