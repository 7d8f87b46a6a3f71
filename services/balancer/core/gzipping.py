"""Which answers are compressed for which clients (nginx ``gzip`` and its companions), and how."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from services.balancer.wire.outline import LENGTH
from services.balancer.wire.request import RequestHead
from services.balancer.wire.response import ResponseHead

STATUSES = frozenset((200, 403, 404))
_ACCEPTED = re.compile(rb"(?:^|[, ])gzip *(?:$|,|; *q *= *([01](?:\.\d*)?))", re.IGNORECASE)
_FORMAT = 31  # of zlib: the largest window, with a head and a checksum as gzip has them


class Packer:
    """One body on its way. With ``flushes`` what was put in comes out at once, at the price of a few bytes."""

    def __init__(self, level: int, *, flushes: bool) -> None:
        self._stream = zlib.compressobj(level, zlib.DEFLATED, _FORMAT)
        self._flushes = flushes

    def add(self, data: bytes) -> bytes:
        """What is ready to be sent; it may be nothing yet."""
        packed = self._stream.compress(data)
        return packed + self._stream.flush(zlib.Z_SYNC_FLUSH) if self._flushes else packed

    def end(self) -> bytes:
        return self._stream.flush()


@dataclass(frozen=True, slots=True)
class Gzip:
    """``types`` None: all. ``least_minor``: of the client's HTTP/1.x. ``proxied``: also for clients behind a proxy."""

    types: frozenset[bytes] | None
    min_bytes: int
    level: int
    least_minor: int
    vary: bool
    proxied: bool
    flushes: bool

    def suits(self, status: int, head: ResponseHead) -> bool:
        """Whether an answer with a body is worth it, whoever gets it."""
        if status not in STATUSES or head.get(b"content-encoding"):
            return False
        if head.framing is LENGTH and head.length < self.min_bytes:
            return False
        kind = head.get(b"content-type").partition(b";")[0].strip().lower()
        return self.types is None or kind in self.types

    def accepted(self, request: RequestHead) -> bool:
        """Whether a client can read it."""
        found = _ACCEPTED.search(request.get(b"accept-encoding"))
        if found is None or (found[1] is not None and not float(found[1])):
            return False
        return request.minor >= self.least_minor and (self.proxied or not request.get(b"via"))

    def packer(self) -> Packer:
        return Packer(self.level, flushes=self.flushes)


def weak(etag: bytes) -> bytes:
    """An entity tag for a body of the same meaning; empty when there can be none."""
    return etag if etag.startswith(b"W/") else b"W/" + etag if etag.startswith(b'"') else b""
