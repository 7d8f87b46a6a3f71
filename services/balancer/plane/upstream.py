"""One connection to an upstream server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from services.balancer.core.peers import Peer
from services.balancer.core.retry import Condition
from services.balancer.plane.timers import NEVER
from services.balancer.plane.transport import NOWHERE, Endpoint, Transport
from services.balancer.wire.chunked import ChunkedScanner
from services.balancer.wire.fields import FramingError
from services.balancer.wire.outline import CHUNKED, CLOSE, LENGTH, NONE, Framing
from services.balancer.wire.response import ResponseHead, find_response_head

if TYPE_CHECKING:
    from services.balancer.plane.exchange import Exchange
    from services.balancer.plane.pool import Pool

MAX_INTERIMS: Final = 32


class UpstreamConnection(Endpoint):
    """Carries one exchange at a time. Without one it is idle in its pool, and any byte then means it must go."""

    __slots__ = (
        "_framing",
        "_interims",
        "_left",
        "_parser",
        "_partial",
        "_read_timeout_s",
        "_scanner",
        "_stats",
        "_transport",
        "_unsent",
        "_wheel",
        "exchange",
        "home",
        "idle_since",
        "peer",
        "pool",
        "requests",
        "retires_at",
    )

    def __init__(self, pool: Pool, peer: Peer) -> None:
        super().__init__()
        self.pool = pool
        self.peer = peer
        self.exchange: Exchange | None = None
        self.requests = 0
        self.home: list[UpstreamConnection] = pool.idle_of(peer)
        self.idle_since = 0.0
        self.retires_at = pool.engine.wheel.now + pool.group.settings.keepalive.life_s
        self._parser = pool.parser
        self._stats = peer.stats
        self._wheel = pool.engine.wheel
        self._transport = NOWHERE
        self._partial = b""
        self._framing: Framing | None = None  # None: the head is not complete yet
        self._left = 0
        self._interims = 0
        self._scanner: ChunkedScanner | None = None
        self._read_timeout_s = 60.0
        self._unsent = 0  # what waited to be sent when that was looked at last, while it is too much

    # Events of the transport

    def connection_made(self, transport: Transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:
            self.pool.discard(self)
            self.close()
            return
        self._stats.received += len(data)
        self.deadline = self._wheel.now + self._read_timeout_s
        if self._framing is None:
            self._on_head(exchange, data)
        else:
            self._on_body(exchange, data)

    def eof_received(self) -> bool:
        if self.exchange is None:
            self.pool.discard(self)  # before it is given a request that it could only lose
        return False  # closes the transport; connection_lost judges

    def connection_lost(self, exc: Exception | None) -> None:
        self._wheel.forget(self)
        exchange, self.exchange = self.exchange, None
        if exchange is None:
            self.pool.discard(self)
        elif self._framing is None:
            exchange.attempt_failed(Condition.ERROR, f"closed before the answer: {exc or 'end of stream'}")
        elif self._framing is CLOSE and exc is None:
            exchange.finished(reusable=False)
        else:
            exchange.broken_off(f"closed inside the answer: {exc or 'end of stream'}")

    def pause_writing(self) -> None:
        self._unsent = self._transport.waiting_bytes()
        if self.exchange is not None:
            self.exchange.upstream_full()

    def resume_writing(self) -> None:
        self._unsent = 0
        if self.exchange is not None:
            self.exchange.upstream_ready()

    def on_deadline(self) -> None:
        exchange = self.exchange
        if exchange is None:
            self.pool.discard(self)
            self.close()
        elif self._takes_more():
            self._wheel.arm(self, self._read_timeout_s)
        elif self._framing is None:
            exchange.attempt_failed(Condition.TIMEOUT, "send timed out" if self._unsent else "read timed out")
        else:
            exchange.broken_off("read timed out inside the answer")

    def _takes_more(self) -> bool:
        """Whether some of what waited to be sent has gone since that was looked at."""
        before, self._unsent = self._unsent, min(self._unsent, self._transport.waiting_bytes())
        return self._unsent < before

    # Commands of the exchange

    def begin(self, exchange: Exchange, head: bytes, read_timeout_s: float) -> None:
        """Send a request head and expect its answer."""
        self.exchange = exchange
        self.requests += 1
        self._framing = None
        self._read_timeout_s = read_timeout_s
        self._wheel.arm(self, read_timeout_s)
        self._stats.sent += len(head)
        self._transport.write(head)

    def write(self, data: bytes) -> None:
        self._stats.sent += len(data)
        self._transport.write(data)

    @property
    def full(self) -> bool:
        """Whether it has to take some of what waits before it gets more."""
        return self._unsent > 0

    @property
    def all_sent(self) -> bool:
        """Whether nothing waits here to be sent; an early answer may overtake the body."""
        return not self._transport.waiting_bytes()

    def expect_within(self, delay_s: float) -> None:
        self._read_timeout_s = delay_s
        self._wheel.arm(self, delay_s)

    def pause(self) -> None:
        """Stop reading: the client cannot take more. The silence is ours, so no deadline runs."""
        self._transport.pause_reading()
        self.deadline = NEVER

    def resume(self) -> None:
        self._transport.resume_reading()
        self._wheel.arm(self, self._read_timeout_s)

    def detach(self) -> None:
        """The exchange is over with this connection."""
        self.exchange = None
        self._framing = None
        self._interims = 0
        self._partial = b""
        self._scanner = None

    def close(self) -> None:
        """Close now; bytes that are not sent yet are dropped."""
        self.exchange = None
        self._wheel.forget(self)
        if self._transport.waiting_bytes():
            self._transport.abort()
        else:
            self._transport.close()

    # The answer

    def _on_head(self, exchange: Exchange, data: bytes) -> None:
        if self._partial:
            data = self._partial + data
            self._partial = b""
        try:
            head = self._parser.read(data) if exchange.plain_method else self._read_head(exchange, data)
        except FramingError as error:
            exchange.attempt_failed(Condition.INVALID_HEADER, error.reason)
            return
        if head is None:
            self._partial = data
            return
        size = len(head.raw)
        if exchange.quick and head.outline.ordinary and head.length == len(data) - size:
            # The whole of an ordinary answer: nothing to edit, nothing to wait for.
            self.exchange = None
            exchange.finish_at_once(self, head, data)
            return
        if head.status < 200 and head.status != 101:
            self._interim(exchange, head, data[size:])
            return
        self._begin_body(exchange, head, data, size)

    def _read_head(self, exchange: Exchange, data: bytes) -> ResponseHead | None:
        """The same for a request whose method, or upgrade, says something of the body."""
        size = find_response_head(data)
        if not size:
            return None
        to_head_request = exchange.request.method == b"HEAD"
        return self._parser.parse_answer_to(
            data[:size], to_head_request=to_head_request, upgrade_asked=exchange.upgrading
        )

    def _interim(self, exchange: Exchange, head: ResponseHead, rest: bytes) -> None:
        self._interims += 1
        if self._interims > MAX_INTERIMS:
            exchange.attempt_failed(Condition.INVALID_HEADER, "too many interim answers")
            return
        exchange.quick = False  # which does not forget them
        exchange.interim(head)
        if rest and self.exchange is exchange:
            self._on_head(exchange, rest)

    def _begin_body(self, exchange: Exchange, head: ResponseHead, data: bytes, size: int) -> None:
        """Settle how the body ends, cut off what does not belong to it, hand both on."""
        framing = head.framing
        first = len(data) - size
        whole = False
        if framing is LENGTH:
            self._left = head.length - first
            whole = self._left <= 0
        elif framing is NONE:
            self._left = -first
            whole = True
        elif framing is CHUNKED:
            self._scanner = ChunkedScanner()
            self._left = 0
        if not exchange.accepts(head, whole=whole):
            return
        self._framing = framing
        if framing is CHUNKED:
            exchange.answer(head, data[:size])
            self._on_chunks(exchange, data[size:])
            return
        surplus = whole and self._left < 0
        exchange.answer(head, data[: self._left] if surplus else data, size)
        if whole and self.exchange is exchange:
            exchange.finished(reusable=head.keep_alive and not surplus)

    def _on_body(self, exchange: Exchange, data: bytes) -> None:
        framing = self._framing
        if framing is LENGTH:
            self._left -= len(data)
            if self._left > 0:
                exchange.relay(data)
                return
            surplus = self._left < 0
            exchange.relay(data[: self._left] if surplus else data)
            if self.exchange is exchange:
                exchange.finished(reusable=exchange.upstream_stays and not surplus)
        elif framing is CHUNKED:
            self._on_chunks(exchange, data)
        else:
            exchange.relay(data)

    def _on_chunks(self, exchange: Exchange, data: bytes) -> None:
        scanner = self._scanner
        if not data or scanner is None:
            return
        payload: list[bytes] | None = [] if exchange.decodes else None
        try:
            used = scanner.feed(data, payload)
        except FramingError as error:
            exchange.broken_off(error.reason)
            return
        relayed = b"".join(payload) if payload is not None else data[:used] if used < len(data) else data
        if relayed:
            exchange.relay(relayed)
        if scanner.done and self.exchange is exchange:
            exchange.finished(reusable=exchange.upstream_stays and used == len(data))
