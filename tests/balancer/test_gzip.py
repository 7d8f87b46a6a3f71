"""Compressed answers: for whom, of what, and as a real nginx does it; in pieces as they come, and for slow readers."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.balancer.support import Answer, Upstream, answer, request, running, settings_for
from tests.balancer.test_nginx_parity import both, upstream_block
from tests.balancer.test_nginx_parity import directory as directory

Start = Callable[..., Awaitable[Upstream]]

TEXT = b"<p>so much of the same, " * 20
ANSWERS: dict[str, bytes] = {
    "/html": answer(TEXT, "200 OK", "Content-Type: text/html; charset=utf-8", 'ETag: "abc"', "Accept-Ranges: bytes"),
    "/weak": answer(TEXT, "200 OK", "Content-Type: TEXT/HTML", 'ETag: W/"abc"', "Last-Modified: yesterday"),
    "/oddtag": answer(TEXT, "200 OK", "Content-Type: text/html", "ETag: abc"),
    "/json": answer(TEXT, "200 OK", "Content-Type: application/json"),
    "/png": answer(TEXT, "200 OK", "Content-Type: image/png"),
    "/untyped": answer(TEXT),
    "/short": answer(b"short", "200 OK", "Content-Type: text/html"),
    "/packed": answer(gzip.compress(TEXT), "200 OK", "Content-Type: text/html", "Content-Encoding: gzip"),
    "/identity": answer(TEXT, "200 OK", "Content-Type: text/html", "Content-Encoding: br"),
    "/404": answer(TEXT, "404 No", "Content-Type: text/html"),
    "/500": answer(TEXT, "500 No", "Content-Type: text/html"),
    "/206": answer(TEXT, "206 Part", "Content-Type: text/html", "Content-Range: bytes 0-1/2"),
    "/304": b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Type: text/html\r\n\r\n',
    "/204": b"HTTP/1.1 204 No Content\r\nContent-Type: text/html\r\n\r\n",
    "/chunked": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"5\r\nhello\r\n4\r\n you\r\n0\r\n\r\n",
    "/closed": b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n" + TEXT,
    "/empty": answer(b"", "200 OK", "Content-Type: text/html"),
}  # fmt: skip
ACCEPTS = ("gzip", "gzip, deflate, br", "deflate,gzip;q=0.5", "deflate, gzip;q=0", "gzip;q=0.0", "identity", "x-gzip", "*",
           "br ,  gzip ; q=1")  # fmt: skip
SITE = """
  location / { gzip on; proxy_pass http://app; proxy_http_version 1.1; gzip_types application/json; gzip_vary on; }
  location /any/ { gzip on; gzip_types *; gzip_min_length 0; gzip_proxied any; gzip_comp_level 9; gzip_http_version 1.0;
    proxy_pass http://app/; proxy_hide_header ETag; add_header X-Added 1; }
  location /off/ { gzip off; gzip_vary on; proxy_pass http://app/; }
"""


async def scripted(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    path = head.split(b" ")[1].decode()
    writer.write(ANSWERS[path])
    if path == "/closed":
        writer.close()


def told(got: Answer) -> tuple[Any, ...]:
    """What must be the same of two answers: compressed bodies may differ in their bytes alone."""
    names = ("content-encoding", "content-length", "transfer-encoding", "vary", "etag", "accept-ranges", "content-type",
             "last-modified", "x-added")  # fmt: skip
    fields = {name: got.fields[name] for name in names if name in got.fields}
    packed = fields.get("content-encoding") == "gzip" and got.status not in (204, 304)
    return got.status, gzip.decompress(got.body) if packed else got.body, fields


async def test_answers_are_compressed_alike(upstream: Start, directory: Path) -> None:
    server = await upstream("a", scripted)
    text = upstream_block([server], [""]) + f"server {{ listen LISTEN; {SITE} }}"
    asked = [request("GET", path, "Accept-Encoding: gzip") for path in ANSWERS]
    asked += [request("GET", f"/any{path}", "Accept-Encoding: gzip") for path in ANSWERS]
    asked += [request("GET", "/html", f"Accept-Encoding: {accepts}") for accepts in ACCEPTS]
    asked += [request("GET", "/html"), request("GET", "/off/html", "Accept-Encoding: gzip")]
    asked += [request("GET", path, "Accept-Encoding: gzip", "Via: 1.1 p") for path in ("/html", "/any/html")]
    asked += [
        request("GET", path, "Accept-Encoding: gzip").replace(b"HTTP/1.1", b"HTTP/1.0")
        for path in ("/html", "/any/html")
    ]
    async with both(directory, text) as (theirs, ours):
        different = []
        for wire in asked:
            seen = [told(await front.send(wire)) for front in (ours, theirs)]
            if seen[0] != seen[1]:
                different.append((wire[:80], *seen))
        assert not different


async def test_heads_alone_are_never_compressed(upstream: Start) -> None:
    server = await upstream("a", lambda up, reader, writer, head: wrote(writer, ANSWERS["/html"].partition(b"<")[0]))
    async with running(settings_for([server], location={"gzip": {}})) as handle:
        client = await handle.client()
        client.send(request("HEAD", "/html", "Accept-Encoding: gzip"))
        got = await client.answer(bodiless=True)
        assert "content-encoding" not in got.fields and got.fields["content-length"] == str(len(TEXT))


async def wrote(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)


@pytest.mark.parametrize("buffering", [True, False])
async def test_a_long_answer_is_compressed_as_it_comes_for_readers_of_any_speed(
    upstream: Start, buffering: bool
) -> None:
    piece = bytes(range(256)) * 256

    async def long(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % (len(piece) * 64 + 5)
        )
        writer.write(b"first")
        await up.release.wait()
        for _ in range(64):
            writer.write(piece)
            await writer.drain()

    server = await upstream("a", long)
    async with running(
        settings_for([server], location={"gzip": {}, "buffering": buffering, "buffer_bytes": 4096})
    ) as handle:
        client = await handle.client()
        client.send(request("GET", "/", "Accept-Encoding: gzip"))
        await client.reader.readuntil(b"\r\n\r\n")
        unpack = zlib.decompressobj(31)
        body = b""
        if not buffering:  # nothing is kept back
            body += unpack.decompress(await one_chunk(client.reader))
            assert body == b"first"
        server.release.set()
        while data := await one_chunk(client.reader):
            body += unpack.decompress(data)
        assert body == b"first" + piece * 64 and unpack.eof
        again = await client.get("/", "Accept-Encoding: gzip")
        assert again.fields["content-encoding"] == "gzip", "the connection stays"


async def one_chunk(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(10):
        size = int(await reader.readuntil(b"\r\n"), 16)
        data = await reader.readexactly(size)
        await reader.readexactly(2)
        return data
