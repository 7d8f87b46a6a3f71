"""Header fields shared by request and response heads."""

from __future__ import annotations

from collections.abc import Sequence

CRLF = b"\r\n"
TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = b"0123456789"
CONTROLS = bytes(c for c in range(32) if c not in b"\t\r\n") + b"\x7f"

HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade", b"trailer")
)

Field = tuple[bytes, bytes, bytes]
"""Lower-case name, trimmed value, the whole line as received."""


class FramingError(Exception):
    """The bytes are not HTTP/1 as we accept it. ``status`` is the answer when a client sent them."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


def split_head(head: bytes) -> list[bytes]:
    """Lines of a head that ends with an empty line; refuses control bytes and lone CR or LF."""
    if len(head.translate(None, CONTROLS)) != len(head):
        raise FramingError("control byte in the head")
    lines = head.count(CRLF)
    if head.count(b"\n") != lines or head.count(b"\r") != lines:
        raise FramingError("CR or LF alone in the head")
    return head[:-4].split(CRLF)


def parse_fields(lines: Sequence[bytes]) -> tuple[Field, ...]:
    """Header lines to fields; refuses folded lines, space before the colon and names that are no token."""
    fields: list[Field] = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not name or name.translate(None, TOKEN):
            raise FramingError("malformed header line")
        fields.append((name.lower(), value.strip(b" \t"), line))
    return tuple(fields)


def content_length(value: bytes) -> int:
    if not value or value.translate(None, DIGITS) or len(value) > 18:
        raise FramingError("malformed Content-Length")
    return int(value)


def list_items(value: bytes) -> list[bytes]:
    """Items of a comma-separated value, lower case, empty ones dropped."""
    return [item for part in value.lower().split(b",") if (item := part.strip(b" \t"))]
