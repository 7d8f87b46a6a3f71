"""Long answers that are made row by row, so that nobody else waits for the whole."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from services.common.xmlrpc import EncodedParts, EncodedText


class Pieces:
    """A string in the making. What its pieces are made of must not change meanwhile (`state.Pin`)."""

    def __init__(self, pieces: Iterator[EncodedText]) -> None:
        self._pieces = pieces
        self._made: list[EncodedText] = []

    def advance(self, count: int) -> bool:
        """Makes so many more; whether there may be more to make."""
        before = len(self._made)
        self._made += islice(self._pieces, count)
        return len(self._made) == before + count

    def whole(self) -> EncodedParts:
        """All of it, with what is left to make."""
        self._made += self._pieces
        return EncodedParts(self._made)
