"""Response heads: parsing what upstreams send, rendering what clients get."""

from __future__ import annotations

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
from services.balancer.wire.outline import (
    CHUNKED,
    CLOSE,
    LENGTH,
    MAX_HEAD,
    MISFIT,
    NONE,
    TUNNEL,
    Framing,
    Outline,
)

MAX_FIELDS: Final = 200
MAX_STATUS_LINES: Final = 512
MAX_KINDS: Final = 4  # of heads that are remembered
_KEEPING_OPTIONS: Final = frozenset((b"close", b"keep-alive", b"content-length"))
"""Options of Connection that hide no field: two say something of the connection itself, and a client that was not told the
length would take a part of the body for all of it."""


class ResponseHead:
    """An answer's head as received in ``raw``, never changed afterwards."""

    __slots__ = ("_cut_at", "_fields", "_plain", "length", "outline", "raw")

    def __init__(self, raw: bytes, outline: Outline, length: int, cut_at: int) -> None:
        """``cut_at`` is where the outline's ``cut`` is in it."""
        self.raw = raw
        self.outline = outline
        self.length = length
        self._cut_at = cut_at
        self._fields: list[Field] | None = None
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
            self._plain = self.outline.plain(self.raw)
        return self._plain

    def onward(self, answer: bytes) -> bytes:
        """The same for an answer that begins with this head."""
        if self.outline.verbatim:
            return answer
        if self._cut_at > 0:
            return answer[: self._cut_at] + answer[self._cut_at + len(self.outline.cut) :]
        return self.plain + answer[len(self.raw) :]

    @property
    def fields(self) -> list[Field]:
        """Parsed when they are asked for first: most heads are passed on without."""
        if self._fields is None:
            self._fields = [parse_field(line) for line in self.raw.split(CRLF)[1:-2]]
        return self._fields

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
    """Reads heads; remembers the last one, and the kinds that came lately, bounded in number."""

    __slots__ = ("_fields", "_last", "_outlines", "_status_lines")

    def __init__(self) -> None:
        self._last: ResponseHead | None = None
        self._fields = FieldParser()
        self._outlines: list[Outline] = []  # the one of the last head comes first
        self._status_lines: dict[bytes, tuple[int, int, bytes]] = {}

    def read(self, data: bytes) -> ResponseHead | None:
        """The head at the beginning of an answer to a plain request; None when it is not complete. Raises FramingError."""
        last = self._last
        if last is not None and data[: len(last.raw)] == last.raw:
            return last
        for outline in self._outlines:
            size, length, cut_at = outline.match(data)
            if size:
                return self._remember(ResponseHead(data[:size], outline, length, cut_at))
        size = find_response_head(data)
        return self.parse(data[:size]) if size else None

    def parse(self, head: bytes) -> ResponseHead:
        """Parse a complete head (with its empty line) of an answer to a plain request; raises FramingError."""
        lines = head.split(CRLF)
        for outline in self._outlines:
            length = outline.learn(lines)
            if length != MISFIT:
                return self._remember(ResponseHead(head, outline, length, _cut_at(head, outline)))
        return self._remember(self.parse_answer_to(head))

    def _remember(self, head: ResponseHead) -> ResponseHead:
        self._last = head
        outlines = self._outlines
        if not outlines or outlines[0] is not head.outline:
            self._outlines = [head.outline, *[other for other in outlines if other is not head.outline][: MAX_KINDS - 1]]
        return head

    def parse_answer_to(self, head: bytes, *, to_head_request: bool = False, upgrade_asked: bool = False) -> ResponseHead:
        """Parse a complete head whatever the request was."""
        lines = head.split(CRLF)
        outline, length = self._outline(lines, to_head_request=to_head_request, upgrade_asked=upgrade_asked)
        return ResponseHead(head, outline, length, _cut_at(head, outline))

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


def _cut_at(head: bytes, outline: Outline) -> int:
    """Where in a head that is which may be taken out of it."""
    return head.find(CRLF + outline.cut) + len(CRLF) if outline.cut else MISFIT


def _hidden(fields: list[Field], options: list[bytes], framing: Framing) -> list[bool]:
    """Which fields do not go on to the client: those that belong to the connection to the upstream."""
    named = [option for option in options if option not in _KEEPING_OPTIONS]
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


def field_in(head: bytes, name: bytes) -> bytes:
    """The value of a lower-case name in a rendered head; empty when it is not there."""
    for line in head.split(CRLF):
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return b""


def without(head: bytes, *names: bytes) -> bytes:
    """A rendered head without the lines of these lower-case names."""
    first, *lines = head[:-4].split(CRLF)
    kept = [line for line in lines if line.partition(b":")[0].lower() not in names]
    return CRLF.join([first, *kept, b"", b""])
