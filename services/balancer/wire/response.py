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
    connection_options,
    content_length,
    parse_field,
    remember,
)

MAX_HEAD: Final = 32768
MAX_FIELDS: Final = 200
MAX_STATUS_LINES: Final = 512
MAX_ALIKE: Final = 4  # kinds of heads with as many lines
MISFIT: Final = -1
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


class Outline:
    """What the heads of one kind of answer have in common: all but the values of ordinary fields, and the length.

    An upstream sends few kinds, so of most heads only the lines that are new have to be looked at. ``verbatim``: such a
    head may go as it is to an HTTP/1.1 client that stays. ``ordinary``: it has a known length, its connection stays, and
    no retry rule can apply to it.
    """

    __slots__ = (
        "_first",
        "_kept",
        "_length",
        "_length_at",
        "_lines",
        "_starts",
        "cut",
        "framing",
        "keep_alive",
        "ordinary",
        "status",
        "verbatim",
    )

    def __init__(
        self, lines: list[bytes], fields: list[Field], status: int, first: bytes, framing: Framing, length: int,
        *, keep_alive: bool, hidden: list[bool], minor: int,
    ) -> None:  # fmt: skip
        """``lines`` are all of the head, ``fields`` those between the first and the end, ``hidden`` those not passed on."""
        self.status = status
        self.framing = framing
        self.keep_alive = keep_alive
        self.ordinary = keep_alive and (framing is LENGTH or framing is NONE) and 200 <= status < 400
        self.verbatim = minor == 1 and not any(hidden)
        self.cut = b""  # what is to be taken out of the head, once, for it to go on, if that is all
        if minor == 1 and hidden.count(True) == 1:
            self.cut = CRLF + fields[hidden.index(True)].line + CRLF
        self._first = first
        self._kept = [number + 1 for number in range(len(fields)) if not hidden[number]]
        self._lines = lines
        self._starts = [b"", *[b"" if field.special else _start(field) for field in fields], b"", b""]
        self._length = length
        self._length_at = 0
        for number, field in enumerate(fields, 1):
            if framing is LENGTH and field.name == b"content-length":
                self._length_at = number
                self._starts[number] = _start(field)

    def length_of(self, lines: list[bytes]) -> int:
        """The length of the body after a head of this kind with as many lines; MISFIT when it is none, or nothing that is
        certainly one.
        """
        before, starts, length = self._lines, self._starts, self._length
        for number in range(len(lines)):
            line = lines[number]
            if line != before[number]:
                start = starts[number]
                if not start or line[: len(start)] != start or len(line.translate(None, BREAKS_A_LINE)) != len(line):
                    return MISFIT
                if number == self._length_at:
                    length = content_length(line[len(start) :].strip(b" \t"))
        self._lines = lines
        self._length = length
        return length

    def onward(self, head: bytes) -> bytes:
        """A received head as it may go to an HTTP/1.1 client that stays."""
        if self.verbatim:
            return head
        if self.cut:
            return head.replace(self.cut, CRLF, 1)
        lines = head.split(CRLF)
        return CRLF.join([self._first, *[lines[number] for number in self._kept], b"", b""])


def _start(field: Field) -> bytes:
    return field.line[: field.line.index(b":") + 1]


class ResponseHead:
    """An answer's head as received in ``raw``, never changed afterwards."""

    __slots__ = ("_plain", "length", "outline", "raw")

    def __init__(self, raw: bytes, outline: Outline, length: int) -> None:
        self.raw = raw
        self.outline = outline
        self.length = length
        self._plain = b""

    @property
    def status(self) -> int:
        return self.outline.status

    @property
    def framing(self) -> Framing:
        return self.outline.framing

    @property
    def keep_alive(self) -> bool:
        return self.outline.keep_alive

    @property
    def plain(self) -> bytes:
        """The head as it may go to an HTTP/1.1 client that stays; ``raw`` itself where that is the same."""
        if not self._plain:
            self._plain = self.outline.onward(self.raw)
        return self._plain

    def onward(self, answer: bytes) -> bytes:
        """The same for an answer that begins with this head."""
        outline = self.outline
        if outline.verbatim or outline.cut:
            return outline.onward(answer)
        return self.plain + answer[len(self.raw) :]

    @property
    def fields(self) -> list[Field]:
        return [parse_field(line) for line in self.raw.split(CRLF)[1:-2]]

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
    """Parses complete heads; remembers the last one, and the kinds that came lately, bounded in number.

    ``last`` is the last one that answered a request whose method says nothing of the body.
    """

    __slots__ = ("_fields", "_outlines", "_status_lines", "last")

    def __init__(self) -> None:
        self.last: ResponseHead | None = None
        self._fields = FieldParser()
        self._outlines: dict[int, list[Outline]] = {}  # by the number of lines
        self._status_lines: dict[bytes, tuple[int, int, bytes]] = {}

    def parse(self, head: bytes, *, to_head_request: bool = False, upgrade_asked: bool = False) -> ResponseHead:
        """Parse a complete head (with its empty line); raises FramingError."""
        lines = head.split(CRLF)
        if to_head_request or upgrade_asked:
            outline, length = self._outline(lines, to_head_request=to_head_request, upgrade_asked=upgrade_asked)
            return ResponseHead(head, outline, length)
        alike = self._outlines.get(len(lines))
        if alike is not None:
            for outline in alike:
                length = outline.length_of(lines)
                if length != MISFIT:
                    self.last = parsed = ResponseHead(head, outline, length)
                    return parsed
        outline, length = self._outline(lines, to_head_request=False, upgrade_asked=False)
        self._outlines[len(lines)] = [outline, *(alike or [])[: MAX_ALIKE - 1]]
        self.last = parsed = ResponseHead(head, outline, length)
        return parsed

    def _outline(self, lines: list[bytes], *, to_head_request: bool, upgrade_asked: bool) -> tuple[Outline, int]:
        if len(lines) - 3 > MAX_FIELDS:
            raise FramingError("too many header lines")
        minor, status, first = self._status_line(lines[0])
        fields = self._fields.parse(lines[1:-2])
        special = [field for field in fields if field.special]
        framing, length = _framing(special, status, to_head_request=to_head_request, upgrade_asked=upgrade_asked)
        options = connection_options(special)
        keep_alive = framing is not CLOSE and b"close" not in options and (minor == 1 or b"keep-alive" in options)
        hidden = _hidden(fields, options, framing)
        outline = Outline(
            lines, fields, status, first, framing, length, keep_alive=keep_alive, hidden=hidden, minor=minor
        )
        return outline, length

    def _status_line(self, line: bytes) -> tuple[int, int, bytes]:
        parsed = self._status_lines.get(line)
        if parsed is None:
            parsed = _parse_status_line(line)
            remember(self._status_lines, line, parsed, MAX_STATUS_LINES)
        return parsed


def _hidden(fields: list[Field], options: list[bytes], framing: Framing) -> list[bool]:
    """Which fields do not go on to the client: those that belong to the connection to the upstream."""
    named = [option for option in options if option not in _USUAL_OPTIONS]
    return [
        (field.hidden or field.name in named) and not (framing is CHUNKED and field.name == b"transfer-encoding")
        for field in fields
    ]


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
