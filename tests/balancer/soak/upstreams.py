"""Servers that do what a request's ``X-Ways`` says: one way for each attempt at it, the last one for all that follow."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.balancer.soak.sockets import cut_off
from tests.balancer.support import Upstream, answer, fields_of, read_body

CALM = "cd"
"""Names of servers that answer well whatever they are told."""

PATIENCE_S = 4.0


@dataclass
class Turn:
    """One attempt at a request; ``text`` and ``lines`` are what a good answer says."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    id: str
    bodiless: bool
    text: bytes = field(init=False)
    lines: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.text = b"" if self.bodiless else self.id.encode() * 3

    def good(self, status: str = "200 OK", *lines: str) -> bytes:
        return answer(self.text, status, *self.lines, *lines)

    def head(self, *lines: str) -> bytes:
        return "\r\n".join(["HTTP/1.1 200 OK", *self.lines, *lines, "", ""]).encode()

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def send_and_close(self, *pieces: bytes) -> None:
        await self.send(*pieces)
        self.writer.close()

    async def send_and_reset(self, *pieces: bytes) -> None:
        await self.send(*pieces)
        cut_off(self.writer)

    async def wait(self) -> None:
        """For the other side to leave."""
        await self.reader.read()
        self.writer.close()


async def in_chunks(turn: Turn) -> None:
    await turn.send(turn.head("Transfer-Encoding: chunked"))
    if turn.text:
        await turn.send(b"%x\r\n%b\r\n" % (len(turn.text), turn.text))
    await turn.send(b"0\r\n\r\n")


async def without_end(turn: Turn) -> None:
    await turn.send(turn.head("Transfer-Encoding: chunked"))
    while not turn.writer.is_closing():
        await turn.send(b"1\r\n<\r\n")
        await asyncio.sleep(0.01)


async def large(turn: Turn) -> None:
    turn.text *= 7000
    await turn.send(turn.good())


async def slowly(turn: Turn) -> None:
    wire = turn.good()
    size = 1 + len(wire) // 4
    for at in range(0, len(wire), size):
        await turn.send(wire[at : at + size])
        await asyncio.sleep(0.005)


async def well_and_close_later(turn: Turn) -> None:
    await turn.send(turn.good())
    asyncio.get_running_loop().call_later(0.01, turn.writer.close)


async def without_length(turn: Turn) -> None:
    await turn.send_and_close(turn.head(), turn.text)


async def without_body(turn: Turn) -> None:
    turn.text = b""
    await turn.send(turn.good("204 No Content"))


async def not_at_all(turn: Turn) -> None:
    await turn.wait()


async def in_part_and_wait(turn: Turn) -> None:
    await turn.send(turn.good()[:-3])
    await turn.wait()


Way = Callable[[Turn], Awaitable[None]]
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
STOLEN = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nSTOLEN"
WAYS: dict[str, Way] = {
    "ok": lambda turn: turn.send(turn.good()),
    "chunked": in_chunks,
    "large": large,
    "slow": slowly,
    "closes": lambda turn: turn.send_and_close(turn.good("200 OK", "Connection: close")),
    "closes-later": well_and_close_later,
    "no-length": without_length,
    "hints": lambda turn: turn.send(HINTS * 2 + turn.good()),
    "204": without_body,
    "500": lambda turn: turn.send(turn.good("500 As Asked")),
    "503": lambda turn: turn.send(turn.good("503 As Asked")),
    "resets-in-head": lambda turn: turn.send_and_reset(turn.good()[:20]),
    "resets-in-body": lambda turn: turn.send_and_reset(turn.good()[:-3]),
    "short": lambda turn: turn.send_and_close(turn.good()[:-2]),
    "surplus": lambda turn: turn.send(turn.good() + STOLEN),
    "endless-head": lambda turn: turn.send(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000),
    "hangs": not_at_all,
    "stalls": in_part_and_wait,
    "endless": without_end,
}
HASTY: dict[str, Way] = {
    "early": lambda turn: turn.send_and_close(turn.good()),
    "resets": lambda turn: turn.send_and_reset(),
    "garbage": lambda turn: turn.send_and_close(b"\x00\xffno answer\r\n\r\n"),
}
"""Ways that do not wait for the body."""


class World:
    """All servers, and how many attempts they have seen at each request."""

    def __init__(self) -> None:
        self.attempts: Counter[str] = Counter()
        self._servers: list[Upstream] = []

    async def start(self, name: str, context: ssl.SSLContext | None = None) -> Upstream:
        self._servers.append(await Upstream(name, self._serve).start(context=context))
        return self._servers[-1]

    async def stop(self) -> None:
        for server in self._servers:
            await server.stop()

    async def _serve(
        self, up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
    ) -> None:
        up.heads.clear()
        up.bodies.clear()
        fields = fields_of(head)
        turn = Turn(reader, writer, fields.get("x-id", ""), head.startswith(b"HEAD"))
        way = self._way(up, turn, fields)
        try:
            async with asyncio.timeout(PATIENCE_S):
                if "upgrade" in fields:
                    await self._echo(turn)
                elif way in HASTY:
                    turn.lines = (f"X-Id: {turn.id}",)
                    await HASTY[way](turn)
                else:
                    await read_body(up, reader, head)
                    turn.lines = (f"X-Id: {turn.id}", f"X-Sum: {digest(b''.join(up.bodies[-1:]))}")
                    await WAYS[way](turn)
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError, ValueError, RuntimeError):
            writer.transport.abort()

    def _way(self, up: Upstream, turn: Turn, fields: dict[str, str]) -> str:
        ways = fields.get("x-ways", "ok").split(",")
        attempt = self.attempts[turn.id]
        self.attempts[turn.id] += 1
        return "ok" if up.name in CALM else ways[min(attempt, len(ways) - 1)]

    async def _echo(self, turn: Turn) -> None:
        await turn.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        while data := await turn.reader.read(1 << 16):
            await turn.send(data)
        turn.writer.close()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
