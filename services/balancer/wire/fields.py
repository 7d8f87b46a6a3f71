"""Header fields shared by request and response heads."""

from __future__ import annotations

from typing import Final

CRLF: Final = b"\r\n"
TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS: Final = b"0123456789"
BREAKS_A_LINE: Final = bytes([*range(9), *range(10, 32), 127])  # every control byte but the tab

HOP_BY_HOP: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade", b"trailer")
)
ACCELERATION: Final = b"x-accel-"  # how an upstream speaks to its proxy alone
_FRAMES: Final = HOP_BY_HOP | {b"content-length", b"expect", b"host"}

MAX_LINES: Final = 4096
MAX_REMEMBERED_LINE: Final = 256


class FramingError(Exception):
    """The bytes are not HTTP/1 as we accept it. ``status`` is the answer when a client sent them."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class Field:
    """A header line. ``name`` is lower case, ``value`` trimmed, ``line`` as received; ``special`` ones are ours to read.

    ``options`` are the items of a Connection field.
    """

    __slots__ = ("line", "name", "options", "special", "value")

    def __init__(self, name: bytes, value: bytes, line: bytes) -> None:
        self.name = name
        self.value = value
        self.line = line
        self.special = name in _FRAMES or name.startswith(ACCELERATION)
        self.options = list_items(value) if name == b"connection" else []


def parse_field(line: bytes) -> Field:
    """A header line without its end. Refuses control bytes, lone CR or LF among them, folded lines, space before the
    colon, and names that are no token.
    """
    name, colon, value = line.partition(b":")
    if not colon or not name or name.translate(None, TOKEN) or len(value.translate(None, BREAKS_A_LINE)) != len(value):
        raise FramingError("malformed header line")
    return Field(name.lower(), value.strip(b" \t"), line)


class FieldParser:
    """Parses header lines and remembers them, bounded in number and size: most lines come with every head."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, Field] = {}

    def parse(self, lines: list[bytes]) -> list[Field]:
        """Fields of the lines of a head after its first; raises FramingError."""
        known = self._known
        fields: list[Field] = []
        for line in lines[1:]:
            field = known.get(line)
            if field is None:
                field = parse_field(line)
                self._remember(line, field)
            fields.append(field)
        return fields

    def _remember(self, line: bytes, field: Field) -> None:
        if len(line) <= MAX_REMEMBERED_LINE:
            if len(self._known) >= MAX_LINES:
                self._known.clear()
            self._known[line] = field


def connection_options(fields: list[Field]) -> list[bytes]:
    """What the Connection fields among these say."""
    options: list[bytes] = []
    for field in fields:
        if field.options:
            options = options + field.options if options else field.options
    return options


def content_length(value: bytes) -> int:
    if not value or value.translate(None, DIGITS) or len(value) > 18:
        raise FramingError("malformed Content-Length")
    return int(value)


def list_items(value: bytes) -> list[bytes]:
    """Items of a comma-separated value, lower case, empty ones dropped."""
    return [item for part in value.lower().split(b",") if (item := part.strip(b" \t"))]
