"""One small web UI, a process of its own: a page that says who served it, /healthz, and a socket that makes it misbehave.

    python -m deploy.lab.compare.backend NAME HOST:PORT CONTROL_SOCKET SERVICE_SECONDS

The control socket takes a condition's name on a line ("slow") and answers "ok" once it is so, or "probes" and answers how
many health checks have come. /healthz goes the way of every page: what users suffer, the check sees.
"""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
from pathlib import Path

from deploy.lab.compare.faults import Condition

BACKLOG = 1024
SLOW_S = 2.0
BUSY_S = 0.25
REQUEST_LIMIT = 1 << 16
LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


class Ui:
    """The server: its condition, its connections, its listening socket."""

    def __init__(self, name: str, host: str, port: int, service_s: float) -> None:
        self.condition = Condition.WELL
        self.probes = 0
        self._name = name
        self._address = host, port
        self._service_s = service_s
        self._one_at_a_time = asyncio.Lock()
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._fillers: list[socket.socket] = []
        self.connections: set[Connection] = set()
        self.answering: set[asyncio.Task[None]] = set()

    def become(self, condition: Condition) -> None:
        """Takes effect before it returns."""
        if self.condition is Condition.SILENT:
            self._hang_up()
        self.condition = condition
        for filler in self._fillers:
            filler.close()
        self._fillers.clear()
        if condition is Condition.REFUSES:
            self._stop_listening()
            self._hang_up()
        elif condition is Condition.SILENT:
            self._listen()
            self._fill_backlog()
        else:
            self._listen()
            self._accept()

    def close(self) -> None:
        self._stop_listening()
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

    def _listen(self) -> None:
        if self._listener is not None:
            self._listener.listen(BACKLOG)
            return
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.setblocking(False)
        self._listener.bind(self._address)
        self._listener.listen(BACKLOG)

    def _stop_listening(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _accept(self) -> None:
        if self._accepting is None:
            self._accepting = asyncio.create_task(self._accept_for_ever())

    async def _accept_for_ever(self) -> None:
        loop = asyncio.get_running_loop()
        while self._listener is not None:
            taken, _ = await loop.sock_accept(self._listener)
            await loop.connect_accepted_socket(lambda: Connection(self), taken)

    def _fill_backlog(self) -> None:
        """Nobody accepts, and two connections of our own fill the queue: the kernel drops further first packets."""
        if self._accepting is not None:
            self._accepting.cancel()
            self._accepting = None
        assert self._listener is not None
        self._listener.listen(0)
        for _ in range(2):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self._address)
            self._fillers.append(filler)

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


async def serve(name: str, address: str, control: Path, service_s: float) -> None:
    """Runs until SIGTERM."""
    host, _, port = address.rpartition(":")
    ui = Ui(name, host, int(port), service_s)
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
    asyncio.run(serve(sys.argv[1], sys.argv[2], Path(sys.argv[3]), float(sys.argv[4])))
