"""Which writes are on disk, and which messages wait for them.

Writes are numbered by the output that asks for them (its ticket) and become durable in that order. A message waits
either for the newest term and vote, or for everything asked for so far; a driver can send whatever it is given.
"""

from collections import deque
from enum import Enum, auto

from .messages import Message


class After(Enum):
    """What must be durable before a message may leave."""

    NOTHING = auto()
    TERM = auto()
    LOG = auto()


class _Write:
    __slots__ = ("issued_ms", "last_index", "ticket")

    def __init__(self, ticket: int, last_index: int, issued_ms: int) -> None:
        self.ticket = ticket
        self.last_index = last_index
        self.issued_ms = issued_ms


class Durability:
    """`index`: the end of the part of the current log that is durable. `ticket`: the last one given out."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.ticket = 0
        self.durable_ticket = 0
        self.first_unsaved = index + 1
        self.term_dirty = False
        self.log_dirty = False
        self._term_ticket = 0
        self._writes: deque[_Write] = deque()
        self._held: list[tuple[int, int, Message]] = []

    def rewrote(self, first: int) -> None:
        """The log changed from `first` on: what is being written there is no longer what the log says."""
        self.log_dirty = True
        self.first_unsaved = min(self.first_unsaved, first)
        self.index = min(self.index, first - 1)
        for write in self._writes:
            write.last_index = min(write.last_index, first - 1)

    def replaced(self, base_index: int) -> None:
        """A snapshot took the place of the whole log."""
        self.rewrote(1)
        self.first_unsaved = base_index + 1

    def hold(self, peer: int, message: Message, after: After) -> bool:
        """Keep `message` if what it depends on is not durable yet. Whether it was kept."""
        ticket = self._awaited(after)
        if ticket <= self.durable_ticket:
            return False
        self._held.append((ticket, peer, message))
        return True

    def _awaited(self, after: After) -> int:
        if after is After.NOTHING:
            return 0
        if self.term_dirty or (after is After.LOG and self.log_dirty):
            return self.ticket + 1
        return self._term_ticket if after is After.TERM else self.ticket

    def issue(self, last_index: int, now_ms: int) -> None:
        """Everything changed so far goes out to be written, with the log up to `last_index`."""
        self.ticket += 1
        if self.term_dirty:
            self._term_ticket = self.ticket
        self.term_dirty = self.log_dirty = False
        self.first_unsaved = last_index + 1
        self._writes.append(_Write(self.ticket, last_index, now_ms))

    def persisted(self, ticket: int) -> list[tuple[int, Message]]:
        """Writes up to `ticket` are durable. The messages that were waiting for them."""
        if ticket > self.ticket:
            raise ValueError(f"ticket {ticket} was never given out (last: {self.ticket})")
        while self._writes and self._writes[0].ticket <= ticket:
            self.index = max(self.index, self._writes.popleft().last_index)
        self.durable_ticket = max(self.durable_ticket, ticket)
        released = [(peer, message) for awaited, peer, message in self._held if awaited <= ticket]
        if released:
            self._held = [held for held in self._held if held[0] > ticket]
        return released

    def oldest_write_ms(self) -> int | None:
        """When the oldest write still under way was asked for."""
        return self._writes[0].issued_ms if self._writes else None
