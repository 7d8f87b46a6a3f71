"""One HTTP/1.1 POST on a connection of its own, with deadlines and a bound on the answer.

What matters to the caller is told apart: `NotSent`, when no byte of the request left this process, and `Lost`, when
some may have and no whole answer came.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

import httptools

_URL = re.compile(r"https?://(?:[A-Za-z0-9_.\-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[!-~]*)?")
_CHUNK = 256 * 1024
_HEADERS_MAX = 100


class NotSent(Exception):
    """Nothing was sent: the server could not be reached."""


class Lost(Exception):
    """The request was sent, at least in part, and no whole answer came back in time."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to post to. `url` is as it was given."""

    url: str
    host: str
    port: int
    target: str
    tls: bool

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """ValueError for anything but `http[s]://HOST[:PORT][/PATH]`."""
        if not _URL.fullmatch(url):
            raise ValueError(f"expected a URL such as http://127.0.0.1:2633/RPC2, got {url!r}")
        parts = urlsplit(url)
        assert parts.hostname is not None, "the expression asks for one"
        tls = parts.scheme == "https"
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(url, parts.hostname, parts.port or (443 if tls else 80), target, tls)


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    body: bytes


async def post(
    endpoint: Endpoint, body: bytes, *, content_type: str, connect_timeout_s: float, timeout_s: float, answer_max: int
) -> Answer:
    """Post `body`. `timeout_s` bounds the whole exchange, `connect_timeout_s` its first part; `answer_max` is in bytes.

    Raises NotSent or Lost; any HTTP status is an answer.
    """
    deadline = asyncio.get_running_loop().time() + timeout_s
    reader, writer = await _connect(endpoint, min(connect_timeout_s, timeout_s))
    try:
        async with asyncio.timeout_at(deadline):
            writer.write(_head(endpoint, len(body), content_type) + body)
            await writer.drain()
            return await _read_answer(reader, answer_max)
    except TimeoutError:
        raise Lost(f"no answer within {timeout_s:.3g} s") from None
    except (OSError, httptools.HttpParserError) as error:
        raise Lost(str(error) or type(error).__name__) from error
    finally:
        writer.transport.abort()  # not close(), which would wait for a peer that no longer reads


async def _connect(endpoint: Endpoint, timeout_s: float) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = ssl.create_default_context() if endpoint.tls else None
    try:
        async with asyncio.timeout(timeout_s):
            return await asyncio.open_connection(endpoint.host, endpoint.port, ssl=context)
    except TimeoutError:
        raise NotSent(f"no connection within {timeout_s:.3g} s") from None
    except OSError as error:
        raise NotSent(error.strerror or str(error)) from error


def _head(endpoint: Endpoint, length: int, content_type: str) -> bytes:
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    return (
        f"POST {endpoint.target} HTTP/1.1\r\nHost: {host}:{endpoint.port}\r\nUser-Agent: onelite\r\n"
        f"Content-Type: {content_type}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    ).encode()


async def _read_answer(reader: asyncio.StreamReader, answer_max: int) -> Answer:
    collector = _Collector(answer_max)
    parser = httptools.HttpResponseParser(collector)
    while not collector.complete:
        data = await reader.read(_CHUNK)
        if not data:
            if not collector.ends_with_connection:
                raise Lost("the connection was closed before the answer was whole")
            break
        parser.feed_data(data)
    return Answer(parser.get_status_code(), b"".join(collector.body))


class _Collector:
    """What the parser of an answer calls."""

    def __init__(self, answer_max: int) -> None:
        self.body: list[bytes] = []
        self.complete = False
        self.ends_with_connection = False  # neither a length nor chunks: the end of the connection is the end
        self._left = answer_max
        self._headers = 0
        self._framed = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        if self._headers > _HEADERS_MAX:
            raise Lost("the answer has too many headers")
        self._framed |= name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        self.ends_with_connection = not self._framed

    def on_body(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise Lost("the answer is too large")
        self.body.append(data)

    def on_message_complete(self) -> None:
        self.complete = True
