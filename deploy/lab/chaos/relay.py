"""Links that can be cut: a TCP relay for each server's connection to each other one.

A cut link loses no bytes, as TCP does not: they wait in both systems' buffers, and flow on when the link is mended, if the
servers have not given the connection up by then. Cutting is silent; nobody sees a closed connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

import yaml

from deploy.lab.chaos.network import Way
from deploy.lab.topology import Process
from services.common.settings import Address

CHUNK = 64 * 1024
CHUNKS_ON_THE_WAY = 64
Pump = Coroutine[None, None, None]


class Relay:
    """One direction: what a server sends to another one. It listens from `open` to `close`."""

    def __init__(self, to: Address) -> None:
        self._to = to
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._delay_s = 0.0
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def open(self) -> Address:
        """Where it listens."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return Address(host, port)

    def cut(self) -> None:
        self._flowing.clear()

    def mend(self) -> None:
        self._delay_s = 0.0
        self._flowing.set()

    def delay(self, seconds: float) -> None:
        """Everything arrives that much later."""
        self._delay_s = seconds

    @property
    def whole(self) -> bool:
        return self._flowing.is_set() and not self._delay_s

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(OSError, asyncio.CancelledError):
                await self._connect(reader, writer)
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        far_reader, far_writer = await asyncio.open_connection(*self._to)
        try:
            await _until_first_ends(*self._pumps(reader, far_writer), *self._pumps(far_reader, writer))
        finally:
            far_writer.transport.abort()

    def _pumps(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[Pump, Pump]:
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_ON_THE_WAY)
        return self._take(reader, on_the_way), self._give(on_the_way, writer)

    async def _take(self, reader: asyncio.StreamReader, on_the_way: asyncio.Queue[tuple[float, bytes]]) -> None:
        now = asyncio.get_running_loop().time
        while chunk := await reader.read(CHUNK):
            await on_the_way.put((now() + self._delay_s, chunk))

    async def _give(self, on_the_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        now = asyncio.get_running_loop().time
        while True:
            due, chunk = await on_the_way.get()
            if due > now():
                await asyncio.sleep(due - now())
            await self._flowing.wait()
            writer.write(chunk)
            await writer.drain()


async def _until_first_ends(*pumps: Pump) -> None:
    tasks = [asyncio.create_task(pump) for pump in pumps]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Relays:
    """All links between the servers of a cluster (`network.Network`)."""

    def __init__(self) -> None:
        self._relays: dict[Way, Relay] = {}
        self._addresses: dict[Way, Address] = {}

    async def open(self, peers: Sequence[Address]) -> None:
        for source in range(len(peers)):
            for target, address in enumerate(peers):
                if source != target:
                    relay = self._relays[source, target] = Relay(address)
                    self._addresses[source, target] = await relay.open()

    def address(self, source: int, target: int) -> Address:
        """Where the source finds the target."""
        return self._addresses[source, target]

    def place(self, process: Process, server: int) -> Process:
        (config,) = process.files
        settings = yaml.safe_load(config.text)
        for member in settings["cluster"]["servers"]:
            if member["id"] != server:
                member["peer"] = str(self.address(server, member["id"]))
        return replace(process, files=(replace(config, text=yaml.safe_dump(settings, sort_keys=False)),))

    async def cut(self, ways: Iterable[Way]) -> None:
        for way in ways:
            self._relays[way].cut()

    async def delay(self, ways: Iterable[Way], seconds: float) -> None:
        for way in ways:
            self._relays[way].delay(seconds)

    async def mend(self) -> None:
        for relay in self._relays.values():
            relay.mend()

    @property
    def whole(self) -> bool:
        return all(relay.whole for relay in self._relays.values())

    async def close(self) -> None:
        for relay in self._relays.values():
            await relay.close()
