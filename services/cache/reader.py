"""Bytes in, commands out. The reader owns no socket and no clock.

What it cannot make sense of comes out as a `Refusal` that carries the line the client gets, so that the connection goes on
where memcached's would go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from services.cache.protocol import (
    BAD_CHUNK,
    BAD_DELETE,
    BAD_DELTA,
    BAD_EXPTIME,
    BAD_LINE,
    COMMAND_LINE_LIMIT,
    ERROR,
    FETCH_LINE_LIMIT,
    KEY_LIMIT,
    LINE_TOO_LONG,
    TOO_LARGE,
    Adjust,
    Command,
    Delete,
    Fetch,
    FlushAll,
    Quit,
    Refusal,
    Stats,
    Store,
    Touch,
    Verb,
    Verbosity,
    Version,
)


class _Header(msgspec.Struct, frozen=True):
    """A storage command whose data block is still to come."""

    verb: Verb
    key: bytes
    flags: int
    exptime: int
    size: int
    cas_id: int | None
    noreply: bool

    def with_value(self, value: bytes) -> Store:
        return Store(self.verb, self.key, self.flags, self.exptime, value, self.cas_id, self.noreply)


class CommandReader:
    """Cuts a byte stream into commands; holds at most one line and one data block of `item_limit` bytes."""

    def __init__(self, item_limit: int) -> None:
        self._item_limit = item_limit
        self._buffer = bytearray()
        self._scanned = 0
        self._header: _Header | None = None
        self._swallow = 0

    def feed(self, data: bytes) -> None:
        """Adds what arrived. The caller takes all commands out before it feeds more, which bounds the buffer."""
        self._buffer += data

    @property
    def mid_command(self) -> bool:
        """Whether the client has begun a command and not finished it."""
        return bool(self._buffer or self._header or self._swallow)

    def commands(self) -> Iterator[Command]:
        """Yields every complete command in the buffer, in order."""
        while (command := self._next()) is not None:
            yield command

    def _next(self) -> Command | None:
        while True:
            if self._swallow and not self._swallowed():
                return None
            if self._header is not None:
                return self._read_value(self._header)
            line = self._read_line()
            if not isinstance(line, bytes):
                return line
            parsed = parse_line(line)
            if not isinstance(parsed, _Header):
                return parsed
            if len(parsed.key) + parsed.size > self._item_limit:
                self._swallow = parsed.size + 2
                return Refusal(b"" if parsed.noreply else TOO_LARGE, forget=_replaced_by(parsed))
            self._header = parsed

    def _swallowed(self) -> bool:
        dropped = min(self._swallow, len(self._buffer))
        del self._buffer[:dropped]
        self._swallow -= dropped
        return self._swallow == 0

    def _read_value(self, header: _Header) -> Command | None:
        end = header.size + 2
        if len(self._buffer) < end:
            return None
        block = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._header = None
        if block[header.size :] != b"\r\n":
            return Refusal(b"" if header.noreply else BAD_CHUNK)
        return header.with_value(block[: header.size])

    def _read_line(self) -> bytes | Refusal | None:
        newline = self._buffer.find(b"\n", self._scanned)
        length = newline if newline >= 0 else len(self._buffer)
        if length > COMMAND_LINE_LIMIT and length > self._line_limit():
            self._buffer.clear()
            self._scanned = 0
            return Refusal(LINE_TOO_LONG, close=True)
        if newline < 0:
            self._scanned = length
            return None
        line = bytes(self._buffer[:newline])
        del self._buffer[: newline + 1]
        self._scanned = 0
        return line.removesuffix(b"\r")

    def _line_limit(self) -> int:
        lists_keys = bytes(self._buffer[:100]).lstrip(b" ").startswith((b"get ", b"gets ", b"gat ", b"gats "))
        return FETCH_LINE_LIMIT if lists_keys else COMMAND_LINE_LIMIT


def _replaced_by(header: _Header) -> bytes | None:
    return header.key if header.verb is Verb.SET else None


class _BadArgument(Exception):
    """An argument that is not what its place asks for; carries the line for the client."""

    def __init__(self, line: bytes) -> None:
        super().__init__(line)
        self.line = line


def parse_line(line: bytes) -> Command | _Header:
    """Reads one command line without its line end."""
    words = [word for word in line.split(b" ") if word]
    spec = _COMMANDS.get(words[0]) if words else None
    if spec is None or not spec.fewest <= len(words) - 1 <= spec.most:
        return Refusal(spec.misuse if spec else ERROR)
    try:
        return spec.parse(words)
    except _BadArgument as bad:
        return Refusal(bad.line)


def _key(word: bytes) -> bytes:
    if len(word) > KEY_LIMIT:
        raise _BadArgument(BAD_LINE)
    return word


def _number(word: bytes, complaint: bytes, low: int, high: int) -> int:
    digits = word[1:] if word[:1] in (b"-", b"+") else word
    if not digits.isdigit() or len(digits) > 20 or not low <= int(word) <= high:
        raise _BadArgument(complaint)
    return int(word)


def _exptime(word: bytes, complaint: bytes = BAD_EXPTIME) -> int:
    return _number(word, complaint, -(2**63), 2**63 - 1)


def _noreply(words: Sequence[bytes], position: int) -> bool:
    return len(words) > position and words[-1] == b"noreply"


def _fetch(words: Sequence[bytes]) -> Fetch:
    return Fetch(tuple(map(_key, words[1:])), with_cas=words[0] == b"gets")


def _get_and_touch(words: Sequence[bytes]) -> Fetch:
    return Fetch(tuple(map(_key, words[2:])), with_cas=words[0] == b"gats", exptime=_exptime(words[1]))


def _storage(words: Sequence[bytes]) -> _Header:
    verb = Verb(words[0].decode())
    fixed = 6 if verb is Verb.CAS else 5
    return _Header(
        verb,
        _key(words[1]),
        flags=_number(words[2], BAD_LINE, 0, 2**32 - 1),
        exptime=_exptime(words[3], BAD_LINE),
        size=_number(words[4], BAD_LINE, 0, 2**31 - 3),
        cas_id=_number(words[5], BAD_LINE, 0, 2**64 - 1) if verb is Verb.CAS else None,
        noreply=_noreply(words, fixed),
    )


def _delete(words: Sequence[bytes]) -> Delete:
    if len(words) > 2 and words[2] not in (b"0", b"noreply"):
        raise _BadArgument(BAD_DELETE)
    return Delete(_key(words[1]), _noreply(words, 2))


def _touch(words: Sequence[bytes]) -> Touch:
    return Touch(_key(words[1]), _exptime(words[2]), _noreply(words, 3))


def _adjust(words: Sequence[bytes]) -> Adjust:
    delta = _number(words[2], BAD_DELTA, 0, 2**64 - 1)
    return Adjust(_key(words[1]), delta, words[0] == b"decr", _noreply(words, 3))


def _flush_all(words: Sequence[bytes]) -> FlushAll:
    delayed = len(words) > 1 and words[1] != b"noreply"
    return FlushAll(_exptime(words[1]) if delayed else 0, _noreply(words, 1))


def _stats(words: Sequence[bytes]) -> Stats:
    return Stats(words[1] if len(words) > 1 else b"")


def _verbosity(words: Sequence[bytes]) -> Verbosity:
    _number(words[1], BAD_LINE, 0, 2**32 - 1)
    return Verbosity(_noreply(words, 2))


class _Spec(msgspec.Struct, frozen=True):
    """A command's fewest and most arguments, its parser, and the answer to a wrong number of them."""

    fewest: int
    most: int
    parse: Callable[[Sequence[bytes]], Command | _Header]
    misuse: bytes = ERROR


_ANY = FETCH_LINE_LIMIT
_COMMANDS: Mapping[bytes, _Spec] = {
    b"get": _Spec(1, _ANY, _fetch),
    b"gets": _Spec(1, _ANY, _fetch),
    b"gat": _Spec(1, _ANY, _get_and_touch),
    b"gats": _Spec(1, _ANY, _get_and_touch),
    b"set": _Spec(4, 5, _storage),
    b"add": _Spec(4, 5, _storage),
    b"replace": _Spec(4, 5, _storage),
    b"append": _Spec(4, 5, _storage),
    b"prepend": _Spec(4, 5, _storage),
    b"cas": _Spec(5, 6, _storage),
    b"delete": _Spec(1, 3, _delete),
    b"touch": _Spec(2, 3, _touch),
    b"incr": _Spec(2, 3, _adjust),
    b"decr": _Spec(2, 3, _adjust),
    b"flush_all": _Spec(0, 2, _flush_all),
    b"stats": _Spec(0, 1, _stats),
    b"version": _Spec(0, _ANY, lambda _: Version()),
    b"verbosity": _Spec(1, 2, _verbosity),
    b"quit": _Spec(0, _ANY, lambda _: Quit()),
}
