"""Scenes that are played before a real nginx and before the balancer, with clients of every kind."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from tests.balancer.support import DEADLINE_S, RawClient, Running, Upstream, eventually, fields_of
from tests.balancer.test_nginx_parity import Front, both, upstream_block

Start = Callable[..., Awaitable[Upstream]]


class Visit:
    """Clients of one front that are gone when the scene is over."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self._clients: list[RawClient] = []

    async def client(self) -> RawClient:
        self._clients.append(await self.front.client())
        return self._clients[-1]

    async def log(self, count: int) -> list[str]:
        """The first lines of the access log, once there are so many."""

        def lines() -> list[str]:
            return self.front.log.read_text().splitlines() if self.front.log.exists() else []

        await eventually(lambda: len(lines()) >= count)
        return lines()[:count]

    def leave(self) -> None:
        for client in self._clients:
            client.writer.transport.abort()


Scene = Callable[[Visit], Awaitable[Any]]


@contextlib.asynccontextmanager
async def visit(front: Front) -> AsyncIterator[Visit]:
    visiting = Visit(front)
    try:
        yield visiting
    finally:
        visiting.leave()


async def play(front: Front, scene: Scene) -> Any:
    async with visit(front) as visiting:
        return await scene(visiting)


async def alike(directory: Path, text: str, scene: Scene, *, together: bool = True) -> Any:
    """Play a scene before both, at the same time or one after the other; returns what both made of it."""
    async with both(directory, text) as (theirs, ours):
        if together:
            seen = await asyncio.gather(play(theirs, scene), play(ours, scene))
        else:
            seen = [await play(theirs, scene), await play(ours, scene)]
    assert seen[1] == seen[0], "ours is not theirs"
    return seen[0]


async def whole(client: RawClient, *, bodiless: bool = False) -> tuple[Any, ...]:
    """All that a client gets for one request: interim statuses, status, body, trailers, and how it ended.

    ``complete``, ``closed`` when the end of the connection is the end of the body, ``cut`` before its announced end.
    """
    interim: list[int] = []
    reader = client.reader
    body, trailers = b"", b""
    status = 0
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                status = int(head.split(b" ")[1])
                if status >= 200 or status == 101:
                    break
                interim.append(status)
            fields = fields_of(head)
            if bodiless or status in (204, 304):
                return interim, status, body, trailers, "complete"
            if fields.get("transfer-encoding") == "chunked":
                while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
                    body += await _up_to(reader, size)
                    await reader.readexactly(2)
                while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
                    trailers += line
            elif "content-length" in fields:
                length = int(fields["content-length"])
                body = await _up_to(reader, length)
                if len(body) < length:
                    return interim, status, body, trailers, "cut"
            else:
                return interim, status, await reader.read(), trailers, "closed"
    except (asyncio.IncompleteReadError, ConnectionError):
        return interim, status, body, trailers, "cut"
    return interim, status, body, trailers, "complete"


async def _up_to(reader: asyncio.StreamReader, size: int) -> bytes:
    """As many bytes as there are, if the end comes before."""
    try:
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError as end:
        return end.partial


def site(server: Upstream, *locations: str, more: str = "") -> str:
    """A server block in which every location proxies."""
    inner = " ".join(f"location {location.replace('{', '{ proxy_pass http://app;', 1)}" for location in locations)
    return upstream_block([server], [""]) + f"server {{ listen LISTEN; {more} {inner} }}"


@contextlib.contextmanager
def plugged() -> Iterator[str]:
    """The address of a server that takes no connection and refuses none."""
    with contextlib.ExitStack() as sockets:
        server = sockets.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(2):
            filler = sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield f"127.0.0.1:{server.getsockname()[1]}"


def stubborn(front: Front | Running, room: int = 1 << 16) -> socket.socket:
    """A client with little room of its own, which reads only when told to."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    client.connect(("127.0.0.1", front.port))
    client.setblocking(False)
    return client


async def received(client: socket.socket) -> tuple[int, str]:
    """How much comes until the end, and what kind of end it is."""
    loop, count = asyncio.get_running_loop(), 0
    try:
        while data := await loop.sock_recv(client, 1 << 16):
            count += len(data)
    except ConnectionResetError:
        return count, "reset"
    finally:
        client.close()
    return count, "end"
