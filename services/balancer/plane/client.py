"""One client connection: heads in, exchanges one after the other, and the ways a connection may end."""

from __future__ import annotations

import enum
import re
from typing import Final

from services.balancer.compose import request_line
from services.balancer.core.places import Place
from services.balancer.plan import ClientRules, Route
from services.balancer.plane.engine import Engine, ListenerState
from services.balancer.plane.exchange import Exchange
from services.balancer.plane.facts import Facts, client_info
from services.balancer.plane.leading import after_error, after_errors, decide
from services.balancer.plane.own_answers import error_page, own_answer
from services.balancer.plane.prepared import Manner, Prepared, prepare
from services.balancer.plane.timers import NEVER
from services.balancer.plane.transport import NOWHERE, Endpoint, Transport
from services.balancer.wire.body import BodyReader
from services.balancer.wire.errors import CONTINUE, ENDS_CONNECTION
from services.balancer.wire.fields import FramingError
from services.balancer.wire.request import RequestHead, find_head, unreadable

_EMPTY_LINES: Final = re.compile(rb"(?:\r\n)+")
MAX_PIPELINED: Final = 1 << 16
MAX_WAITING: Final = 1 << 19
MAX_REMEMBERED_HEAD: Final = 2048


class _Phase(enum.Enum):
    IDLE = "idle"  # between requests, nothing of the next one has come
    BUSY = "busy"  # a head is coming in, or a request is in progress
    LINGERING = "lingering"  # answered early: reading what the client still sends, so that it can read our answer
    CLOSING = "closing"


IDLE: Final = _Phase.IDLE  # attributes of an enum are slow to read
BUSY: Final = _Phase.BUSY


class ClientConnection(Endpoint):
    """Requests on one connection are served strictly one after the other; what comes early waits, bounded."""

    __slots__ = (
        "_ages_at",
        "_all_said",
        "_body",
        "_held",
        "_lingers_until",
        "_pending",
        "_phase",
        "_places",
        "_stalled_bytes",
        "_waiting_limit",
        "accepted_at",
        "aging",
        "engine",
        "exchange",
        "info",
        "last",
        "leaving",
        "listener",
        "rendered",
        "rendered_for",
        "rules",
        "served",
        "stalled",
        "transport",
    )

    def __init__(self, engine: Engine, listener: ListenerState) -> None:
        super().__init__()
        self.engine = engine
        self.listener = listener
        self.transport = NOWHERE
        self.exchange: Exchange | None = None
        self.rules: ClientRules = listener.plan.fallback.clients  # of the route that was asked for last
        self.served = 0
        self.leaving = engine.closing  # no request follows the one in progress
        self.aging = engine.closing  # whether it may stay has to be looked at with every answer
        self.accepted_at = engine.wheel.now
        self._ages_at = engine.wheel.now + listener.aging_s
        self._lingers_until = NEVER
        self.stalled = False
        self._stalled_bytes = 0
        self._waiting_limit = MAX_WAITING
        self.last: Prepared | None = None  # the last request, if the same head would be served in the same way
        self.rendered_for: Manner | None = None  # whose fields, for this connection, are in ``rendered``
        self.rendered = b""
        self._pending = b""
        self._phase = IDLE
        self._body: BodyReader | None = None
        self._held = False
        self._all_said = False  # the client sends no more
        self._places: tuple[Place, ...] = ()

    # Events of the transport

    def connection_made(self, transport: Transport) -> None:
        self.transport = transport
        engine = self.engine
        engine.totals.accepts += 1
        engine.serial += 1
        self.info = client_info(self.transport, engine.serial)
        engine.clients.add(self)
        self._places = engine.admit(self.info.remote_addr)
        if not self._places:
            engine.totals.refused += 1
            self._refuse(503)
            return
        self.transport.limit_waiting(MAX_WAITING)
        engine.wheel.arm(self, self.listener.header_timeout_s)

    def data_received(self, data: bytes) -> None:
        last = self.last
        if last is not None and self._phase is IDLE:
            prepared = last if last.head == data else self._follow(last, data)
            if prepared is not None:
                self._phase = BUSY
                self.deadline = NEVER
                self._begin(prepared)
                return
        self._receive(data)

    def eof_received(self) -> bool:
        exchange = self.exchange
        if exchange is not None:
            if exchange.outlives_client and self.transport.can_write_eof():
                self._all_said = True
                return True
            self._pending = b""
            self.exchange = None
            exchange.abandon()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.engine.wheel.forget(self)
        phase, self._phase = self._phase, _Phase.CLOSING
        exchange = self.exchange
        if exchange is not None and exchange.outlives_client:
            self.transport = NOWHERE
            self.resume_writing()
            return
        if exchange is not None:
            self.exchange = None
            exchange.abandon()
        elif self._pending and phase is BUSY and not self.stalled:
            facts = self._unread(self._pending)  # it left inside a head
            facts.status = 400
            self._note(facts)
        self._depart()

    def _depart(self) -> None:
        """Nothing is done for this client any more."""
        engine = self.engine
        engine.clients.discard(self)
        places, self._places = self._places, ()
        for place in places:
            engine.places.give_back(place)
        engine.client_gone()

    def pause_writing(self) -> None:
        self.stalled = True
        self._stalled_bytes = self.transport.waiting_bytes()
        self.engine.wheel.arm(self, self.rules.send_timeout_s)
        if self.exchange is not None:
            self.exchange.client_full()

    def resume_writing(self) -> None:
        self.stalled = False
        if self.exchange is not None:
            self.deadline = NEVER
            self._expect_body()
            self.exchange.client_ready()
        elif self._phase in (IDLE, BUSY):
            self._next_request()

    def on_deadline(self) -> None:
        if self._phase is _Phase.LINGERING:
            self._look_at_lingering()
        elif self._phase is _Phase.CLOSING or self.stalled:
            self._check_progress()
        elif self.exchange is not None:
            self.exchange.refuse(408)
        elif self._pending:
            self._refuse(408, self._pending)
        else:
            self._close()

    def _check_progress(self) -> None:
        waiting = self.transport.waiting_bytes()
        if waiting < self._stalled_bytes:
            self._stalled_bytes = waiting
            self.engine.wheel.arm(self, self.rules.send_timeout_s)
        else:
            self._cut_off()

    def _cut_off(self) -> None:
        """End with a client that was too slow; what waits for it in the kernel still goes, unless it is to be reset."""
        if self.rules.reset_timedout:
            self.transport.reset()
        else:
            self.transport.abort()

    # Requests

    def _receive(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is not None:
            self._receive_more(exchange, data)
        elif self._phase is _Phase.LINGERING:
            self._linger_on()
        elif self.stalled:
            self._pending += data
        elif self._phase in (IDLE, BUSY):
            self._receive_head(self._pending + data if self._pending else data)

    def _receive_more(self, exchange: Exchange, data: bytes) -> None:
        if exchange.tunnelling:
            exchange.tunnel(data)
        elif self._body is not None and not self._body.complete:
            self._feed_body(exchange, data)
        else:
            self._pending += data
            if len(self._pending) > MAX_PIPELINED:
                self.hold()

    def _receive_head(self, data: bytes) -> None:
        if data[:2] == b"\r\n":  # lines left over by some old clients, RFC 9112 section 2.2
            data = _EMPTY_LINES.sub(b"", data, count=1)
        if not data:
            self._pending = b""
            return
        try:
            size = find_head(data, self.listener.limits)
            if not size:
                if self._phase is _Phase.IDLE or not self._pending:
                    self.engine.wheel.arm(self, self.listener.header_timeout_s)
                self._phase = _Phase.BUSY
                self._pending = data
                return
            self._pending = data[size:]
            prepared = self._prepare(data[:size])
        except FramingError as error:
            self._refuse(error.status, data)
            return
        self._phase = _Phase.BUSY
        self.deadline = NEVER
        self._begin(prepared)

    def _follow(self, last: Prepared, data: bytes) -> Prepared | None:
        """Make a request ready that differs from the last one in its first line alone; None when it is anything else."""
        request = self.listener.parser.follow(last.request.block, data)
        if request is None:
            return None
        try:
            route = self.listener.router.find(request)
        except FramingError:
            return None
        manner = last.manner
        if route is not manner.route:
            return None
        size = len(request.method) + 1 + len(request.target)
        line = data[:size] + manner.line_end if manner.line_end else request_line(request, route)
        self.last = prepared = Prepared(data, request, manner, line)
        return prepared

    def _prepare(self, head: bytes) -> Prepared:
        listener = self.listener
        request = listener.parser.parse(head)
        route = listener.router.find(request)
        if not route.plain or (request.has_body and not route.group):
            return self._lead(head, request, route)
        prepared = prepare(head, route, self.engine.pools, request, self.info)
        if prepared.manner.reusable and len(head) <= MAX_REMEMBERED_HEAD:
            self.last = prepared
        return prepared

    def _lead(self, head: bytes, request: RequestHead, route: Route) -> Prepared:
        """Through rules and access lists, to the route where they lead."""
        facts = Facts.of(self, request, route)
        route = decide(facts, route, self.listener.router.locations(request.host))
        return prepare(head, route, self.engine.pools, facts.request, self.info)

    def _begin(self, prepared: Prepared) -> None:
        self.served += 1
        self.engine.totals.requests += 1
        manner = prepared.manner
        self.rules = manner.clients
        if manner.pool is None:
            self._answer_self(prepared)
            return
        self.exchange = exchange = Exchange(self, prepared, manner, manner.pool)
        if manner.reusable:
            exchange.start()
        else:
            self._begin_body(exchange)

    def _begin_body(self, exchange: Exchange) -> None:
        request, route = exchange.request, exchange.route
        if route.rate_limits and not exchange.rated:
            wait_s = exchange.wait_s()
            if wait_s < 0:
                exchange.refuse(route.rate_limit_status)
                return
            if wait_s:
                self._body = None  # what comes meanwhile is kept, within bounds
                exchange.delay = self.engine.loop.call_later(wait_s, self._wait_is_over, exchange)
                return
        self._body = BodyReader(request) if request.has_body else None
        if route.conn_limits and not exchange.limited and not exchange.admitted():
            exchange.refuse(route.conn_limit_status)
            return
        exchange.fresh = False
        if 0 < route.max_body_bytes < (request.length or 0):
            exchange.route = route.errors[413]
            exchange.refuse(413)
            return
        if request.expects:
            self.transport.write(CONTINUE)
        if self._body is None:
            exchange.start()
            return
        self.engine.wheel.arm(self, self.rules.body_timeout_s)
        data, self._pending = self._pending, b""
        if data:
            self._feed_body(exchange, data)
        elif exchange.streaming:
            exchange.start()

    def _wait_is_over(self, exchange: Exchange) -> None:
        exchange.delay = None
        self.read_on()
        self._begin_body(exchange)

    def _feed_body(self, exchange: Exchange, data: bytes) -> None:
        body = self._body
        if body is None:
            return
        try:
            payload, used = body.feed(data)
        except FramingError as error:
            exchange.refuse(error.status)
            return
        if used < len(data):
            self._pending += data[used:]
        if body.complete:
            self.deadline = NEVER
        else:
            self.engine.wheel.arm(self, self.rules.body_timeout_s)
        exchange.body_arrived(payload, complete=body.complete)

    def flush_to_tunnel(self) -> None:
        """Pass on what the client sent before the upgrade was answered."""
        data, self._pending = self._pending, b""
        if data and self.exchange is not None:
            self.exchange.tunnel(data)

    # Commands of the exchange

    @property
    def may_stay(self) -> bool:
        """Whether another request may follow on the connection (nginx ``keepalive_timeout``, ``keepalive_requests`` …)."""
        rules = self.rules
        if self.leaving or not rules.keepalive_s or self.served >= rules.keepalive_requests:
            return False
        return self.engine.wheel.now - self.accepted_at < rules.keepalive_time_s

    @property
    def body_bytes(self) -> int:
        """How many bytes of the request's body have come, as they were framed."""
        return self._body.taken if self._body is not None else 0

    @property
    def body_ended(self) -> bool:
        return self._body is not None and self._body.complete

    def hold(self) -> None:
        """Stop reading from the client. The silence is ours, so it does not have to send its body in time."""
        if not self._held:
            self._held = True
            self.transport.pause_reading()
            if not self.stalled:
                self.deadline = NEVER

    def read_on(self) -> None:
        if self._held:
            self._held = False
            self.transport.resume_reading()
            self._expect_body()

    def _expect_body(self) -> None:
        """Give the client its time for the next piece of its body, if there is more to come."""
        if self._body is not None and not (self._body.complete or self.stalled or self._held):
            self.engine.wheel.arm(self, self.rules.body_timeout_s)

    def limit_waiting(self, size: int) -> None:
        """How many bytes of an answer may wait for this client before the upstream is stopped."""
        if size != self._waiting_limit:
            self._waiting_limit = size
            self.transport.limit_waiting(size)

    def exchange_done(self, *, keep: bool) -> None:
        self.exchange = None
        if self._phase is _Phase.CLOSING:
            if self.transport is NOWHERE:
                self._depart()
            return
        if not keep:
            self._finish()
            return
        self._body = None
        if self.stalled:
            # Who does not read answers gets no more of them: the next request waits.
            self._phase = BUSY
            self.hold()
        else:
            self._next_request()

    def _next_request(self) -> None:
        if self._held:
            self.read_on()
        if self._pending:
            self.engine.loop.call_soon(self._receive, b"")
        elif self._all_said:
            self._close()
            return
        else:
            self._phase = IDLE
        wheel = self.engine.wheel
        if wheel.now >= self._ages_at:
            self.aging = True
        wheel.arm(self, self.rules.keepalive_s)

    def page_for(self, facts: Facts, status: int) -> Route | None:
        """Where an error leads in the end; None when the balancer's own page says it."""
        locations = self.listener.router.locations(facts.request.host)
        self.leave_after(status)
        page = after_error(facts, status, locations)
        if page is not None:
            page = self._within_reach(after_errors(facts, page, locations))
            self.rules = page.clients
        return page

    def leave_after(self, status: int) -> None:
        """End the connection after what is said about some errors, whoever says it."""
        if status in ENDS_CONNECTION:
            self.leaving = self.aging = True

    def _within_reach(self, route: Route) -> Route:
        """The route itself, unless a reload took its group away, and this connection's listener with it."""
        return route if not route.group or route.group in self.engine.pools else route.errors[500]

    def go_on(self, before: Exchange, route: Route) -> None:
        """Pass the request of an exchange that an error has ended on to another upstream."""
        exchange = self._exchange_at(route, before.request)
        exchange.succeed(before)
        if exchange.fresh:
            self._begin_body(exchange)
        else:
            exchange.start()

    def _exchange_at(self, route: Route, request: RequestHead) -> Exchange:
        prepared = prepare(b"", route, self.engine.pools, request, self.info)
        self.exchange = exchange = Exchange(self, prepared, prepared.manner, self.engine.pools[route.group])
        return exchange

    def answer_whole(self, wire: bytes) -> None:
        """Send an answer of our own to the request in progress; no answer at all just closes."""
        exchange = self.exchange
        if exchange is None:
            return
        if not wire:
            self._close()
        else:
            self.transport.write(wire)
        self.exchange_done(keep=exchange.stays)

    def _answer_self(self, prepared: Prepared) -> None:
        asked = prepared.manner.route
        facts = Facts.of(self, prepared.request, asked)
        locations = self.listener.router.locations(prepared.request.host)
        route = self._within_reach(after_errors(facts, asked, locations))
        self.rules = route.clients
        request = facts.request
        if route.group:
            self._begin_body(self._exchange_at(route, request))
            return
        keep = request.keep_alive and self._reads_past_body(prepared.request) and self.may_stay
        wire = own_answer(facts, route, close=not keep)
        self._note(facts)
        if not wire:
            self._close()
            return
        self.transport.write(wire)
        self.exchange_done(keep=keep)

    def _reads_past_body(self, request: RequestHead) -> bool:
        """Pass over a body that nobody wants; true when all of it is there."""
        if not request.has_body:
            return True
        body = self._body = BodyReader(request)
        data, self._pending = self._pending, b""
        try:
            _, used = body.feed(data)
        except FramingError:
            return False
        self._pending = data[used:]
        return body.complete

    def _note(self, facts: Facts) -> None:
        """Count and log what the balancer answered by itself."""
        self.engine.totals.codes[facts.status] += 1
        if self.engine.access_log is not None:
            self.engine.access_log.write(facts)

    def break_off(self) -> None:
        """End so that the client notices that its answer is not complete."""
        exchange, self.exchange = self.exchange, None
        if self.transport is NOWHERE:
            self._depart()
        elif exchange is not None and exchange.ends_with_connection:
            self.transport.reset()
        else:
            self._close()

    # Endings

    def _refuse(self, status: int, data: bytes = b"") -> None:
        """Answer bytes that are no request we take; nothing after them can be trusted to be one."""
        facts = self._unread(data)
        page = self.page_for(facts, status)
        if page is None or page.group:
            self.transport.write(error_page(facts, status, close=True))
        else:
            self.transport.write(own_answer(facts, page, close=True))
        self._note(facts)
        self._pending = b""
        self._linger()

    def _unread(self, data: bytes) -> Facts:
        self.engine.totals.requests += 1
        return Facts.of(self, unreadable(data), self.listener.plan.fallback)

    def _finish(self) -> None:
        """Close after the answer; linger when the client may still be sending (nginx ``lingering_close``)."""
        sending = self._pending or (self._body is not None and not self._body.complete)
        if sending or self.rules.lingering == "always":
            self._linger()
        else:
            self._close()

    def _linger(self) -> None:
        self._phase = _Phase.LINGERING
        self._pending = b""
        if self.rules.lingering == "off" or not self.transport.can_write_eof():
            self._close()
            return
        self.transport.write_eof()
        self.read_on()
        self._stalled_bytes = self.transport.waiting_bytes()
        self._allow_lingering()

    def _allow_lingering(self) -> None:
        """Give the client time to take what waits for it, and when it has, to say what it still says."""
        rules = self.rules
        allowed_s = rules.send_timeout_s if self._stalled_bytes else rules.lingering_time_s
        self._lingers_until = self.engine.wheel.now + allowed_s
        self._linger_on()

    def _look_at_lingering(self) -> None:
        before, self._stalled_bytes = self._stalled_bytes, self.transport.waiting_bytes()
        if self._stalled_bytes < before:
            self._allow_lingering()
        elif self._stalled_bytes and self.engine.wheel.now < self._lingers_until:
            self._linger_on()
        else:
            self.transport.abort()

    def _linger_on(self) -> None:
        """Wait for more of what is not wanted, or for the client to close."""
        left_s = self._lingers_until - self.engine.wheel.now
        self.engine.wheel.arm(self, min(left_s, self.rules.lingering_timeout_s))

    def _close(self) -> None:
        """Close once what is written has gone, or no more of it within the send timeout."""
        self._phase = _Phase.CLOSING
        self._stalled_bytes = self.transport.waiting_bytes()
        self.engine.wheel.arm(self, self.rules.send_timeout_s)
        self.transport.close()

    def leave_soon(self, *, gently: bool) -> None:
        """Close after the request in progress or, gently, after the next one; else now."""
        self.leaving = self.aging = True
        if not gently and self.exchange is None and self._phase in (_Phase.IDLE, _Phase.BUSY):
            self._close()

    def abort(self) -> None:
        self.transport.abort()
