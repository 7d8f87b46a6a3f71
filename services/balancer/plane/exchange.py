"""One request and its answer: attempts at peers, the body on its way up, the answer on its way down."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from services.balancer.compose import framing_lines
from services.balancer.core.course import Course, shown_status
from services.balancer.core.gzipping import Packer
from services.balancer.core.peers import Peer
from services.balancer.core.places import Place
from services.balancer.core.rates import wait_ms
from services.balancer.core.retry import BY_STATUS, Attempt, Condition, counts_as_failure, final_status, may_retry
from services.balancer.core.variables import Try
from services.balancer.plane.downhead import client_head
from services.balancer.plane.facts import Facts
from services.balancer.plane.own_answers import bodiless_answer, error_page, own_answer
from services.balancer.plane.prepared import Manner, Prepared
from services.balancer.plane.timers import NEVER
from services.balancer.plane.upstream import UpstreamConnection
from services.balancer.wire.chunked import LAST_CHUNK, chunk
from services.balancer.wire.outline import CLOSE, TUNNEL
from services.balancer.wire.request import RequestHead
from services.balancer.wire.response import ResponseHead

if TYPE_CHECKING:
    from services.balancer.plane.client import ClientConnection
    from services.balancer.plane.dialling import Dialling
    from services.balancer.plane.pool import Pool, Waiting

UNCHUNKED_BYTES: Final = 1 << 24  # of a body in chunks, kept for an upstream that is to be told its length
SURPLUS_BYTES: Final = 1 << 16  # of a streamed body, kept while no peer is connected


class Exchange(Facts):
    """Owned by its client connection; driven by it and by one upstream connection at a time.

    Rare state has class-level defaults: most requests have no body, one attempt and no tunnel.
    """

    upstream: UpstreamConnection | None = None
    connecting: Dialling | None = None
    answered = False
    keeps = True
    upstream_stays = True
    wraps = False  # the answer is chunked by us
    decodes = False  # the answer is dechunked by us
    packer: Packer | None = None  # the answer is compressed by us
    tunnelling = False
    over = False
    body_complete = True
    streaming = False  # the body is passed on as it comes
    streamed = False  # some of it has gone and is not kept
    started = False
    sent = False
    upgrading = False
    ignores_abort = False
    stays = True  # the client's connection, after an answer of our own
    limited_by: tuple[Place, ...] = ()
    plain_method = True  # the head of the answer alone says whether a body follows
    place: Waiting | None = None  # in the queue
    waits_until = NEVER
    rated = False  # its rates have been looked at
    limited = False  # its limits have been looked at
    delay: asyncio.TimerHandle | None = None  # until its rates let it in
    fresh = True  # nothing of its body has been looked at
    asks = b""  # the head for the upstream, where it is made at the beginning
    buffer_bytes = 0  # of the body, kept until it is complete
    shown = 0  # the status that clients see; 0 is that of the answer

    def __init__(self, connection: ClientConnection, prepared: Prepared, manner: Manner, pool: Pool) -> None:
        super().__init__(pool.group.primaries)
        self.connection = connection
        self.engine = engine = connection.engine
        self.prepared = prepared
        self.manner = manner
        self.request = request = prepared.request
        self.route = manner.route
        self.pool = pool
        self.quick = prepared.quick
        self.started_at = self.attempt_at = engine.reactor.now
        if not self.quick:
            self._look_closer(request)

    def _look_closer(self, request: RequestHead) -> None:
        """What only a request that is not quite ordinary needs."""
        self.upgrading = request.upgrade != b"" and self.route.websocket
        self.plain_method = not (self.upgrading or request.method == b"HEAD")
        self.ignores_abort = self.route.ignore_abort
        self.shown = shown_status(request)
        if request.has_body:
            self.body_complete = False
            self.kept: list[bytes] = []
            self.buffer_bytes = limit = self.route.request_buffer_bytes
            if request.chunked and not self.route.minor:
                self.buffer_bytes = max(limit, UNCHUNKED_BYTES)  # HTTP/1.0 knows no chunks, only lengths
            self.streaming = not self.buffer_bytes or (request.length or 0) > limit

    def admitted(self) -> bool:
        """Take a place under each limit of the route; false when one is full (nginx ``limit_conn``)."""
        self.limited = True
        for limit in self.route.conn_limits:
            place = (limit.zone, limit.key.render(self))
            if place[1] and not self.engine.places.take(place, limit.most):
                self._leave_limits()
                return False
            if place[1]:
                self.limited_by = (*self.limited_by, place)
        return True

    def wait_s(self) -> float:
        """How long the request has to wait by the rates of its route; below 0 it may not come (nginx ``limit_req``)."""
        self.rated = True
        limits = [(limit.rate, limit.key.render(self)) for limit in self.route.rate_limits]
        asked = [(rate, key) for rate, key in limits if key]
        delay_ms = wait_ms(asked, self.engine.buckets, int(self.engine.time() * 1000))
        if delay_ms and self.route.rate_limit_dry_run:
            what = "request would be refused" if delay_ms < 0 else "request would wait"
            self.engine.warn(what, zone=asked[0][0].zone, wait_ms=max(delay_ms, 0))
            return 0.0
        return delay_ms / 1000

    def _leave_limits(self) -> None:
        for place in self.limited_by:
            self.engine.places.give_back(place)
        self.limited_by = ()

    def _key(self) -> bytes:
        if self.route.hash_key is not None:
            return self.route.hash_key.render(self)
        return self.connection.info.packed_addr

    @property
    def request_bytes(self) -> int:
        return self.request.size + self.connection.body_bytes

    # Attempts

    def start(self) -> None:
        self.started = True
        if self.manner.late:
            self.asks = self._head()
        if self.pool.keyed:
            self.key = self._key()
        self.next_peer()

    def next_peer(self) -> None:
        """Ask the next peer, or wait in the queue, or give up."""
        self._leave_queue()
        if self.used:
            self.attempt_at = self.engine.time()
        peer = self.pool.group.select(self, int(self.attempt_at))
        if peer is None:
            self.place = self.pool.enqueue(self)
            if self.place is None:
                name = self.pool.group.name
                self.engine.totals.no_live += 1
                self.engine.warn("no live upstreams", upstream=name)
                self.failures = (*self.failures, Try(name, 502, None, None, 0.0))  # logged as an attempt at the group
                self._give_up(502)
            return
        self.peer = peer
        peer.stats.requests += 1
        peer.stats.selected_at = self.attempt_at
        connection = self.pool.take(peer)
        if connection is None:
            self.connecting = self.pool.connect(self, peer)
        else:
            self._send(connection)

    def waited_too_long(self) -> None:
        """The time in the queue is up."""
        self._leave_queue()
        self._give_up(502)

    def _leave_queue(self) -> None:
        place, self.place = self.place, None
        if place is not None:
            self.pool.leave_queue(place)

    def connected(self, connection: UpstreamConnection) -> None:
        self.connecting = None
        self.connect_s = self.engine.time() - self.attempt_at
        self._send(connection)

    def _send(self, connection: UpstreamConnection) -> None:
        self.upstream = connection
        self.sent = True
        head = self.asks or self._head()
        if not self.request.has_body:
            connection.begin(self, head, self.manner.read_timeout_s)
            return
        length = self.request.length if self.streaming else self.body_size
        body = self.kept if self.request.length is not None or not self.streaming else [chunk(b"".join(self.kept))]
        connection.begin(self, b"".join([head, framing_lines(self.request, length), *body]), self.manner.read_timeout_s)
        if self.streaming:
            self.streamed = bool(self.kept)
            self.kept = []
            self._body_went_on(connection)
            if not connection.full:
                self.connection.read_on()

    def _head(self) -> bytes:
        """What the upstream gets, up to what frames a body."""
        line = self.prepared.line
        return (line if isinstance(line, bytes) else line(self)) + self._fields()

    def _fields(self) -> bytes:
        """The header lines for the upstream; most are the same for every request of a connection."""
        manner, client = self.manner, self.connection
        if client.rendered_for is manner:
            return client.rendered
        fields = b"".join([part if isinstance(part, bytes) else part(self) for part in manner.fields])
        if manner.steady:
            client.rendered_for, client.rendered = manner, fields
        return fields

    def attempt_failed(self, condition: Condition, why: str) -> None:
        """The attempt at the current peer came to nothing; charge the peer and go on or give up."""
        peer, connection = self.peer, self.upstream
        self.peer = self.upstream = self.connecting = None
        if peer is None or self.over:
            return
        reused = connection is not None and connection.requests > 1
        if connection is not None:
            connection.detach()
            connection.close()
        status = final_status(condition)
        self._record(peer, status)
        self._release(peer, failed=counts_as_failure(condition), why=why)
        if reused and condition is Condition.ERROR:
            self.used -= 1  # the peer may only have closed an idle connection
        if may_retry(self.route.retry, condition, self._attempt(0)):
            peer.stats.retried += 1
            self.waits_until = NEVER
            self.next_peer()
        else:
            self._give_up(status)

    def cannot_ask(self, why: str) -> None:
        """We have no means to connect to the peer, who is not charged for it; as in nginx, nobody else is asked."""
        peer, self.peer, self.connecting = self.peer, None, None
        if peer is None:
            return
        self.engine.warn("cannot connect", upstream=self.pool.group.name, peer=peer.address, reason=why)
        self._record(peer, 500)
        self._release(peer, failed=False)
        self._give_up(500)

    def _attempt(self, unfinished: int) -> Attempt:
        elapsed_s = self.engine.time() - self.started_at
        tries_left = self.pool.group.tries_left(self, self.route.retry) - unfinished
        return Attempt(self.request.method, self.sent, self.streamed, tries_left, elapsed_s)

    def _release(self, peer: Peer, *, failed: bool, why: str = "") -> None:
        if failed:
            peer.stats.failures += 1
            self.engine.warn("upstream failed", upstream=self.pool.group.name, peer=peer.address, reason=why)
        if self.pool.group.release(self, peer, int(self.engine.time()), failed=failed):
            self.engine.warn("upstream temporarily disabled", upstream=self.pool.group.name, peer=peer.address)
        self.pool.slot_freed()

    def _record(self, peer: Peer, status: int) -> None:
        total_s = self.engine.time() - self.attempt_at
        self.failures = (*self.failures, Try(peer.address, status, self.connect_s, self.header_s, total_s))
        self.connect_s = self.header_s = None

    def _give_up(self, status: int, *, onward: bool = True) -> None:
        """Answer with the route's page for an error, or the balancer's; ``onward``: it may come from an upstream."""
        client, route = self.connection, self.route
        page = client.page_for(self, status)
        if page is not None and page.group:
            if onward and self._may_be_sent_again():
                self.over = True
                client.go_on(self, page)
                return
            self.route, page = route, None
        self.stays = self.request.keep_alive and self.body_complete and client.may_stay
        if page is None:
            wire = error_page(self, status, close=not self.stays)
        else:
            wire = own_answer(self, page, close=not self.stays)
        self._end(self.status)
        client.answer_whole(wire)

    # An error that leads on to another upstream

    def _may_be_sent_again(self) -> bool:
        """Whether another upstream can be given the request: with its body, or as a GET for a page without one."""
        request = self.request
        if not request.has_body or self.fresh or (not self.streamed and (self.body_complete or self.started)):
            return True
        if isinstance(request, Course) and request.method in (b"GET", b"HEAD"):
            request.drop_body()
            return True
        return False

    def succeed(self, before: Exchange) -> None:
        """Take over the request of an exchange that an error has ended, with what there is of its body."""
        self.started_at = before.started_at
        self.rated = before.rated
        if before.failures:
            self.failures = (*before.failures, Try("", 0, None, None, None))
        self.limited, self.limited_by, before.limited_by = before.limited, before.limited_by, ()
        self.fresh = before.fresh
        self.body_complete = before.body_complete
        if self.request.has_body and not self.fresh:
            self.body_size, self.kept = before.body_size, before.kept
            self.streaming = not self.body_complete

    # The request's body

    def body_arrived(self, payload: bytes, *, complete: bool) -> None:
        """Decoded bytes of the body; kept until it is complete or too large to keep, then passed on."""
        self.body_complete = complete
        if not self.request.has_body:
            return  # an error has led to a page, and the body is not wanted any more
        self.body_size += len(payload)
        if 0 < self.route.max_body_bytes < self.body_size:
            self.streamed = True  # what came last is not kept
            self.refuse(413)
            return
        if self.streaming and self.upstream is not None:
            self._pass_on(self.upstream, payload)
            return
        if payload:
            self.kept.append(payload)
        if self.started:
            if self.body_size > self.buffer_bytes + SURPLUS_BYTES:
                self.connection.hold()
        elif complete:
            self.streaming = False
            self.start()
        elif self.streaming or self.body_size > self.buffer_bytes:
            self.streaming = True
            self.start()

    def _pass_on(self, connection: UpstreamConnection, payload: bytes) -> None:
        if payload:
            self.streamed = True
            connection.write(payload if self.request.length is not None else chunk(payload))
        self._body_went_on(connection)

    def _body_went_on(self, connection: UpstreamConnection) -> None:
        if not self.body_complete:
            if not connection.full:
                connection.deadline = NEVER  # it is the client we wait for
            return
        if self.request.chunked:
            connection.write(LAST_CHUNK)
        connection.expect_within(self.route.read_timeout_s)

    def refuse(self, status: int) -> None:
        """Answer with an error of our own while the request is still coming in."""
        if self.answered:
            self.broken_off("the request broke off inside the answer")
            return
        self._drop_upstream()
        self._give_up(status, onward=self.fresh or status == 413)

    # Back-pressure

    def upstream_full(self) -> None:
        self.connection.hold()
        if self.upstream is not None:
            self.upstream.expect_within(self.route.send_timeout_s)

    def upstream_ready(self) -> None:
        self.connection.read_on()
        if self.upstream is not None:
            self.upstream.expect_within(self.route.read_timeout_s)
            if not self.body_complete:
                self.upstream.deadline = NEVER

    def client_full(self) -> None:
        if self.upstream is not None:
            self.upstream.pause()

    def client_ready(self) -> None:
        if self.upstream is not None:
            self.upstream.resume()

    # The answer

    def interim(self, head: ResponseHead) -> None:
        """1xx other than 101. We answer Expect ourselves, so 100 is not passed on."""
        if head.status != 100 and self.request.minor == 1:
            self.connection.transport.write(head.plain)

    def accepts(self, head: ResponseHead, *, whole: bool) -> bool:
        """Whether this answer goes to the client; otherwise the attempt has been counted as failed."""
        condition = BY_STATUS.get(head.status)
        listed = condition is not None and self.route.retry.conditions & condition
        if condition is not None and listed and may_retry(self.route.retry, condition, self._attempt(1)):
            self.attempt_failed(condition, f"answered {head.status}")
            return False
        if self.route.intercept_errors and head.status in self.route.error_pages:
            self._intercept(head)
            return False
        if self.shown in (204, 304):
            self._say_without_body(head)
            return False
        return True

    def _intercept(self, head: ResponseHead) -> None:
        """Give our page in place of an upstream's error (nginx ``proxy_intercept_errors``)."""
        self._take_for_answer(head)
        self._give_up(head.status)

    def _say_without_body(self, head: ResponseHead) -> None:
        """Give an answer under a status that has no body."""
        self._take_for_answer(head)
        client = self.connection
        self.stays = self.request.keep_alive and self.body_complete and client.may_stay
        wire = bodiless_answer(self, self.shown, close=not self.stays)
        self._end(self.shown)
        client.answer_whole(wire)

    def _take_for_answer(self, head: ResponseHead) -> None:
        """Account for an answer of which the client sees nothing but what follows from its status."""
        self.status, self.answer_head = head.status, head
        self.header_s = self.engine.time() - self.attempt_at
        if self.peer is not None:
            self._account(self.peer, head)
        self._drop_upstream()

    def answer(self, head: ResponseHead, data: bytes, size: int | None = None) -> None:
        """The head of the final answer; ``data`` is what came, its body beginning at ``size``."""
        self.answered = True
        self.status = self.shown or head.status
        self.answer_head = head
        self.header_s = self.engine.time() - self.attempt_at
        self.upstream_stays = head.keep_alive
        self.connection.limit_waiting(self.route.response_buffer_bytes)
        rendered = client_head(self, head)
        first = len(data) - size if size is not None else 0
        self.sent_head = rendered
        self.head_bytes = len(rendered)
        self.body_bytes = first
        if head.framing is TUNNEL:
            self.tunnelling = True
        if rendered is head.raw:
            self.connection.transport.write(data)
        elif not first or size is None:
            self.connection.transport.write(rendered)
        elif self.packer is not None:
            self.connection.transport.write(rendered)
            self.body_bytes = 0
            self.relay(data[size:])
        elif self.wraps:
            wrapped = chunk(data[size:])
            self.body_bytes = len(wrapped)
            self.connection.transport.write(rendered + wrapped)
        else:
            self.connection.transport.write(rendered + data[size:])
        if self.tunnelling:
            self.connection.flush_to_tunnel()

    def relay(self, data: bytes) -> None:
        if self.packer is not None:
            data = self.packer.add(data)
            if not data:
                return
        if self.wraps:
            data = chunk(data)
        self.body_bytes += len(data)
        self.connection.transport.write(data)

    def _send_rest_of(self, packer: Packer) -> None:
        self.packer = None
        self.relay(packer.end())

    def tunnel(self, data: bytes) -> None:
        """Bytes of the client after an upgrade."""
        if self.upstream is not None:
            self.upstream.write(data)
            self.upstream.expect_within(self.route.read_timeout_s)

    def finish_at_once(self, connection: UpstreamConnection, head: ResponseHead, data: bytes) -> None:
        """The common case in one step: an ordinary answer that came whole, for a client that stays.

        Does what ``answer`` and ``finished`` do together; their general ways are for everything else.
        """
        peer, client, pool = self.peer, self.connection, self.pool
        if peer is None or client.served >= self.manner.may_serve or client.aging:
            connection.exchange = self
            self.quick = False
            connection.data_received(data)
            return
        self.status = status = head.outline.status
        client.transport.write(head.onward(data))
        stats, took_s = peer.stats, self.engine.reactor.now - self.attempt_at
        stats.codes[status] = stats.codes.get(status, 0) + 1
        stats.header_time_s += (took_s - stats.header_time_s) / 10
        stats.response_time_s += (took_s - stats.response_time_s) / 10
        if peer.watched or pool.group.single:
            self._release(peer, failed=False)
        else:
            peer.conns -= 1
        if self.engine.access_log is not None:
            self.answer_head, self.header_s, self.body_bytes = head, took_s, head.length
            self.upstream = connection
            self._end(status)
        else:
            self.over = True
            self.engine.totals.codes[status] += 1
        self.upstream = self.peer = None
        if client.stalled:
            connection.resume()
        pool.put(connection)
        if pool.waiting:
            pool.slot_freed()
        client.exchange_done(keep=True)

    def finished(self, *, reusable: bool) -> None:
        """The answer is complete."""
        connection, peer = self.upstream, self.peer
        if connection is None or peer is None:
            return
        connection.detach()
        if self.answer_head is not None:
            self._account(peer, self.answer_head)
        if self.packer is not None:
            self._send_rest_of(self.packer)
        if self.wraps:
            self.body_bytes += len(LAST_CHUNK)
            self.connection.transport.write(LAST_CHUNK)
        if reusable and self.body_complete and connection.all_sent:
            if self.connection.stalled:
                connection.resume()
            self.pool.put(connection)
        else:
            connection.close()
        self._release(peer, failed=False)
        self._end(self.status)
        self.upstream = self.peer = None
        self.connection.exchange_done(keep=self.keeps and self.body_complete)

    def _account(self, peer: Peer, head: ResponseHead) -> None:
        stats = peer.stats
        stats.codes[head.status] = stats.codes.get(head.status, 0) + 1
        if self.header_s is not None:
            stats.header_time_s += (self.header_s - stats.header_time_s) / 10
        stats.response_time_s += (self.engine.time() - self.attempt_at - stats.response_time_s) / 10

    @property
    def ends_with_connection(self) -> bool:
        """Whether nothing but the end of the connection tells the client where the answer ends."""
        head = self.answer_head
        unframed = self.decodes or self.packer is not None or (head is not None and head.framing is CLOSE)
        return unframed and not self.wraps

    def broken_off(self, why: str) -> None:
        """The answer ended before its end. The client must not take it for complete; the peer is not charged."""
        self._drop_upstream()
        self.engine.warn("answer broke off", upstream=self.pool.group.name, reason=why)
        self._end(self.status)
        self.connection.break_off()

    @property
    def outlives_client(self) -> bool:
        """Whether the upstream is heard to its end even when the client leaves; never to one that left inside the body."""
        return self.ignores_abort and self.body_complete

    def abandon(self) -> None:
        """The client is gone. As in nginx, 499 is the end of a whole request; one that broke off was a bad one."""
        if self.over:
            return
        self._drop_upstream()
        self.engine.totals.client_aborts += 1
        status = self.status
        if not self.answered:
            status = 499 if self.body_complete else 400
        self._end(status)

    def _drop_upstream(self) -> None:
        peer, connection, connecting = self.peer, self.upstream, self.connecting
        self.peer = self.upstream = self.connecting = None
        if connecting is not None:
            connecting.cancel()
        if connection is not None:
            connection.detach()
            connection.close()
        if peer is not None:
            self._record(peer, self.status if self.answer_head is None else self.answer_head.status)
            self._release(peer, failed=False)
        self._leave_queue()

    def _end(self, status: int) -> None:
        self.over = True
        self.status = status
        self.engine.totals.codes[status] += 1
        if self.limited_by:
            self._leave_limits()
        if self.delay is not None:
            self.delay.cancel()
        self._leave_queue()
        if self.engine.access_log is not None:
            self.engine.access_log.write(self)
