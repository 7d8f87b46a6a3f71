"""Response heads: parsing what upstreams send, rendering what clients get."""

from __future__ import annotations

import enum

import msgspec

from services.balancer.wire.fields import (
    CRLF,
    DIGITS,
    HOP_BY_HOP,
    Field,
    FramingError,
    content_length,
    list_items,
    parse_fields,
    split_head,
)

MAX_HEAD = 32768
MAX_FIELDS = 200


class Framing(enum.Enum):
    """How the body of an answer ends."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"
    TUNNEL = "tunnel"


class ResponseHead(msgspec.Struct, frozen=True, eq=False):
    """An answer's head. ``plain`` is the head as it may go to an HTTP/1.1 client that stays connected.

    ``ordinary``: it has a known length, its connection stays, and no retry rule can apply to it.
    """

    status: int
    reason: bytes
    fields: tuple[Field, ...]
    framing: Framing
    length: int
    keep_alive: bool
    plain: bytes
    verbatim: bool  # ``plain`` is the received head, byte for byte
    ordinary: bool

    def get(self, name: bytes) -> bytes:
        return next((value for lower, value, _ in self.fields if lower == name), b"")


def find_response_head(data: bytes) -> int:
    """Length of the head with its empty line, or 0 when more bytes are needed; FramingError when too large."""
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
    if end >= 0:
        return end + 4
    if len(data) >= MAX_HEAD:
        raise FramingError("response head too large")
    if data[:5] != b"HTTP/"[: len(data)]:
        raise FramingError("not an HTTP answer")
    return 0


def parse_response(head: bytes, *, to_head_request: bool, upgrade_asked: bool) -> ResponseHead:
    """Parse a complete head; raises FramingError."""
    lines = split_head(head)
    if len(lines) - 1 > MAX_FIELDS:
        raise FramingError("too many header lines")
    minor, status, reason = _status_line(lines[0])
    fields = parse_fields(lines[1:])
    framing, length = _framing(fields, status, to_head_request=to_head_request, upgrade_asked=upgrade_asked)
    options = [item for name, value, _ in fields if name == b"connection" for item in list_items(value)]
    keep_alive = framing is not Framing.CLOSE and b"close" not in options and (minor == 1 or b"keep-alive" in options)
    hidden = (HOP_BY_HOP - {b"trailer"}) | set(options)
    if framing is Framing.CHUNKED:
        hidden = hidden - {b"transfer-encoding"}
    kept = [line for name, _, line in fields if name not in hidden and not name.startswith(b"x-accel-")]
    verbatim = minor == 1 and len(kept) == len(fields)
    plain = head if verbatim else CRLF.join([b"HTTP/1.1 %d %b" % (status, reason), *kept, b"", b""])
    ordinary = keep_alive and framing in (Framing.LENGTH, Framing.NONE) and 200 <= status < 400
    return ResponseHead(status, reason, fields, framing, length, keep_alive, plain, verbatim, ordinary)


def _status_line(line: bytes) -> tuple[int, int, bytes]:
    version, _, rest = line.partition(b" ")
    code, _, reason = rest.partition(b" ")
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or len(code) != 3 or code.translate(None, DIGITS) or code < b"100":
        raise FramingError("malformed status line")
    return int(version[-1:]), int(code), reason


def _framing(
    fields: tuple[Field, ...], status: int, *, to_head_request: bool, upgrade_asked: bool
) -> tuple[Framing, int]:
    codings = [value.lower() for name, value, _ in fields if name == b"transfer-encoding"]
    lengths = [value for name, value, _ in fields if name == b"content-length"]
    if len(codings) > 1 or len(lengths) > 1 or (codings and lengths):
        raise FramingError("contradicting body lengths")
    if codings and codings[0] != b"chunked":
        raise FramingError("transfer coding not supported")
    length = content_length(lengths[0]) if lengths else 0
    if status == 101:
        if not upgrade_asked:
            raise FramingError("upgrade that was not asked for")
        return Framing.TUNNEL, 0
    if to_head_request or status < 200 or status in (204, 304):
        return Framing.NONE, 0
    if codings:
        return Framing.CHUNKED, 0
    if lengths:
        return Framing.LENGTH, length
    return Framing.CLOSE, 0


def with_lines(head: bytes, *lines: bytes) -> bytes:
    """A rendered head with more header lines at its end."""
    return CRLF.join([head[:-4], *lines, b"", b""])


def without(head: bytes, *names: bytes) -> bytes:
    """A rendered head without the lines of these lower-case names."""
    first, *lines = head[:-4].split(CRLF)
    kept = [line for line in lines if line.partition(b":")[0].lower() not in names]
    return CRLF.join([first, *kept, b"", b""])
