"""Response heads: parsing what upstreams send, rendering what clients get."""

from __future__ import annotations

import enum
from typing import Final

from services.balancer.wire.fields import (
    BREAKS_A_LINE,
    CRLF,
    DIGITS,
    Field,
    FieldParser,
    FramingError,
    Sightings,
    connection_options,
    content_length,
    remember,
)

MAX_HEAD: Final = 32768
MAX_FIELDS: Final = 200
MAX_HEADS: Final = 512
MAX_REMEMBERED_HEAD: Final = 2048
_USUAL_OPTIONS: Final = frozenset((b"close", b"keep-alive"))  # name no fields but hidden ones


class Framing(enum.Enum):
    """How the body of an answer ends."""

    NONE = "none"
    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"
    TUNNEL = "tunnel"


LENGTH: Final = Framing.LENGTH  # attributes of an enum are slow to read
CHUNKED: Final = Framing.CHUNKED
NONE: Final = Framing.NONE
CLOSE: Final = Framing.CLOSE
TUNNEL: Final = Framing.TUNNEL


class ResponseHead:
    """An answer's head, never changed afterwards. ``plain`` is the head as it may go to an HTTP/1.1 client that stays.

    ``verbatim``: ``plain`` is the received head, byte for byte. ``ordinary``: it has a known length, its connection stays,
    and no retry rule can apply to it.
    """

    __slots__ = ("fields", "framing", "keep_alive", "length", "ordinary", "plain", "status", "verbatim")

    def __init__(
        self, status: int, fields: list[Field], framing: Framing, length: int, *, keep_alive: bool, plain: bytes,
        verbatim: bool,
    ) -> None:  # fmt: skip
        self.status = status
        self.fields = fields
        self.framing = framing
        self.length = length
        self.keep_alive = keep_alive
        self.plain = plain
        self.verbatim = verbatim
        self.ordinary = keep_alive and (framing is LENGTH or framing is NONE) and 200 <= status < 400

    def get(self, name: bytes) -> bytes:
        for field in self.fields:
            if field.name == name:
                return field.value
        return b""


def find_response_head(data: bytes) -> int:
    """Length of the head with its empty line, or 0 when more bytes are needed.

    Raises FramingError when it is too large, and as soon as it is clear that it will never be a head.
    """
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
    if end >= 0:
        return end + 4
    if len(data) >= MAX_HEAD:
        raise FramingError("response head too large")
    if data[:5] != b"HTTP/"[: len(data)]:
        raise FramingError("not an HTTP answer")
    if data.count(b"\n") != data.count(CRLF):
        raise FramingError("LF alone in a response head")
    return 0


class ResponseParser:
    """Parses complete heads; remembers those that come again, bounded in number and size."""

    __slots__ = ("_fields", "_sightings", "_status_lines", "known")

    def __init__(self) -> None:
        self.known: dict[bytes, ResponseHead] = {}  # heads of answers to plain requests; see ``parse``
        self._fields = FieldParser()
        self._sightings = Sightings(MAX_HEADS)
        self._status_lines: dict[bytes, tuple[int, int, bytes]] = {}

    def parse(self, head: bytes, *, to_head_request: bool = False, upgrade_asked: bool = False) -> ResponseHead:
        """Parse a complete head (with its empty line); raises FramingError."""
        lines = head[:-4].split(CRLF)
        if len(lines) - 1 > MAX_FIELDS:
            raise FramingError("too many header lines")
        minor, status, first = self._status_line(lines[0])
        fields = self._fields.parse(lines)
        special = [field for field in fields if field.special]
        framing, length = _framing(special, status, to_head_request=to_head_request, upgrade_asked=upgrade_asked)
        options = connection_options(special)
        keep_alive = framing is not CLOSE and b"close" not in options and (minor == 1 or b"keep-alive" in options)
        kept = _kept(fields, options, framing)
        verbatim = minor == 1 and len(kept) == len(fields)
        plain = head if verbatim else CRLF.join([first, *kept, b"", b""])
        parsed = ResponseHead(status, fields, framing, length, keep_alive=keep_alive, plain=plain, verbatim=verbatim)
        if not (to_head_request or upgrade_asked):
            self._remember(head, parsed)
        return parsed

    def _remember(self, head: bytes, parsed: ResponseHead) -> None:
        if len(head) <= MAX_REMEMBERED_HEAD and self._sightings.again(head):
            remember(self.known, head, parsed, MAX_HEADS)

    def _status_line(self, line: bytes) -> tuple[int, int, bytes]:
        parsed = self._status_lines.get(line)
        if parsed is None:
            parsed = _parse_status_line(line)
            remember(self._status_lines, line, parsed, MAX_HEADS)
        return parsed


def _kept(fields: list[Field], options: list[bytes], framing: Framing) -> list[bytes]:
    """Lines that go on to the client: all but those that belong to the connection to the upstream."""
    named = [option for option in options if option not in _USUAL_OPTIONS]
    kept: list[bytes] = []
    for field in fields:
        hidden = field.hidden or (named and field.name in named)
        if not hidden or (framing is CHUNKED and field.name == b"transfer-encoding"):
            kept.append(field.line)
    return kept


def _parse_status_line(line: bytes) -> tuple[int, int, bytes]:
    """Minor version, status, and the line as it goes to the client."""
    version, _, rest = line.partition(b" ")
    code, _, reason = rest.partition(b" ")
    if version not in (b"HTTP/1.1", b"HTTP/1.0") or len(code) != 3 or code.translate(None, DIGITS) or code < b"100":
        raise FramingError("malformed status line")
    if len(reason.translate(None, BREAKS_A_LINE)) != len(reason):
        raise FramingError("control byte in the status line")
    return int(version[-1:]), int(code), b"HTTP/1.1 %b %b" % (code, reason)


def _framing(special: list[Field], status: int, *, to_head_request: bool, upgrade_asked: bool) -> tuple[Framing, int]:
    codings: list[bytes] = []
    lengths: list[bytes] = []
    for field in special:
        if field.name == b"content-length":
            lengths.append(field.value)
        elif field.name == b"transfer-encoding":
            codings.append(field.value.lower())
    if len(codings) > 1 or len(lengths) > 1 or (codings and lengths):
        raise FramingError("contradicting body lengths")
    if codings and codings[0] != b"chunked":
        raise FramingError("transfer coding not supported")
    length = content_length(lengths[0]) if lengths else 0
    if status == 101:
        if not upgrade_asked:
            raise FramingError("upgrade that was not asked for")
        return TUNNEL, 0
    if to_head_request or status < 200 or status in (204, 304):
        return NONE, 0
    if codings:
        return CHUNKED, 0
    if lengths:
        return LENGTH, length
    return CLOSE, 0


def with_lines(head: bytes, *lines: bytes) -> bytes:
    """A rendered head with more header lines at its end."""
    return CRLF.join([head[:-4], *lines, b"", b""])


def without(head: bytes, *names: bytes) -> bytes:
    """A rendered head without the lines of these lower-case names."""
    first, *lines = head[:-4].split(CRLF)
    kept = [line for line in lines if line.partition(b":")[0].lower() not in names]
    return CRLF.join([first, *kept, b"", b""])
