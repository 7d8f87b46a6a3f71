"""Clients of every temper, each drawn from a seed."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.balancer.soak.sockets import cut_off, half_close
from tests.balancer.soak.upstreams import HASTY, WAYS, World, digest
from tests.balancer.support import Answer, RawClient

ANSWER_S = 20.0
PATHS = (
    "/calm/", "/wild/", "/wild/", "/raw/", "/zip/", "/kept/", "/tight/", "/limited/", "/rated/", "/page/", "/secure/",
    "/own",
)  # fmt: skip
WELL = 3
"""How often a server is told to answer well, for one time of every other way."""
CHOICES = [*WAYS, *HASTY, *["ok"] * WELL]
ERRORS = frozenset((408, 429, 500, 502, 503, 504))


@dataclass(frozen=True)
class Asked:
    """A request: its bytes, and what a good answer to it must show."""

    wire: bytes = field(repr=False)
    path: str
    id: str
    ways: list[str]
    body: bytes = field(repr=False)
    method: str

    @property
    def bodiless(self) -> bool:
        return self.method == "HEAD"

    @property
    def once(self) -> bool:
        """Whether no server may see it twice."""
        return self.method == "POST" and self.path != "/page/"


def framed(body: bytes, *, in_chunks: bool) -> tuple[list[str], bytes]:
    """Header lines for a body, and its bytes on the wire."""
    if not body:
        return [], b""
    if not in_chunks:
        return [f"Content-Length: {len(body)}"], body
    half = len(body) // 2
    pieces = (body[:half], body[half:])
    return ["Transfer-Encoding: chunked"], b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n"


class Visitor:
    """One client's life: a few requests on a few connections, in one temper."""

    def __init__(self, world: World, port: int, tls_port: int, seed: str, tally: Counter[str]) -> None:
        self._world = world
        self._mood = random.Random(seed)
        self._seed = seed
        self._tally = tally
        self._secured = self._mood.random() < 0.2
        self._tls_port = tls_port
        self._port = tls_port if self._secured else port
        self._count = 0

    async def live(self) -> None:
        name = self._mood.choice([*TEMPERS, *["honest"] * len(TEMPERS)])
        self._tally[name] += 1
        await TEMPERS[name](self)

    # Means

    async def _connect(self) -> RawClient:
        context = CONTEXT if self._secured else None
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, ssl=context)
        self._tally["tls" if self._secured else "plain"] += 1
        return RawClient(reader, writer)

    def _request(self, path: str = "", method: str = "") -> Asked:
        mood = self._mood
        path = path or mood.choice(PATHS)
        method = method or mood.choice(("GET", "GET", "GET", "POST", "PUT", "HEAD"))
        self._count += 1
        name = f"<{self._seed}-{self._count}>"
        ways = ["ok"] if path == "/calm/" else [mood.choice(CHOICES) for _ in range(mood.choice((1, 1, 2, 4)))]
        body = b"" if method in ("GET", "HEAD") else name.encode() * mood.choice((0, 1, 300, 20_000))
        lines = [
            f"{method} {path} HTTP/1.1", "Host: h", f"X-Id: {name}", f"X-Ways: {','.join(ways)}",
            f"X-Key: {mood.randrange(3)}",
        ]  # fmt: skip
        if path == "/zip/":
            lines.append("Accept-Encoding: gzip")
        if body and mood.random() < 0.2:
            lines.append("Expect: 100-continue")
        framing, sent = framed(body, in_chunks=mood.random() < 0.5)
        wire = "\r\n".join([*lines, *framing, "", ""]).encode() + sent
        return Asked(wire, path, name, ways, body, method)

    async def _pause(self) -> None:
        await asyncio.sleep(self._mood.choice((0, 0, 0.001, 0.005, 0.02, 0.1)))

    async def _leave(self, client: RawClient) -> None:
        """In one of the ways there are."""
        way = self._mood.randrange(3)
        if way == 0:
            cut_off(client.writer)
        elif way == 1:
            client.writer.transport.abort()
        else:
            if not self._secured:
                half_close(client.writer)
                await self._pause()
            client.close()

    # Tempers

    async def _honest(self) -> None:
        client = await self._connect()
        try:
            for _ in range(self._mood.choice((1, 3, 10))):
                batch = [self._request() for _ in range(self._mood.choice((1, 1, 1, 3)))]
                client.send(b"".join(asked.wire for asked in batch))
                for asked in batch:
                    got = await self._judged(client, asked)
                    if got is None or got.fields.get("connection") == "close":
                        client.writer.transport.abort()
                        client = await self._connect()
                        break
                await self._pause()
        finally:
            client.writer.transport.abort()

    async def _judged(self, client: RawClient, asked: Asked) -> Answer | None:
        """The answer to a request that was sent; None when it broke off. Raises AssertionError for a wrong one."""
        within_s = ANSWER_S / 10 if "endless" in asked.ways else ANSWER_S
        try:
            while True:
                got = await client.answer(bodiless=asked.bodiless, within_s=within_s)
                if got.status >= 200:
                    break
        except (ConnectionError, asyncio.IncompleteReadError, TimeoutError, ValueError) as error:
            assert asked.path != "/calm/", f"{asked}: {error!r}"
            assert not isinstance(error, TimeoutError) or "endless" in asked.ways, f"{asked}: no answer"
            self._tally["broken off"] += 1
            return None
        self._tally[f"{got.status}"] += 1
        self._check(asked, got)
        return got

    def _check(self, asked: Asked, got: Answer) -> None:
        """It is the answer to this very request, or an error that may be."""
        where = f"{asked}: {got.status} {got.fields} {got.body[:100]!r}"
        if asked.path == "/own":
            assert (got.status, got.body) == (200, b"" if asked.bodiless else b"own"), where
            return
        if asked.path == "/calm/":
            assert got.status == 200, where
        if "x-id" in got.fields:
            assert got.fields["x-id"] == asked.id, where
            said = gzip.decompress(got.body) if got.fields.get("content-encoding") == "gzip" else got.body
            assert not said.replace(asked.id.encode(), b""), where
            assert got.fields.get("x-sum") == digest(asked.body) or "early" in asked.ways, where
        else:
            assert got.status in ERRORS, where
        if asked.once:
            assert self._world.attempts[asked.id] <= 1, where

    async def _leaves_early(self) -> None:
        """Somewhere in its request, or at once."""
        client = await self._connect()
        wire = self._request().wire
        at = self._mood.randrange(len(wire) + 1)
        client.send(wire[:at])
        await self._pause()
        await self._leave(client)

    async def _leaves_while_waiting(self) -> None:
        client = await self._connect()
        client.send(b"".join(self._request().wire for _ in range(self._mood.choice((1, 1, 4)))))
        await self._pause()
        await self._leave(client)

    async def _leaves_in_the_answer(self) -> None:
        client = await self._connect()
        client.send(self._request("/wild/", "GET").wire)
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(0.5):
                await client.reader.read(self._mood.choice((1, 100, 5000)))
        await self._leave(client)

    async def _half_closes(self) -> None:
        """And waits for the end."""
        client = await self._connect()
        client.send(self._request().wire)
        if not self._secured:
            await self._pause()
            half_close(client.writer)
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(2):
                while await client.reader.read(1 << 16):
                    pass
        client.writer.transport.abort()

    async def _reads_slowly(self) -> None:
        client = await self._connect()
        client.send(b"".join(self._request("", "GET").wire for _ in range(5)))
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(self._mood.choice((0.2, 1.5))):
                while await client.reader.read(self._mood.choice((10, 1000))):
                    await self._pause()
        await self._leave(client)

    async def _never_reads(self) -> None:
        client = await self._connect()
        client.writer.transport.pause_reading()
        for _ in range(self._mood.choice((1, 20, 60))):
            client.send(self._request("/wild/", "GET").wire)
        await asyncio.sleep(self._mood.choice((0.1, 1.0)))
        await self._leave(client)

    async def _talks_nonsense(self) -> None:
        client = await self._connect()
        client.send(self._mood.randbytes(self._mood.choice((3, 300, 50_000))) + b"\r\n\r\n")
        await self._pause()
        await self._leave(client)

    async def _spoils_tls(self) -> None:
        """Nonsense where TLS is expected, or the beginning of a handshake."""
        _, writer = await asyncio.open_connection("127.0.0.1", self._tls_port)
        writer.write(b"\x16\x03\x01\x02\x00\x01" + self._mood.randbytes(self._mood.choice((0, 40, 600))))
        await self._pause()
        cut_off(writer)

    async def _tunnels(self) -> None:
        client = await self._connect()
        client.send(b"GET /wild/ HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Id: <t>\r\n\r\n")
        with contextlib.suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            if (await client.answer()).status == 101:
                for _ in range(self._mood.choice((1, 30))):
                    said = self._mood.randbytes(self._mood.choice((1, 3000)))
                    client.send(said)
                    async with asyncio.timeout(ANSWER_S):
                        assert await client.reader.readexactly(len(said)) == said, "not the echo"
        await self._leave(client)

    async def _uploads_slowly(self) -> None:
        """A body that comes in pieces, or stops coming."""
        client = await self._connect()
        wire = self._request("", "PUT").wire
        for at in range(0, min(len(wire), 3000), 300):
            client.send(wire[at : at + 300])
            await asyncio.sleep(0.01)
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(self._mood.choice((0.1, 2.0))):
                await client.reader.read(1 << 16)
        await self._leave(client)


Temper = Callable[[Visitor], Awaitable[None]]
TEMPERS: dict[str, Temper] = {
    "honest": Visitor._honest,
    "leaves early": Visitor._leaves_early,
    "leaves while waiting": Visitor._leaves_while_waiting,
    "leaves in the answer": Visitor._leaves_in_the_answer,
    "half-closes": Visitor._half_closes,
    "reads slowly": Visitor._reads_slowly,
    "never reads": Visitor._never_reads,
    "talks nonsense": Visitor._talks_nonsense,
    "spoils TLS": Visitor._spoils_tls,
    "tunnels": Visitor._tunnels,
    "uploads slowly": Visitor._uploads_slowly,
}
CONTEXT = ssl.create_default_context()
CONTEXT.check_hostname = False
CONTEXT.verify_mode = ssl.CERT_NONE
