"""One small web UI, a process of its own: a page that says who served it, /healthz, and a socket that makes it misbehave.

    python -m deploy.lab.compare.backend NAME HOST:PORT PROBE_PORT CONTROL_SOCKET SERVICE_SECONDS

The control socket takes a condition's name on a line ("slow") and answers "ok" once it is so, or "probes" and answers how
many health checks have come. /healthz goes the way of every page, through the same process and the same queue: what users
suffer, the check sees. It only has a port of its own, so that one who looks at packets can tell probes from users.
"""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from deploy.lab.compare.faults import Condition
from deploy.lab.compare.packets import drop_all, drop_none

BACKLOG = 1024
SLOW_S = 2.0
BUSY_S = 0.25
REQUEST_LIMIT = 1 << 16
LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


class Ui:
    """The server: its condition, its connections, its two listening sockets."""

    def __init__(self, name: str, addresses: Sequence[tuple[str, int]], service_s: float) -> None:
        self.condition = Condition.WELL
        self.probes = 0
        self._name = name
        self._addresses = addresses
        self._service_s = service_s
        self._one_at_a_time = asyncio.Lock()
        self._listeners: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self.connections: set[Connection] = set()
        self.answering: set[asyncio.Task[None]] = set()

    def become(self, condition: Condition) -> None:
        """Takes effect before it returns."""
        if self.condition is Condition.SILENT:
            # A closed socket keeps its filter, and what the balancer still has for it would be sent again for minutes.
            for sock in self._sockets():
                drop_none(sock)
            self._hang_up()
        self.condition = condition
        if condition is Condition.REFUSES:
            self.close()
            return
        self._listen()
        if condition is Condition.SILENT:
            for sock in self._sockets():
                drop_all(sock)

    def close(self) -> None:
        """Listens no more and hangs up."""
        for task in self._accepting:
            task.cancel()
        for listener in self._listeners:
            listener.close()
        self._accepting.clear()
        self._listeners.clear()
        self._hang_up()

    async def answer(self, path: bytes) -> bytes:
        """One response, when it is time for it."""
        if path == b"/healthz":
            self.probes += 1
        match self.condition:
            case Condition.ERRORS:
                return _response(b"500 Internal Server Error", self._name)
            case Condition.BUSY:
                async with self._one_at_a_time:
                    await asyncio.sleep(BUSY_S)
            case Condition.SLOW:
                await asyncio.sleep(SLOW_S)
            case _:
                await asyncio.sleep(self._service_s)
        return _response(b"200 OK", self._name)

    def _sockets(self) -> list[socket.socket]:
        return [*self._listeners, *(connection.socket for connection in self.connections)]

    def _listen(self) -> None:
        if self._listeners:
            return
        for address in self._addresses:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setblocking(False)
            listener.bind(address)
            listener.listen(BACKLOG)
            self._listeners.append(listener)
            self._accepting.append(asyncio.create_task(self._accept(listener)))

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            taken, _ = await loop.sock_accept(listener)
            await loop.connect_accepted_socket(lambda: Connection(self), taken)

    def _hang_up(self) -> None:
        for connection in tuple(self.connections):
            connection.abort()


class Connection(asyncio.Protocol):
    """One connection of a balancer; requests one after another."""

    def __init__(self, ui: Ui) -> None:
        self._ui = ui
        self._received = b""
        self._last = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ui.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ui.connections.discard(self)

    @property
    def socket(self) -> socket.socket:
        """As the transport has it: for options only."""
        return cast(socket.socket, self._transport.get_extra_info("socket"))

    def abort(self) -> None:
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > REQUEST_LIMIT:
            self.abort()
            return
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        self._received = b""
        self._last = b"\r\nconnection: close" in head.lower()
        words = head.split(b" ", 2)
        task = asyncio.create_task(self._answer(words[1] if len(words) > 1 else b"/"))
        self._ui.answering.add(task)
        task.add_done_callback(self._ui.answering.discard)

    async def _answer(self, path: bytes) -> None:
        response = await self._ui.answer(path)
        if self._ui.condition is not Condition.SILENT and not self._transport.is_closing():
            self._transport.write(response)
            if self._last:
                self._transport.close()


def _response(status: bytes, name: str) -> bytes:
    body = f"<h1>{name}</h1>\n".encode()
    return (
        b"HTTP/1.1 %b\r\nContent-Type: text/html\r\nContent-Length: %d\r\nX-Served-By: %b\r\n\r\n%b"
        % (status, len(body), name.encode(), body)
    )  # fmt: skip


async def serve(name: str, address: str, probe_port: int, control: Path, service_s: float) -> None:
    """Runs until SIGTERM."""
    host, _, port = address.rpartition(":")
    ui = Ui(name, ((host, int(port)), (host, probe_port)), service_s)
    ui.become(Condition.WELL)

    async def obey(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        word = (await reader.readline()).decode().strip()
        if word == "probes":
            writer.write(f"{ui.probes}\n".encode())
        else:
            ui.become(Condition(word))
            writer.write(b"ok\n")
        await writer.drain()
        writer.close()

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with await asyncio.start_unix_server(obey, str(control)):
        await stop.wait()
    ui.close()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]), float(sys.argv[5])))
