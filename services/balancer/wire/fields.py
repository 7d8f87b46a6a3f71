"""Header fields shared by request and response heads."""

from __future__ import annotations

from typing import Final, TypeVar

CRLF: Final = b"\r\n"
TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS: Final = b"0123456789"
BREAKS_A_LINE: Final = bytes([*range(9), *range(10, 32), 127])  # every control byte but the tab

HOP_BY_HOP: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade", b"trailer")
)
ACCELERATION: Final = b"x-accel-"  # how an upstream speaks to its proxy alone
_END_TO_END: Final = frozenset((b"content-length", b"expect", b"host", b"trailer"))
_FRAMES: Final = HOP_BY_HOP | _END_TO_END

T = TypeVar("T")

MAX_LINES: Final = 4096
MAX_NAMES: Final = 512
MAX_REMEMBERED_NAME: Final = 64
MAX_REMEMBERED_LINE: Final = 256


class FramingError(Exception):
    """The bytes are not HTTP/1 as we accept it. ``status`` is the answer when a client sent them."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class Name:
    """A header's name in ``lower`` case. Fields of ``special`` ones are ours to read; ``hidden`` ones say something about
    the connection they came by alone.
    """

    __slots__ = ("hidden", "lower", "special")

    def __init__(self, name: bytes) -> None:
        """Refuses what is no token."""
        if not name or name.translate(None, TOKEN):
            raise FramingError("malformed header line")
        self.lower = name.lower()
        self.special = self.lower in _FRAMES or self.lower.startswith(ACCELERATION)
        self.hidden = self.special and self.lower not in _END_TO_END


class Field:
    """A header line. ``name`` is lower case, ``value`` trimmed, ``line`` as received; ``special`` and ``hidden`` as in
    Name. ``options`` are the items of a Connection field.
    """

    __slots__ = ("hidden", "line", "name", "options", "special", "value")

    def __init__(self, name: Name, value: bytes, line: bytes) -> None:
        self.name = name.lower
        self.value = value
        self.line = line
        self.special = name.special
        self.hidden = name.hidden
        self.options = list_items(value) if name.special and name.lower == b"connection" else _NO_OPTIONS


_NO_OPTIONS: Final[list[bytes]] = []  # never changed


def parse_field(line: bytes) -> Field:
    """A header line without its end. Refuses control bytes, lone CR or LF among them, folded lines, space before the
    colon, and names that are no token.
    """
    text, value = _split(line)
    return Field(Name(text), value, line)


def _split(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or len(value.translate(None, BREAKS_A_LINE)) != len(value):
        raise FramingError("malformed header line")
    return name, value.strip(b" \t")


def remember(known: dict[bytes, T], key: bytes, value: T, most: int) -> None:
    """Keep a value in a memory for at most so many, which starts anew when it is full."""
    if len(known) >= most:
        known.clear()
    known[key] = value


class Sightings:
    """Tells what has come before. What comes once only, such as a request's number, is not worth remembering."""

    __slots__ = ("_most", "_seen")

    def __init__(self, most: int) -> None:
        self._most = most
        self._seen: set[int] = set()

    def again(self, text: bytes) -> bool:
        """Whether it was seen before, or what looks like it; it counts as seen from now on."""
        mark = hash(text)
        if mark in self._seen:
            return True
        if len(self._seen) >= self._most:
            self._seen.clear()
        self._seen.add(mark)
        return False


class FieldParser:
    """Parses header lines and remembers those that come again, bounded in number and size: most come with every head."""

    __slots__ = ("_known", "_names", "_sightings")

    def __init__(self) -> None:
        self._known: dict[bytes, Field] = {}
        self._names: dict[bytes, Name] = {}
        self._sightings = Sightings(MAX_LINES)

    def parse(self, lines: list[bytes]) -> list[Field]:
        """Fields of lines; raises FramingError."""
        known = self._known
        fields: list[Field] = []
        for line in lines:
            field = known.get(line)
            if field is None:
                field = self._parse(line)
            fields.append(field)
        return fields

    def _parse(self, line: bytes) -> Field:
        text, value = _split(line)
        name = self._names.get(text)
        if name is None:
            name = self._name(text)
        field = Field(name, value, line)
        if len(line) <= MAX_REMEMBERED_LINE and self._sightings.again(line):
            remember(self._known, line, field, MAX_LINES)
        return field

    def _name(self, text: bytes) -> Name:
        name = Name(text)
        if len(text) <= MAX_REMEMBERED_NAME:
            remember(self._names, text, name, MAX_NAMES)
        return name


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
