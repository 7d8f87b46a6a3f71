"""Answers of upstreams that are out of the ordinary, behind a real nginx and behind the balancer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.balancer.beside import Start, Visit, alike, visit, whole
from tests.balancer.support import Upstream, eventually, fields_of, read_body, request
from tests.balancer.test_nginx_parity import both, upstream_block
from tests.balancer.test_nginx_parity import directory as directory

RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Way:
    """How an upstream answers: in pieces; then it stays, closes, resets, or half closes. ``early``: before it has read."""

    pieces: tuple[bytes, ...]
    end: str = ""
    early: bool = False

    async def answer(self, up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        if not self.early:
            await read_body(up, reader, head)
        for piece in self.pieces:
            writer.write(piece)
            await asyncio.sleep(0.02)  # so that it arrives alone; nothing hangs on it if it does not
        if self.end == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        elif self.end == "half":
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
        elif self.end == "close":
            writer.close()
        elif self.early:
            await read_body(up, reader, head)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
REFUSED = b"HTTP/1.1 413 Too much\r\nContent-Length: 2\r\n"
GET = ("GET", b"")
HEAD = ("HEAD", b"")
POST = ("POST", b"x" * 100_000)

ALIKE: dict[str, tuple[Way, tuple[str, bytes]]] = {
    "with a length": (Way((OK,)), GET),
    "in chunks": (Way((CHUNKED + b"2\r\nok\r\n0\r\n\r\n",)), GET),
    "to the end of the connection": (Way((b"HTTP/1.0 200 OK\r\n\r\nok",), "close"), GET),
    "in pieces to the end": (Way((b"HTTP/1.1 200 OK\r\n\r\n", b"ok"), "close"), GET),
    "an early no, then closing": (Way((REFUSED + b"Connection: close\r\n\r\nno",), "half", early=True), POST),
    "an early no, then staying": (Way((REFUSED + b"\r\nno",), early=True), POST),
    "longer than announced": (Way((OK + b"surplus",)), GET),
    "shorter than announced": (Way((LONG + b"ok",), "close"), GET),
    "chunks with more behind them": (Way((CHUNKED + b"2\r\nok\r\n0\r\n\r\nsurplus",)), GET),
    "chunks cut off": (Way((CHUNKED + b"2\r\nok\r\n",), "close"), GET),
    "chunks cut off inside one": (Way((CHUNKED + b"9\r\nok",), "close"), GET),
    "chunks without sense": (Way((CHUNKED + b"2\r\nok\r\n", b"zz\r\n")), GET),
    "cut off inside trailers": (Way((CHUNKED + b"2\r\nok\r\n0\r\nX: y",), "close"), GET),
    "cut off inside the head": (Way((b"HTTP/1.1 200 OK\r\nConte",), "close"), GET),
    "reset inside the head": (Way((b"HTTP/1.1 200 OK\r\nConte",), "reset"), GET),
    "a status line alone": (Way((b"HTTP/1.1 200 OK\r\n",), "close"), GET),
    "nothing, closed": (Way((), "close"), GET),
    "nothing, reset": (Way((), "reset"), GET),
    "204 with a body": (Way((b"HTTP/1.1 204 No\r\nContent-Length: 2\r\n\r\nok",), "close"), GET),
    "304 with a length": (Way((b"HTTP/1.1 304 Not\r\nContent-Length: 2\r\n\r\n",)), GET),
    "a length to HEAD": (Way((LONG,)), HEAD),
    "chunks to HEAD": (Way((CHUNKED,)), HEAD),
    "nothing with length 0": (Way((b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",)), GET),
    "a length and closing": (Way((OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),), "close"), GET),
}
"""How an upstream answers, and what it was asked."""


async def shown(visit: Visit, path: str, asked: tuple[str, bytes]) -> Any:
    """What a client gets; of our own pages only that it is one."""
    method, body = asked
    client = await visit.client()
    client.send(request(method, path, body=body))
    interim, status, text, trailers, end = await whole(client, bodiless=method == "HEAD")
    return interim, status, b"a page" if b"<html" in text else text, trailers, end


def site(first: Upstream, second: Upstream) -> str:
    return f"""
      map $upstream_addr $who {{
        default $upstream_addr; {first.address} a; "{first.address}, {second.address}" "a, b";
      }}
      map $body_bytes_sent/$sent_http_content_length $size {{ default other; ~^0/ 0; ~^(\\d+)/\\1$ whole; ~^12/$ chunk; }}
      log_format told '$request_uri $status $who $upstream_status $size';
      upstream app {{ server {first.address} max_fails=0; server {second.address} backup; keepalive 4; }}
      server {{
        listen LISTEN; access_log ACCESS_LOG told; proxy_http_version 1.1; proxy_set_header Connection '';
        location /on/ {{ proxy_pass http://app; }}
        location /off/ {{ proxy_pass http://app; proxy_buffering off; }}
      }}
    """


@pytest.mark.parametrize("buffering", ["on", "off"])
async def test_odd_answers_arrive_alike(upstream: Start, directory: Path, buffering: str) -> None:
    ways = {f"/{buffering}/{number}": way for number, (way, _) in enumerate(ALIKE.values())}

    async def answer(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await ways[head.split(b" ")[1].decode()].answer(up, reader, writer, head)

    first, second = await upstream("a", answer), await upstream("b")

    async def scene(visit: Visit) -> Any:
        first.connections = 0
        seen = {}
        for path, (name, (_, asked)) in zip(ways, ALIKE.items(), strict=True):
            before = first.connections
            # The second time tells whether the connection to the upstream was kept.
            answers = [await shown(visit, path, asked) for _ in range(2)]
            seen[name] = answers, first.connections - before
        return seen, await visit.log(2 * len(ALIKE))

    await alike(directory, site(first, second), scene, together=False)


HUGE = b"X: " + b"x" * 5000 + b"\r\n"
DIFFERENT: dict[str, tuple[Way, tuple[str, bytes], tuple[Any, ...], tuple[Any, ...]]] = {
    "LF alone ends no line": (
        Way((OK.replace(b"\r\n", b"\n"),)), GET, (502, b"a page", b"", "complete"), (200, b"ok", b"", "complete")),
    "a length is a number": (
        Way((OK.replace(b": 2", b": -2"),), "close"), GET,
        (502, b"a page", b"", "complete"), (200, b"ok", b"", "complete")),
    "a body has one length": (
        Way((CHUNKED[:-2] + b"Content-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",)), GET,
        (502, b"a page", b"", "complete"), (200, b"ok", b"", "complete")),
    "the one transfer coding is chunked": (
        Way((CHUNKED.replace(b"chunked", b"gzip") + b"ok",), "close"), GET,
        (502, b"a page", b"", "complete"), (200, b"ok", b"", "complete")),
    "no control characters in an extension of a chunk": (
        Way((CHUNKED + b"2;a=\1\r\nok\r\n0\r\n\r\n",)), GET, (200, b"", b"", "cut"), (200, b"ok", b"", "complete")),
    "trailers are passed on": (
        Way((CHUNKED + b"2\r\nok\r\n0\r\nX: y\r\n\r\n",)), GET,
        (200, b"ok", b"X: y\r\n", "complete"), (200, b"ok", b"", "complete")),
    "a head may have 32 KB": (
        Way((OK.replace(b"Content", HUGE + b"Content"),)), GET,
        (200, b"ok", b"", "complete"), (502, b"a page", b"", "complete")),
}  # fmt: skip
"""What differs on purpose, and why; how an upstream answers, and what comes of it here and with nginx."""


async def test_answers_that_are_judged_differently_on_purpose(upstream: Start, directory: Path) -> None:
    ways = {f"/on/{number}": way for number, (way, *_) in enumerate(DIFFERENT.values())}

    async def answer(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await ways[head.split(b" ")[1].decode()].answer(up, reader, writer, head)

    first, second = await upstream("a", answer), await upstream("b")
    async with both(directory, site(first, second)) as (theirs, ours):
        for path, (name, (_, asked, here, there)) in zip(ways, DIFFERENT.items(), strict=True):
            for front, expected in ((ours, here), (theirs, there)):
                async with visit(front) as visiting:
                    assert (await shown(visiting, path, asked))[1:] == expected, name


BODIES = {
    "a length": request("POST", "/", body=b"hello"),
    "chunks": request("POST", "/", "Transfer-Encoding: chunked") + b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    "extensions": request("POST", "/", "Transfer-Encoding: chunked") + b"5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n",
    "trailers": request("POST", "/", "Transfer-Encoding: chunked", "Trailer: X-T", "TE: trailers")
    + b"5\r\nhello\r\n0\r\nX-T: 1\r\nContent-Length: 9\r\n\r\n",
    "nothing": request("POST", "/", "Content-Length: 0"),
    "no chunk": request("POST", "/", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "a body to GET": request("GET", "/", body=b"hello"),
    "an expectation": request("POST", "/", "Expect: 100-continue", body=b"hello"),
}
FRAMING = ("content-length", "transfer-encoding", "te", "expect", "connection")


@pytest.mark.parametrize("buffering", ["on", "off"])
async def test_bodies_reach_the_upstream_alike(upstream: Start, directory: Path, buffering: str) -> None:
    server = await upstream("a")
    text = upstream_block([server], [""]) + "server { listen LISTEN; location / { proxy_pass http://app; "
    text += f'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering {buffering}; }} }}'

    async def scene(visit: Visit) -> Any:
        seen = {}
        for name, wire in BODIES.items():
            server.heads.clear()
            server.bodies.clear()
            client = await visit.client()
            client.send(wire)
            interim, status, *_ = await whole(client)
            fields = fields_of(server.heads[0])
            body = b"".join(server.bodies)
            seen[name] = interim, status, body, {key: fields[key] for key in FRAMING if key in fields}
        return seen

    await alike(directory, text, scene, together=False)


@pytest.mark.parametrize("first", [b"", b"3\r\nhel\r\n", b"3\r\nhe", b"3"])
async def test_chunks_that_come_when_the_upstream_is_connected_are_part_of_the_body(
    upstream: Start, directory: Path, first: bytes
) -> None:
    server = await upstream("a")
    text = upstream_block([server], [""]) + "server { listen LISTEN; location / { proxy_pass http://app; "
    text += "proxy_http_version 1.1; proxy_request_buffering off; } }"
    chunks = b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"

    async def scene(visit: Visit) -> Any:
        server.heads.clear()
        server.bodies.clear()
        client = await visit.client()
        client.send(request("POST", "/", "Transfer-Encoding: chunked") + first)
        await eventually(lambda: server.heads)
        client.send(chunks.removeprefix(first))
        _, status, *_ = await whole(client)
        return status, server.bodies.copy(), len(server.heads)

    assert await alike(directory, text, scene, together=False) == (200, [b"hello"], 1)


async def test_early_answers_reach_clients_that_are_still_sending(upstream: Start, directory: Path) -> None:
    """Whether it is told beforehand or not, the connection ends; and the client can read the answer to its end."""
    way = Way((REFUSED + b"Connection: close\r\n\r\nno",), "half", early=True)
    server = await upstream("a", way.answer)
    text = upstream_block([server], [""]) + "server { listen LISTEN; location / { proxy_pass http://app; "
    text += "proxy_request_buffering off; proxy_http_version 1.1; client_max_body_size 0; } }"

    async def scene(visit: Visit) -> Any:
        seen = []
        for framing, more in (("Content-Length: 5000000", bytes(1 << 20)),
                              ("Transfer-Encoding: chunked", b"100000\r\n" + bytes(1 << 20) + b"\r\n")):  # fmt: skip
            client = await visit.client()
            client.send(request("PUT", "/", framing) + more)
            _, status, body, _, end = await whole(client)
            client.send(more)
            seen.append((status, body, end, await client.rest()))
        return seen

    assert await alike(directory, text, scene) == [(413, b"no", "complete", b"")] * 2
