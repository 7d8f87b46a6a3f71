"""Real parts for the balancer's tests: scripted upstream servers, a raw client, and balancers on free ports."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from services.balancer.server import Balancer
from services.balancer.settings import Settings
from services.balancer.site import build
from services.common import logs

DEADLINE_S = 5.0
Handler = Callable[["Upstream", asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]


class Upstream:
    """An upstream server that answers with its name and records what it was sent; ``handler`` scripts other answers."""

    def __init__(self, name: str, handler: Handler | None = None) -> None:
        self.name = name
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.connections = 0
        self.release = asyncio.Event()
        self._handler = handler or answer_name
        self._writers: set[asyncio.StreamWriter] = set()
        self._path: Path | None = None

    async def start(self, port: int = 0, context: ssl.SSLContext | None = None) -> Upstream:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=context)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def start_at(self, path: Path) -> Upstream:
        """Listen on a socket of the file system, which everybody may connect to."""
        self._server = await asyncio.start_unix_server(self._serve, path)
        open_to_everybody(path)
        self._path = path
        return self

    @property
    def address(self) -> str:
        return f"unix:{self._path}" if self._path else f"127.0.0.1:{self.port}"

    @property
    def open_connections(self) -> int:
        return len(self._writers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                await self._handler(self, reader, writer, head)
                await writer.drain()
                if writer.is_closing():
                    break
        self._writers.discard(writer)
        writer.close()

    async def stop(self) -> None:
        """Close the listener and every connection, as a killed process would."""
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)


def open_to_everybody(path: Path) -> None:
    path.chmod(0o666)


def answer(body: bytes, status: str = "200 OK", *lines: str) -> bytes:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines, "", ""])
    return head.encode() + body


async def answer_name(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    await read_body(up, reader, head)
    writer.write(answer(up.name.encode()))


async def read_body(up: Upstream, reader: asyncio.StreamReader, head: bytes) -> None:
    fields = fields_of(head)
    if "content-length" in fields:
        up.bodies.append(await reader.readexactly(int(fields["content-length"])))
    elif fields.get("transfer-encoding") == "chunked":
        body = b""
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readuntil(b"\r\n")
        up.bodies.append(body)


def always(data: bytes, *, close: bool = False) -> Handler:
    """A handler that reads the body and sends fixed bytes."""

    async def handler(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await read_body(up, reader, head)
        writer.write(data)
        if close:
            await writer.drain()
            writer.close()

    return handler


def fields_of(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}


class Answer:
    """A parsed answer of the raw client."""

    def __init__(self, head: bytes, body: bytes) -> None:
        self.status = int(head.split(b" ")[1])
        self.fields = fields_of(head)
        self.body = body


def self_signed(folder: Path, name: str) -> Path:
    """NAME.pem, its own authority, with its key beside it in NAME.key."""
    certificate = folder / f"{name}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}",
         "-keyout", certificate.with_suffix(".key"), "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate


class RawClient:
    """A client that sends exactly the bytes it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, *, bodiless: bool = False, within_s: float = DEADLINE_S) -> Answer:
        async with asyncio.timeout(within_s):
            head = await self.reader.readuntil(b"\r\n\r\n")
            fields = fields_of(head)
            if bodiless or head.split(b" ")[1] in (b"204", b"304") or head.split(b" ")[1].startswith(b"1"):
                return Answer(head, b"")
            if fields.get("transfer-encoding") == "chunked":
                return Answer(head, await self._chunks())
            if "content-length" in fields:
                return Answer(head, await self.reader.readexactly(int(fields["content-length"])))
            return Answer(head, await self.reader.read())

    async def _chunks(self) -> bytes:
        body = b""
        while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        while await self.reader.readuntil(b"\r\n") != b"\r\n":
            pass
        return body

    async def get(self, path: str = "/", *lines: str) -> Answer:
        self.send(request("GET", path, *lines))
        return await self.answer()

    async def rest(self) -> bytes:
        async with asyncio.timeout(DEADLINE_S):
            return await self.reader.read()

    def close(self) -> None:
        self.writer.close()


def request(method: str, path: str, *lines: str, body: bytes = b"") -> bytes:
    length = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: example.org", *lines, *length, "", ""]).encode() + body


class Running:
    """A balancer in this process, and where it listens."""

    def __init__(self, balancer: Balancer) -> None:
        self.balancer = balancer
        self.port = next(iter(balancer.ports.values()))
        self._clients: list[RawClient] = []

    async def client(self) -> RawClient:
        self._clients.append(RawClient(*await asyncio.open_connection("127.0.0.1", self.port)))
        return self._clients[-1]

    async def stop(self) -> None:
        for client in self._clients:
            client.writer.transport.abort()
        await self.balancer.stop(grace_s=0.2)

    async def get(self, path: str = "/", *lines: str) -> Answer:
        client = await self.client()
        try:
            return await client.get(path, *lines)
        finally:
            client.close()

    def peer(self, index: int, group: str = "app") -> Any:
        return self.balancer.engine.pools[group].group.peers[index]


def settings_for(upstreams: list[Upstream], **more: Any) -> Settings:
    """Settings of one group ``app``; keys of ``server``, ``group`` and ``location`` go to those parts."""
    server, group, location = more.pop("server", {}), more.pop("group", {}), more.pop("location", {})
    servers = [{"address": up.address, **server} for up in upstreams]
    value = {
        "listen": "127.0.0.1:0",
        "upstreams": {"app": {"servers": servers, "method": "least_conn", **group}},
        "locations": [{"path": "/", "upstream": "app", **location}],
        **more,
    }
    return msgspec.convert(value, Settings)


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    balancer = Balancer(build(settings), logs.get("balancer"))
    await balancer.start()
    handle = Running(balancer)
    try:
        yield handle
    finally:
        await handle.stop()


async def eventually(condition: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    """Wait until the condition holds; fail when it does not in time."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the condition did not become true"
        await asyncio.sleep(0.005)
