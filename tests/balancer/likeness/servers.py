"""Upstream servers that answer what the request says, and remember what they were sent."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

from tests.balancer.likeness.conf import SERVERS
from tests.balancer.support import Upstream, fields_of, read_body
from tests.support.ports import free_port

BODILESS = ("204", "304")


@dataclass(frozen=True, slots=True)
class Got:
    """A request as a server saw it; ``lines`` in any order are the same."""

    server: str
    line: str
    lines: tuple[str, ...]
    body: bytes


class Servers:
    """Servers by name, ``addresses`` with one more that refuses connections.

    One nginx after the other listens on ``port``.
    """

    def __init__(self, addresses: dict[str, str]) -> None:
        self.addresses = addresses
        self.port = free_port()
        self._got: list[Got] = []

    def take(self) -> list[Got]:
        """What was asked since the last time."""
        got, self._got = self._got, []
        return got

    async def answer(self, up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        known = len(up.bodies)
        await read_body(up, reader, head)
        body = b"".join(up.bodies[known:])
        line, *lines = head.decode("latin-1").split("\r\n")[:-2]
        self._got.append(Got(up.name, line, tuple(sorted(lines)), body))
        up.heads.clear()
        up.bodies.clear()
        status, way, who, *answers = fields_of(head).get("x-say", "200~length~").split("~")
        if up.name not in who:
            status, way, answers = "200", "length", []
        if way == "slam":
            writer.transport.abort()
        elif way == "garbage":
            writer.write(b"HTTP/1.1 200 OK\r\nX\0: y\r\n\r\n")
            writer.close()
        else:
            said = f"{up.name} got {len(body)}".encode()
            self._say(writer, status, way, answers, said, bodiless=line.startswith("HEAD "))

    def _say(
        self, writer: asyncio.StreamWriter, status: str, way: str, answers: list[str], body: bytes, *, bodiless: bool
    ) -> None:
        lines = [f"HTTP/1.1 {status} Said", "Connection: close", *(part for text in answers for part in text.split("^"))]
        if status in BODILESS:
            body = b""
        elif way == "length":
            lines.append(f"Content-Length: {len(body)}")
        elif way == "chunked":
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if bodiless else body))
        writer.close()


@contextlib.asynccontextmanager
async def servers() -> AsyncIterator[Servers]:
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))  # nobody listens there, and nobody else will
        made = Servers({"x": f"127.0.0.1:{refusing.getsockname()[1]}"})
        started = [await Upstream(name, made.answer).start() for name in SERVERS]
        made.addresses |= {server.name: server.address for server in started}
        try:
            yield made
        finally:
            for server in started:
                await server.stop()
