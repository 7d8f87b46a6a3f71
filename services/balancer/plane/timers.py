"""Deadlines of many connections at the price of an attribute write each.

A connection's deadline moves with every byte, far more often than it is ever reached. So moving it later only stores a
number; the wheel visits each connection when its old deadline comes up and puts it where the new one is.
"""

from __future__ import annotations

import asyncio
from typing import Final

NEVER: Final = float("inf")
TICKS_PER_S: Final = 10
UNPLACED: Final = 1 << 62


class Timed:
    """Something with a deadline. ``slot`` belongs to the wheel.

    Where every nanosecond counts, a deadline may be moved by plain assignment as long as ``slot`` is not UNPLACED and the
    new deadline is not earlier than the one last armed.
    """

    __slots__ = ("deadline", "slot")

    def __init__(self) -> None:
        self.deadline = NEVER
        self.slot = UNPLACED

    def on_deadline(self) -> None:
        raise NotImplementedError


class Wheel:
    """Ticks ten times a second; ``now`` is the loop's time of the last tick."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, set[Timed]] = {}
        self.now = loop.time()
        self._turned = int(self.now * TICKS_PER_S)
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._turn()

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def arm(self, timed: Timed, delay_s: float) -> None:
        """Set the deadline ``delay_s`` from now; precise to a tick."""
        timed.deadline = deadline = self.now + delay_s
        slot = int(deadline * TICKS_PER_S) + 1
        if slot < timed.slot:
            self._place(timed, slot)

    def forget(self, timed: Timed) -> None:
        """Take it out for good, so that the wheel does not keep it alive."""
        timed.deadline = NEVER
        placed = self._slots.get(timed.slot)
        if placed is not None:
            placed.discard(timed)
        timed.slot = UNPLACED

    def _place(self, timed: Timed, slot: int) -> None:
        before = self._slots.get(timed.slot)
        if before is not None:
            before.discard(timed)
        timed.slot = max(slot, self._turned + 1)
        self._slots.setdefault(timed.slot, set()).add(timed)

    def _turn(self) -> None:
        self._handle = self._loop.call_later(1 / TICKS_PER_S, self._turn)
        self.now = self._loop.time()
        current = int(self.now * TICKS_PER_S)
        while self._turned < current:
            self._turned += 1
            for timed in self._slots.pop(self._turned, ()):
                self._visit(timed)

    def _visit(self, timed: Timed) -> None:
        timed.slot = UNPLACED
        if timed.deadline <= self.now:
            timed.deadline = NEVER
            try:
                timed.on_deadline()
            except Exception as error:  # a mistake of ours with one does not leave the others waiting for ever
                self._loop.call_exception_handler({"message": "a deadline was not handled", "exception": error})
        elif timed.deadline != NEVER:
            self._place(timed, int(timed.deadline * TICKS_PER_S) + 1)
