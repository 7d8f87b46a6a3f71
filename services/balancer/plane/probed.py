"""What conditions of a check may ask of the answer it got."""

from __future__ import annotations

import time
from collections.abc import Iterable

from services.balancer.core.variables import Client, Names, Try
from services.balancer.wire.request import HeadLimits, RequestHead, RequestParser
from services.balancer.wire.response import ResponseHead

_NOBODY = Client(b"", b"", b"", b"", b"http", b"", 0)


class Probed:
    """The scope of variables of a check: it is its own client, and what it got is the outcome."""

    requests_on_connection = 1
    request_id = b""
    content_length = retold = b""
    connections = (0, 0, 0, 0)
    client = _NOBODY

    def __init__(self, address: str, request: bytes, head: ResponseHead, body_bytes: int, elapsed_s: float) -> None:
        self.request: RequestHead = RequestParser(HeadLimits()).parse(request)
        self.names = Names(b"", address.encode(), b"", {}, frozenset())
        self.status = head.status
        self.head_bytes = len(head.plain)
        self.body_bytes = body_bytes
        self.request_bytes = len(request)
        self.elapsed_s = elapsed_s
        self.epoch_s = time.time()
        self.looked_up: dict[str, bytes] = {}
        self._address = address
        self._head = head

    @property
    def outcome(self) -> Probed:
        return self

    def attempts(self) -> Iterable[Try]:
        return (Try(self._address, self.status, None, None, self.elapsed_s),)

    def sent_field(self, name: bytes) -> bytes:
        return self.answer_field(name)

    def answer_field(self, name: bytes) -> bytes:
        return self._head.get(name)
