"""Answers to reads that are too long to be made in one go: heartbeats and other clients get their turn in between."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from traceback import format_exc

from services.oned_lite.api.pieces import Pieces
from services.oned_lite.state import Pin

from .gate import failure, success, unexpected
from .replica import Replica, encode_answer
from .requests import Client, Pending

ROWS_PER_TURN = 200
"""Some milliseconds of work."""


@dataclass(frozen=True, slots=True)
class _Reading:
    pending: Pending
    pieces: Pieces
    pin: Pin
    index: int


class LongReads:
    """Each is of the state at the moment it was asked for."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._readings: deque[_Reading] = deque()

    def __len__(self) -> int:
        return len(self._readings)

    def begin(self, pending: Pending, pieces: Pieces, pin: Pin) -> None:
        """Answers at once what is short."""
        self._go_on(_Reading(pending, pieces, pin, self._replica.store.applied_index))

    def advance(self) -> None:
        """A turn of the one that waits longest."""
        if self._readings:
            self._go_on(self._readings.popleft())

    def finish(self) -> None:
        """All of them: the state that they read is about to be given up."""
        while self._readings:
            self.advance()

    def drop(self, client: Client) -> None:
        for reading in tuple(self._readings):
            if reading.pending.client == client:
                self._readings.remove(reading)
                self._replica.store.unpin(reading.pin)

    def _go_on(self, reading: _Reading) -> None:
        replica, pending = self._replica, reading.pending
        try:
            if reading.pieces.advance(ROWS_PER_TURN):
                self._readings.append(reading)
                replica.effects.unfinished = True
                return
            answer = success(reading.pieces.whole())
        except Exception:  # a mistake of ours in making one row
            replica.effects.defects.append(format_exc())
            answer = failure(pending.method, unexpected())
        replica.store.unpin(reading.pin)
        replica.answer(pending.client, encode_answer(answer), reading.index)
