"""Linearizable reads without writing to the log (thesis section 6.4).

A read remembers how far the log was committed when it came, waits until a majority has answered a heartbeat sent after
that (so no newer leader can have committed more), and then until that much is applied.
"""

from collections import deque

from .output import ReadReady


class ReadQueue:
    """Indexes of later reads are never smaller, and neither are their rounds, so each stage is a queue."""

    def __init__(self) -> None:
        self._new: deque[ReadReady] = deque()
        self._asked: deque[tuple[int, ReadReady]] = deque()  # with the heartbeat round that must be answered
        self._confirmed: deque[ReadReady] = deque()

    @property
    def needs_round(self) -> bool:
        return bool(self._new)

    def add(self, context: int, index: int) -> None:
        self._new.append(ReadReady(context, index))

    def asked(self, round_number: int) -> None:
        """A heartbeat round begins; it speaks for every read that came before it."""
        self._asked.extend((round_number, read) for read in self._new)
        self._new.clear()

    def confirm(self, round_number: int) -> None:
        """A majority has answered `round_number`."""
        while self._asked and self._asked[0][0] <= round_number:
            self._confirmed.append(self._asked.popleft()[1])

    def release(self, applied_index: int) -> list[ReadReady]:
        """The reads that may be answered from a state at `applied_index`."""
        ready = []
        while self._confirmed and self._confirmed[0].index <= applied_index:
            ready.append(self._confirmed.popleft())
        return ready

    def fail(self) -> list[int]:
        """Give up: the contexts of all reads not yet released."""
        asked = [read for _, read in self._asked]
        contexts = [read.context for read in (*self._confirmed, *asked, *self._new)]
        for queue in (self._new, self._asked, self._confirmed):
            queue.clear()
        return contexts
