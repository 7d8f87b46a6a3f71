"""What variables and logs may ask of an exchange."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Self

from services.balancer.core.addresses import UNIX
from services.balancer.core.course import Course, shown_status
from services.balancer.core.peers import Peer
from services.balancer.core.selection import Turn
from services.balancer.core.variables import Client, Names, Try
from services.balancer.plan import Route
from services.balancer.plane.transport import Transport
from services.balancer.wire.request import RequestHead
from services.balancer.wire.response import ResponseHead, field_in

if TYPE_CHECKING:
    from services.balancer.plane.client import ClientConnection
    from services.balancer.plane.engine import Engine


class Facts(Turn):
    """The scope of variables, and the outcome as far as it is known."""

    engine: Engine
    connection: ClientConnection
    request: RequestHead
    route: Route
    started_at: float
    attempt_at: float
    peer: Peer | None = None
    status = 0
    head_bytes = 0
    body_bytes = 0
    body_size = 0
    retold = b""  # a place in the answer that is being told as the client knows it
    sent_head = b""  # as the client got it, where that is not the upstream's
    connect_s: float | None = None
    header_s: float | None = None
    answer_head: ResponseHead | None = None
    failures: tuple[Try, ...] = ()
    _request_id = b""
    _looked_up: dict[str, bytes] | None = None

    @classmethod
    def of(cls, connection: ClientConnection, request: RequestHead, route: Route) -> Self:
        """The facts of a request that goes to no upstream, or not yet."""
        facts = cls([])
        facts.connection = connection
        facts.engine = connection.engine
        facts.request = request
        facts.route = route
        facts.started_at = facts.attempt_at = facts.engine.time()
        return facts

    @property
    def client(self) -> Client:
        return self.connection.info

    @property
    def names(self) -> Names:
        return self.route.names

    @property
    def outcome(self) -> Self:
        return self

    @property
    def request_bytes(self) -> int:
        return self.request.size

    @property
    def request_id(self) -> bytes:
        course = self.request
        if not isinstance(course, Course):
            self._request_id = self._request_id or os.urandom(16).hex().encode()
            return self._request_id
        if not course.id:  # kept with the request, which has other facts wherever it is led
            course.id = self._request_id or os.urandom(16).hex().encode()
        return course.id

    @property
    def looked_up(self) -> dict[str, bytes]:
        """What maps have said so far."""
        if isinstance(self.request, Course):
            return self.request.looked_up
        if self._looked_up is None:
            self._looked_up = {}
        return self._looked_up

    @property
    def shown_status(self) -> int:
        """The status that clients are to see whatever answers; 0 is that of the answer."""
        return shown_status(self.request)

    @property
    def connections(self) -> tuple[int, int, int, int]:
        """Clients now, those that wait for nothing, clients ever accepted, and requests of this process."""
        engine = self.engine
        idle = sum(client.exchange is None for client in engine.clients if client is not self.connection)
        return len(engine.clients), idle, engine.totals.accepts, engine.totals.requests

    @property
    def elapsed_s(self) -> float:
        return self.engine.time() - self.started_at

    @property
    def epoch_s(self) -> float:
        return time.time()

    @property
    def requests_on_connection(self) -> int:
        return self.connection.served

    def attempts(self) -> Iterable[Try]:
        if self.peer is None:
            return self.failures
        total_s = self.engine.time() - self.attempt_at
        status = self.status if self.answer_head is None else self.answer_head.status
        return (*self.failures, Try(self.peer.address, status, self.connect_s, self.header_s, total_s))

    def answer_field(self, name: bytes) -> bytes:
        return self.answer_head.get(name) if self.answer_head is not None else b""

    def sent_field(self, name: bytes) -> bytes:
        return field_in(self.sent_head, name) if self.sent_head else self.answer_field(name)

    @property
    def content_length(self) -> bytes:
        request = self.request
        if request.chunked and self.connection.body_ended:
            return b"%d" % self.body_size
        return request.get(b"content-length")


def client_info(transport: Transport, serial: int) -> Client:
    """Facts of a connection for variables and hashing."""
    peer = transport.remote() or ("", 0)
    here = transport.local() or ("", 0)
    if isinstance(here, str):  # a socket of the file system, whose clients have no addresses
        peer, here = (UNIX, ""), (UNIX + here, "")
    tls = transport.tls()
    cipher = tls.cipher() if tls is not None else None
    return Client(
        remote_addr=str(peer[0]).encode(),
        remote_port=str(peer[1]).encode(),
        server_addr=str(here[0]).encode(),
        server_port=str(here[1]).encode(),
        scheme=b"https" if tls is not None else b"http",
        packed_addr=_packed(peer[0]),
        serial=serial,
        tls_protocol=(tls.version() or "").encode() if tls is not None else b"",
        tls_cipher=cipher[0].encode() if cipher else b"",
    )


def _packed(address: str) -> bytes:
    """The 4 or 16 bytes of an address, without its zone; what there is instead for a client that has none."""
    if not address or address == UNIX:
        return address.encode()
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address.partition("%")[0])
