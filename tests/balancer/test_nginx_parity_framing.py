"""What the balancer and a real nginx make of the same doubtful bytes: the same, or on purpose something stricter."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.balancer.support import Upstream
from tests.balancer.test_framing_fuzz import BODIES, HEADS, LINES
from tests.balancer.test_nginx_parity import Front, both, config
from tests.balancer.test_nginx_parity import directory as directory

Start = Callable[..., Awaitable[Upstream]]


def corpus() -> list[bytes]:
    """Each odd line, head and body of the fuzz once, in a request that is well formed otherwise."""
    lines = [b"POST / HTTP/1.1\r\nHost: h\r\n" + line + b"\r\n\r\nabc" for line in dict.fromkeys(LINES)]
    heads = [head + b"\r\nHost: h\r\n\r\n" for head in HEADS]
    chunked = [b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body for body in BODIES if body]
    return [*lines, *heads, *chunked]


def posted(chunks: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks


def posting(line: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: h\r\n" + line + b"\r\n\r\nabc"


def getting(line: bytes) -> bytes:
    return line + b"\r\nHost: h\r\n\r\n"


STRICTER = {
    posting(b"X: a\nContent-Length: 3"): ("400", "200", "LF alone ends no line"),
    getting(b"\nGET / HTTP/1.1"): ("400", "200", "LF alone ends no line"),
    posted(b"3\nabc\n0\n\n"): ("400", "200", "LF alone ends no line"),
    posted(b"3\r\nabc\n0\r\n\r\n"): ("400", "200", "LF alone ends no line"),
    posted(b"3 \r\nabc\r\n0\r\n\r\n"): ("400", "200", "no space behind a chunk's size"),
    posted(b"3\r\nabc\r\n0\r\nno colon\r\n\r\n"): ("400", "200", "trailers are header lines"),
    posted(b"3\rabc\r0\r\r"): ("waits", "400", "a line is judged at its end, or when it is too long"),
    posting(b"Transfer-Encoding:\x0bchunked"): ("400", "501", "no control characters in a head"),
    getting(b"GET /  HTTP/1.1"): ("400", "200", "one space between the parts"),
    getting(b"GET / HTTP/1.1 "): ("400", "200", "one space between the parts"),
    getting(b"GET / HTTP/1.2"): ("400", "200", "there is no such version"),
    getting(b"GET /"): ("400", "closed", "HTTP/0.9 is refused aloud"),
    getting(b"OPTIONS * HTTP/1.1"): ("404", "400", "no location has this path"),
}
"""Ours, nginx's, and why; of everything else in the corpus both make the same."""


async def outcome(front: Front, wire: bytes) -> str:
    """The status of the first answer; ``closed`` or ``waits`` when there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
    try:
        writer.write(wire)
        async with asyncio.timeout(1):
            line = await reader.readline()
            if line.startswith(b"HTTP/1.1 100"):
                await reader.readline()
                line = await reader.readline()
        return line.split(b" ")[1].decode() if line.startswith(b"HTTP/") else "closed"
    except TimeoutError:
        return "waits"
    except ConnectionError:
        return "closed"
    finally:
        writer.transport.abort()


async def test_doubtful_requests_are_judged_alike_or_more_strictly(upstream: Start, directory: Path) -> None:
    server = await upstream("a")
    found: dict[bytes, tuple[str, str]] = {}
    async with both(directory, config([server], ["max_fails=0"])) as (theirs, ours):
        for wire in corpus():
            verdicts = await outcome(ours, wire), await outcome(theirs, wire)
            if verdicts[0] != verdicts[1]:
                found[wire] = verdicts
    unexpected = {wire: verdicts for wire, verdicts in found.items() if verdicts != STRICTER.get(wire, ("", ""))[:2]}
    assert not unexpected
    assert found.keys() == STRICTER.keys(), "what is no difference any more is listed as one"
