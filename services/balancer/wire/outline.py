"""Outlines of answers' heads: of a head of a known kind, only what changes from one to the next has to be looked at."""

from __future__ import annotations

import enum
from typing import Final

from services.balancer.wire.fields import BREAKS_A_LINE, CRLF, Field, content_length

MAX_HEAD: Final = 32768
MISFIT: Final = -1


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

    The lines whose values have been seen to change lie between ``_pieces`` that are the same in every head of the kind.
    ``verbatim``: such a head may go as it is to an HTTP/1.1 client that stays. ``ordinary``: it has a known length, its
    connection stays, and no retry rule can apply to it.
    """

    __slots__ = (
        "_cut_piece",
        "_cut_place",
        "_first",
        "_kept",
        "_length",
        "_length_at",
        "_length_piece",
        "_lines",
        "_pieces",
        "_starts",
        "_varying",
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
        """``lines`` are all of the head, ``first`` is the first one as clients get it; ``hidden`` says which of the fields
        between the first line and the end are not passed on.
        """
        self.status = status
        self.framing = framing
        self.keep_alive = keep_alive
        self.ordinary = keep_alive and (framing is LENGTH or framing is NONE) and 200 <= status < 400
        self.verbatim = minor == 1 and not any(hidden)
        self.cut = b""  # what is to be taken out of the head, once, for it to go on, if that is all
        if minor == 1 and hidden.count(True) == 1:
            self.cut = fields[hidden.index(True)].line + CRLF
        self._first = first
        self._kept = [number + 1 for number in range(len(fields)) if not hidden[number]]
        self._lines = lines
        self._starts = [b"", *[b"" if field.special else _start(field) for field in fields], b"", b""]
        self._varying = [False for _ in lines]
        self._length = length
        self._length_at = 0  # the line that says it, where it is of interest
        for number, field in enumerate(fields, 1):
            if framing is LENGTH and field.name == b"content-length":
                self._length_at = number
                self._starts[number] = _start(field)
        self._cut_up()

    def _cut_up(self) -> None:
        """Compose the pieces between the values that vary."""
        self._pieces: list[bytes] = []
        self._length_piece = self._cut_piece = MISFIT
        self._cut_place = 0
        piece = b""
        for number in range(len(self._lines) - 1):
            line = self._lines[number]
            if self.cut and self._cut_piece == MISFIT and line + CRLF == self.cut:
                self._cut_piece, self._cut_place = len(self._pieces), len(piece)
            if self._varying[number]:
                if number == self._length_at:
                    self._length_piece = len(self._pieces)
                self._pieces.append(piece + self._starts[number])
                piece = CRLF
            else:
                piece += line + CRLF
        self._pieces.append(piece)

    def match(self, data: bytes) -> tuple[int, int, int]:
        """Size of the head at the beginning, length of the body after it, and where ``cut`` is in it (or MISFIT).

        The size is 0 when it is of another kind, or anything but what is known to vary is new. Raises FramingError.
        """
        pieces = self._pieces
        last = len(pieces) - 1
        position, length, cut_at = 0, self._length, MISFIT
        for number in range(len(pieces)):
            piece = pieces[number]
            end = position + len(piece)
            if data[position:end] != piece:
                return 0, 0, MISFIT
            if number == self._cut_piece:
                cut_at = position + self._cut_place
            position = end
            if number != last:
                end = data.find(CRLF, position, MAX_HEAD)
                value = data[position:end]
                if end < 0 or len(value.translate(None, BREAKS_A_LINE)) != len(value):
                    return 0, 0, MISFIT
                if number == self._length_piece:
                    length = content_length(value.strip(b" \t"))
                position = end
        return position, length, cut_at

    def learn(self, lines: list[bytes]) -> int:
        """The length of the body after a head of this kind with these lines; from now on its new values are known to vary.

        MISFIT when it is of another kind, or not certainly of this one.
        """
        if len(lines) != len(self._lines):
            return MISFIT
        before, starts, length = self._lines, self._starts, self._length
        new: list[int] = []
        for number in range(len(lines)):
            line = lines[number]
            if line != before[number]:
                start = starts[number]
                if not start or line[: len(start)] != start or len(line.translate(None, BREAKS_A_LINE)) != len(line):
                    return MISFIT
                if number == self._length_at:
                    length = content_length(line[len(start) :].strip(b" \t"))
                new.append(number)
        for number in new:
            self._varying[number] = True
        self._lines = lines
        self._length = length
        self._cut_up()
        return length

    def plain(self, head: bytes) -> bytes:
        """A received head as it may go to an HTTP/1.1 client that stays."""
        if self.verbatim:
            return head
        lines = head.split(CRLF)
        return CRLF.join([self._first, *[lines[number] for number in self._kept], b"", b""])


def _start(field: Field) -> bytes:
    return field.line[: field.line.index(b":") + 1]
