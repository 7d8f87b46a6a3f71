"""Chunked transfer coding: one strict scanner for both directions."""

from __future__ import annotations

import enum
import re

from services.balancer.wire.fields import FramingError, parse_field

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
MAX_LINE = 4096
MAX_TRAILERS = 8192


class _At(enum.Enum):
    SIZE = 1
    DATA = 2
    DATA_END = 3
    TRAILER = 4


class ChunkedScanner:
    """Follows a chunked body through arbitrary cuts. ``done`` turns true at its end."""

    __slots__ = ("_at", "_left", "_partial", "_trailers", "done")

    def __init__(self) -> None:
        self._at = _At.SIZE
        self._left = 0
        self._partial = b""
        self._trailers = 0
        self.done = False

    def feed(self, data: bytes, payload: list[bytes] | None = None) -> int:
        """Consume bytes and return how many belong to the body; collect the decoded ones in ``payload``.

        Raises FramingError on anything RFC 9112 section 7.1 does not allow, and on absurd sizes.
        """
        position, size = 0, len(data)
        while position < size and not self.done:
            if self._at is _At.DATA:
                taken = min(self._left, size - position)
                if payload is not None:
                    payload.append(data[position : position + taken])
                position += taken
                self._left -= taken
                if not self._left:
                    self._at = _At.DATA_END
            else:
                position = self._feed_line(data, position)
        return position

    def _feed_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position)
        piece = data[position : end + 1] if end >= 0 else data[position:]
        line = self._partial + piece
        if len(line) > MAX_LINE:
            raise FramingError("chunk line too long")
        if end < 0:
            self._partial = line
            return len(data)
        if line[-2:] != b"\r\n":
            raise FramingError("LF alone in a chunk line")
        self._partial = b""
        self._take_line(line[:-2])
        return end + 1

    def _take_line(self, line: bytes) -> None:
        if self._at is _At.DATA_END:
            if line:
                raise FramingError("chunk longer than announced")
            self._at = _At.SIZE
        elif self._at is _At.SIZE:
            self._take_size(line)
        elif line:
            self._trailers += len(line)
            if self._trailers > MAX_TRAILERS:
                raise FramingError("trailers too large")
            parse_field(line)
        else:
            self.done = True

    def _take_size(self, line: bytes) -> None:
        found = _SIZE.fullmatch(line)
        if found is None:
            raise FramingError("malformed chunk size")
        self._left = int(found[1], 16)
        self._at = _At.DATA if self._left else _At.TRAILER


def chunk(data: bytes) -> bytes:
    """One chunk, or nothing for no data: an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


LAST_CHUNK = b"0\r\n\r\n"
