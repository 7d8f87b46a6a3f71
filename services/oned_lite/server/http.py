"""One client's HTTP/1.x connection: requests in, answers out, in order, within bounds.

Odd clients are served as long as they are harmless: HTTP/1.0, keep-alive or not, chunked bodies, `Expect: 100-continue`,
requests sent ahead, a sending side that is closed early. What exceeds a bound is refused, on this connection alone.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Protocol, cast
from urllib.parse import urlsplit

import httptools

SENT_AHEAD_MAX = 8
BODY_RATE_MIN = 1024
"""Bytes per second; a body that comes slower than this for longer than `stall_s` is given up."""
FRAMING_MAX = 1 << 20
"""Bytes of a request beside head and body: chunk sizes, trailers."""
LINGER_S = 2.0
"""How long a refused client may take to read the refusal, sending on meanwhile."""


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds on one connection (sizes in bytes), and on all together.

    `bodies_total` is for request bodies being received or worked on, `answers_total` for answers that clients have not
    taken yet; the slowest readers go first when it is exceeded. A head must be there within `head_s`; `stall_s` is how
    long a body or an answer may make no progress, `idle_s` how long a connection is kept for the next request.
    """

    connections: int = 2000
    head: int = 64 << 10
    body: int = 32 << 20
    bodies_total: int = 64 << 20
    answers_total: int = 256 << 20
    head_s: float = 15.0
    stall_s: float = 30.0
    idle_s: float = 75.0


@dataclass(frozen=True, slots=True)
class HttpRequest:
    method: str
    path: str
    body: bytes
    keep_alive: bool
    version: str
    content_type: str = ""
    host: str = ""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: HTTPStatus
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


CUT = HttpAnswer(HTTPStatus.NO_CONTENT, b"")
"""Stands for no answer at all: the connection is reset."""
Respond = Callable[[HttpAnswer], None]
Cancel = Callable[[], None]


class Application(Protocol):
    def __call__(self, request: HttpRequest, respond: Respond) -> Cancel | None:
        """Answers now or later by calling `respond` once. What it returns is called if the client goes away first."""
        ...


class Budget:
    """Bytes that connections share."""

    def __init__(self, total: int) -> None:
        self._left = total

    def take(self, size: int) -> bool:
        if size > self._left:
            return False
        self._left -= size
        return True

    def give(self, size: int) -> None:
        self._left += size


class _Refused(Exception):
    """Raised within the parser's callbacks."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.answer = HttpAnswer(status, f"{message}\n".encode())


@dataclass(slots=True)
class _Incoming:
    """A request of which not everything has arrived."""

    path: bytes = b""
    content_type: bytes = b""
    host: bytes = b""
    expects_continue: bool = False
    head_complete: bool = False
    parts: list[bytes] = field(default_factory=list)
    size: int = 0
    body_began: float = 0.0


class HttpConnection(asyncio.Protocol):
    """The server looks at `deadline` (loop time; None: waiting is on us) and at `unsent`."""

    def __init__(self, application: Application, limits: HttpLimits, bodies: Budget, ended: Callable[[], None]) -> None:
        self._application = application
        self._limits = limits
        self._bodies = bodies
        self._ended = ended
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._incoming: _Incoming | None = None
        self._framing = 0
        self._body_bytes = 0
        self._completed = 0
        self._requests: deque[HttpRequest] = deque()
        self._current: HttpRequest | None = None
        self._cancel: Cancel | None = None
        self._transport: asyncio.Transport | None = None
        self._input_over = False
        self._reading_paused = False
        self._writing_paused = False
        self._unsent_seen = 0
        self.deadline: float | None = None

    # ------------------------------------------------------------------ the connection
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._expect_within(self._limits.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._cancel is not None:
            self._cancel()
        self._release_bodies()
        self._ended()

    def eof_received(self) -> bool:
        """A client may close its sending side and still wait for answers."""
        self._input_over = True
        return self._current is not None or bool(self._requests) or self.unsent > 0

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self._next()

    @property
    def idle(self) -> bool:
        """Kept for a further request that has not begun: may be closed whenever the place is needed."""
        waiting = self._current is None and not self._requests and self._incoming is None and not self.unsent
        return waiting and self._completed > 0

    @property
    def unsent(self) -> int:
        """Bytes of answers that the client has not taken."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def overdue(self, now: float) -> bool:
        """Whether the client has made no progress for too long; called every second or so."""
        unsent = self.unsent
        if unsent < self._unsent_seen:
            self._expect_within(self._limits.stall_s if unsent else self._limits.idle_s)
        self._unsent_seen = unsent
        return self.deadline is not None and now >= self.deadline

    def close_when_idle(self) -> None:
        """The server is stopping: no further requests."""
        self._input_over = True
        if self._current is None and not self._requests and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------------ requests
    def data_received(self, data: bytes) -> None:
        if self._input_over:
            return
        body_bytes, completed = self._body_bytes, self._completed
        try:
            self._parser.feed_data(data)
            self._count_framing(len(data) - (self._body_bytes - body_bytes), completed)
        except httptools.HttpParserUpgrade:
            self._input_over = True  # we offer no other protocol; the request itself is answered
        except httptools.HttpParserCallbackError as error:
            refused = error.__context__
            self._refuse(refused.answer if isinstance(refused, _Refused) else _bad_request("Not understood"))
        except httptools.HttpParserError as error:
            self._refuse(_bad_request(f"Not HTTP: {error}"))
        except _Refused as refused:
            self._refuse(refused.answer)
        self._next()

    def _count_framing(self, size: int, completed: int) -> None:
        """The parser keeps an unfinished head or trailer to itself, so what is no body is counted here."""
        if self._completed != completed:
            self._framing = 0
            return
        self._framing += size
        in_body = self._incoming is not None and self._incoming.head_complete
        if self._framing > (FRAMING_MAX if in_body else self._limits.head):
            raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "The request's head is too large")

    def on_message_begin(self) -> None:
        self._incoming = _Incoming()
        self._expect_within(self._limits.head_s)

    def on_url(self, url: bytes) -> None:
        assert self._incoming is not None
        self._incoming.path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        assert self._incoming is not None
        header = name.lower()
        if header == b"expect":
            self._incoming.expects_continue = value.lower() == b"100-continue"
        elif header == b"content-type":
            self._incoming.content_type = value
        elif header == b"host":
            self._incoming.host = value
        elif header == b"content-length" and value.isdigit() and int(value) > self._limits.body:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A body may have {self._limits.body} bytes")

    def on_headers_complete(self) -> None:
        assert self._incoming is not None
        self._incoming.head_complete = True
        self._incoming.body_began = self._loop.time()
        self._expect_within(self._limits.stall_s)
        if self._incoming.expects_continue and self._transport is not None and not self._current:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        assert self._incoming is not None
        if self._incoming.size + len(body) > self._limits.body:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A body may have {self._limits.body} bytes")
        if not self._bodies.take(len(body)):
            raise _Refused(HTTPStatus.SERVICE_UNAVAILABLE, "Too many large requests at once, try again")
        self._body_bytes += len(body)
        self._incoming.size += len(body)
        self._incoming.parts.append(body)
        if self._current is None:
            allowed_s = self._limits.stall_s + self._incoming.size / BODY_RATE_MIN
            self.deadline = self._incoming.body_began + allowed_s

    def on_message_complete(self) -> None:
        assert self._incoming is not None
        incoming, self._incoming = self._incoming, None
        self._completed += 1
        self._requests.append(
            HttpRequest(
                method=self._parser.get_method().decode("ascii", "replace"),
                path=_path(incoming.path),
                body=b"".join(incoming.parts),
                keep_alive=self._parser.should_keep_alive(),
                version=self._parser.get_http_version(),
                content_type=_media_type(incoming.content_type),
                host=incoming.host.decode("latin-1"),
            )
        )

    # ------------------------------------------------------------------ answers
    def _next(self) -> None:
        """Takes up the next request, when the one before is answered and its answer on its way."""
        while self._current is None and self._requests and not self._writing_paused and self._transport is not None:
            self._current = request = self._requests.popleft()
            self.deadline = None
            cancel = self._application(request, partial(self._respond, request))
            self._cancel = cancel if self._current is request else None
        self._throttle()

    def _respond(self, request: HttpRequest, answer: HttpAnswer) -> None:
        if self._transport is None:
            return
        if self._current is not request:
            raise RuntimeError("a request is answered once")
        self._current = self._cancel = None
        self._bodies.give(len(request.body))
        if self._transport.is_closing():
            return
        if answer is CUT:
            self._reset()
            return
        last = not request.keep_alive or (self._input_over and not self._requests)
        self._transport.writelines(
            (_head(request, answer, close=last), b"" if request.method == "HEAD" else answer.body)
        )
        if last:
            self._close()
        else:
            self._expect_within(self._limits.stall_s if self.unsent or self._incoming else self._limits.idle_s)
            self._loop.call_soon(self._next)

    def _refuse(self, answer: HttpAnswer) -> None:
        """What comes after this cannot be trusted to be a request: answer, and let the connection go."""
        self._input_over = True
        if self._current is not None or self._requests or self._transport is None:
            return  # closes after the answers that are owed
        self._transport.write(_head(None, answer, close=True) + answer.body)
        self._transport.write_eof()
        self.deadline = self._loop.time() + LINGER_S

    def _close(self) -> None:
        """After what is written has gone out."""
        self._input_over = True
        self._bodies.give(sum(len(request.body) for request in self._requests))
        self._requests.clear()
        self._expect_within(self._limits.stall_s)
        if self._transport is not None:
            self._transport.close()

    def _reset(self) -> None:
        """The client shall see a reset, not an end."""
        if self._transport is not None:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()

    def _throttle(self) -> None:
        """A client that sends far ahead is not read from."""
        if self._transport is None or self._transport.is_closing():
            return
        full = len(self._requests) >= SENT_AHEAD_MAX
        if full and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()
        elif self._reading_paused and not self._requests:
            self._reading_paused = False
            self._transport.resume_reading()

    def _expect_within(self, seconds: float) -> None:
        """While an answer is being made, the waiting is on us."""
        if self._current is None:
            self.deadline = self._loop.time() + seconds

    def _release_bodies(self) -> None:
        held = [request.body for request in self._requests]
        if self._current is not None:
            held.append(self._current.body)
        if self._incoming is not None:
            held += self._incoming.parts
        self._bodies.give(sum(map(len, held)))
        self._current, self._incoming = None, None
        self._requests.clear()


def _path(url: bytes) -> str:
    try:
        return urlsplit(url.decode("latin-1")).path
    except ValueError:
        return ""


def _media_type(value: bytes) -> str:
    return value.partition(b";")[0].strip().lower().decode("latin-1")


def _bad_request(message: str) -> HttpAnswer:
    return HttpAnswer(HTTPStatus.BAD_REQUEST, f"{message}\n".encode())


def _head(request: HttpRequest | None, answer: HttpAnswer, *, close: bool) -> bytes:
    version = "1.0" if request is not None and request.version == "1.0" else "1.1"
    lines = [
        f"HTTP/{version} {answer.status.value} {answer.status.phrase}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {len(answer.body)}",
        f"Connection: {'close' if close else 'keep-alive'}",
        *(f"{name}: {value}" for name, value in answer.headers),
    ]
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1")
