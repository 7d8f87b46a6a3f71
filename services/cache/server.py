"""The asyncio shell: sockets, the clock, and bounds on what clients may hold."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from typing import cast

from services.cache.commands import ProcessFacts, execute
from services.cache.protocol import Command, Quit, Refusal
from services.cache.reader import CommandReader
from services.cache.store import ItemStore

REFUSED = b"SERVER_ERROR too many open connections\r\n"
WRITE_HIGH_WATER = 256 * 1024
"""Bytes of unread answers at which a connection's commands wait."""


class Clock:
    """Unix time that never jumps: read once from the wall, carried on by the monotonic clock."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        return self._offset + time.monotonic()


class CacheServer:
    """One store and its connections, of which at most `connection_limit` are served at a time."""

    _listener: asyncio.Server

    def __init__(
        self, store: ItemStore, *, connection_limit: int, idle_timeout_s: float, stall_timeout_s: float
    ) -> None:
        self.store = store
        self.clock = Clock()
        self.connections: set[Connection] = set()
        self._connection_limit = connection_limit
        self._idle_timeout_s = idle_timeout_s
        self._stall_timeout_s = stall_timeout_s
        self._started_at = self.clock.now()
        self._total_connections = 0
        self._refused_connections = 0

    async def listen(self, host: str, port: int) -> None:
        """Opens the port; raises OSError where it may not."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Connection(self), host, port, backlog=1024)

    async def run(self, stop: asyncio.Event) -> None:
        """Ends idle and stalled connections, looking once a second, until `stop`; then closes what is open.

        The protocol has no word of farewell, so open connections simply end.
        """
        try:
            while not stop.is_set():
                try:
                    async with asyncio.timeout(1.0):
                        await stop.wait()
                except TimeoutError:
                    self._end_overdue()
        finally:
            self._listener.close()
            for connection in list(self.connections):
                connection.abort()

    def admit(self, connection: Connection) -> bool:
        """Counts a new connection in, or refuses it where the house is full."""
        self._total_connections += 1
        if len(self.connections) >= self._connection_limit:
            self._refused_connections += 1
            return False
        self.connections.add(connection)
        return True

    def facts(self) -> ProcessFacts:
        return ProcessFacts(
            pid=os.getpid(),
            uptime_s=int(self.clock.now() - self._started_at),
            connections=len(self.connections),
            total_connections=self._total_connections,
            refused_connections=self._refused_connections,
            connection_limit=self._connection_limit,
        )

    def _end_overdue(self) -> None:
        now = self.clock.now()
        for connection in list(self.connections):
            limit_s = self._stall_timeout_s if connection.busy else self._idle_timeout_s
            if limit_s and now - connection.active_at > limit_s:
                connection.abort()


class Connection(asyncio.Protocol):
    """One client: bytes to commands to replies, in order, no faster than the client reads."""

    _transport: asyncio.Transport

    def __init__(self, server: CacheServer) -> None:
        self._server = server
        self._reader = CommandReader(server.store.item_limit)
        self._replies: Iterator[bytes] = iter(())
        self._may_write = True
        self._quitting = False
        self._client_done = False
        self.active_at = server.clock.now()

    @property
    def busy(self) -> bool:
        """Whether a command is half sent or its answer half read."""
        return self._reader.mid_command or not self._may_write or self._transport.is_closing()

    def abort(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)  # uvloop's own class does not derive from it
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        if not self._server.admit(self):
            transport.write(REFUSED)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        self.active_at = self._server.clock.now()
        self._reader.feed(data)
        self._answer()

    def pause_writing(self) -> None:
        self._may_write = False
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._may_write = True
        self.active_at = self._server.clock.now()
        self._answer()
        if self._may_write and not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        """A client that has said all it will say is still owed its answers."""
        self._client_done = True
        self._answer()
        return True

    def _answer(self) -> None:
        """Writes replies as far as the client reads them; `resume_writing` carries on with what is left."""
        while self._may_write:
            piece = next(self._replies, None)
            if piece is not None:
                self._transport.write(piece)
                continue
            command = None if self._quitting else next(self._reader.commands(), None)
            if command is None:
                break
            self._begin(command)
        if self._may_write and (self._quitting or self._client_done):
            self._transport.close()

    def _begin(self, command: Command) -> None:
        server = self._server
        self._replies = execute(command, server.store, server.clock.now(), server.facts())
        self._quitting = isinstance(command, Quit) or (isinstance(command, Refusal) and command.close)
