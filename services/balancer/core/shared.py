"""A group whose peers are counted for all workers together (nginx ``zone``).

What selection and the passive accounting read lies in memory that the workers share. A request's turn fetches it, runs the
ordinary rules of the group, and puts back what they changed, so the rules are written once.

A turn takes the lock where the outcome hangs on it: when a peer has failed lately, or has a limit of connections. The
ordinary turn does without. Connections are counted per worker, each in a place that no other process writes; two workers
that settle a tie in the same microsecond may then choose the same peer, which costs nothing but the even order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Protocol

from services.balancer.core.groups import Group, GroupSettings
from services.balancer.core.peers import Peer, PeerSettings, Verdict
from services.balancer.core.roster import Passive
from services.balancer.core.selection import Turn

FACTS = 6
"""Words of a peer: fails, accessed, checked, current weight, lost weight, start of the ramp in ms. Zeros: a fresh peer."""

_CURRENT, _LOST = 3, 4


class Words(Protocol):
    """Integers of 64 bits, each read and written as a whole."""

    def __getitem__(self, index: int, /) -> int: ...

    def __setitem__(self, index: int, value: int, /) -> None: ...


class Memory(Protocol):
    """The shared memory of one group: for each peer its FACTS, then its connections by worker."""

    @property
    def words(self) -> Words: ...

    def place(self, peer_id: int) -> int:
        """Where the words of a peer begin."""

    @property
    def own(self) -> int:
        """Where, from the beginning of a peer's words, this worker counts its connections."""

    @property
    def columns(self) -> int:
        """Workers that may be counting now; the first value of what a reader reads."""

    def reader(self, peer_ids: Iterable[int], columns: int) -> Callable[[], tuple[int, ...]]:
        """Reads, in one go: how many columns are in use, then the facts and so many columns of each peer."""

    def lock(self) -> None:
        """Keep other processes out; a process that dies gives the lock back."""

    def unlock(self) -> None: ...

    def clear(self, peer_id: int) -> None:
        """Make the words of a peer's number those of a fresh peer."""


class SharedPeer(Peer):
    """A peer that other processes change too, so that a closer look is always needed."""

    __slots__ = ()

    def look(self) -> None:
        self.watched = True


class SharedGroup(Group):
    """Shares conns, fails, accessed, checked, weights and slow starts with the same group of other processes.

    The ``keeper`` is the process whose group the others assume: it gives new peers their numbers, and clean records.
    """

    shared = True

    def __init__(self, settings: GroupSettings, memory: Memory, *, keeper: bool = False) -> None:
        self.memory = memory
        self._words = memory.words
        self._own = memory.own
        self._keeper = keeper
        self._mine: dict[int, Peer] = {}
        super().__init__(settings)

    def _peer(self, peer_id: int, settings: PeerSettings) -> Peer:
        return SharedPeer(peer_id, settings)

    def _new_peer(self, settings: PeerSettings) -> Peer:
        if self._keeper:
            self.memory.clear(self._next_id)
        return super()._new_peer(settings)

    def refresh(self) -> None:
        super().refresh()
        self._mine = {peer.id: peer for peer in self.peers}
        self._limited = any(peer.max_conns for peer in self.peers)
        self._lay_out()

    def _lay_out(self) -> None:
        """Settle where the values of each peer are: in what is read, and in the memory."""
        self._columns = self.memory.columns
        self._read = self.memory.reader((peer.id for peer in self.peers), self._columns)
        width = FACTS + self._columns
        self._places = [
            (peer, 1 + index * width, 1 + (index + 1) * width, self.memory.place(peer.id))
            for index, peer in enumerate(self.peers)
        ]

    # The shared state, in and out. ``with self`` holds the lock.

    def _values(self) -> tuple[int, ...]:
        values = self._read()
        if values[0] != self._columns:
            self._lay_out()
            values = self._read()
        return values

    def observe(self) -> None:
        values = self._values()
        for peer, at, end, _ in self._places:
            peer.fails, peer.accessed, peer.checked, peer.current_weight, lost, ramp_ms = values[at : at + FACTS]
            peer.conns = sum(values[at + FACTS : end])
            peer.effective_weight = max(0, peer.weight - lost)
            peer.ramp_from = ramp_ms / 1000 if ramp_ms else None

    def _put_back(self) -> None:
        words = self._words
        for peer, _, _, place in self._places:
            words[place] = peer.fails
            words[place + 1] = peer.accessed
            words[place + 2] = peer.checked
            words[place + _CURRENT] = peer.current_weight
            words[place + _LOST] = peer.weight - peer.effective_weight
            words[place + 5] = int(peer.ramp_from * 1000) if peer.ramp_from is not None else 0

    def __enter__(self) -> None:
        self.memory.lock()
        self.observe()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self._put_back()
        finally:
            self.memory.unlock()

    def own_conns(self, peer: Peer) -> int:
        return self._words[self.memory.place(peer.id) + self._own]

    # The rules of the group, on shared state

    def select(self, turn: Turn, now: int) -> Peer | None:
        values = self._values()
        if self._limited:
            return self._select_alone(turn, now)
        for peer, at, end, _ in self._places:
            if values[at]:
                return self._select_alone(turn, now)
            peer.fails = 0
            peer.conns = sum(values[at + FACTS : end])
            peer.current_weight = values[at + _CURRENT]
            peer.effective_weight = peer.weight - values[at + _LOST]
        chosen = super().select(turn, now)
        if chosen is None:
            return None
        words = self._words
        for peer, at, _, place in self._places:
            if peer.current_weight != values[at + _CURRENT]:
                words[place + _CURRENT] = peer.current_weight
                words[place + _LOST] = peer.weight - peer.effective_weight
            if peer is chosen:
                words[place + self._own] += 1
        return chosen

    def _select_alone(self, turn: Turn, now: int) -> Peer | None:
        with self:
            peer = super().select(turn, now)
            if peer is not None:
                self._words[self.memory.place(peer.id) + self._own] += 1
        return peer

    def release(self, turn: Turn, peer: Peer, now: int, *, failed: bool) -> bool:
        if self._mine.get(peer.id) is not peer:  # removed while the request was in progress
            return super().release(turn, peer, now, failed=failed)
        place = self.memory.place(peer.id)
        self._words[place + self._own] -= 1
        if not (failed or self.single or self._words[place]):
            turn.used += 1
            return False
        with self:
            peer.conns += 1  # counted off already; the rules do it once more
            return super().release(turn, peer, now, failed=failed)

    def judge(self, peer: Peer, verdict: Verdict, now: float) -> bool:
        with self:
            return super().judge(peer, verdict, now)

    def recall(self, known: Mapping[str, Passive]) -> None:
        with self:
            super().recall(known)

    def ramp(self, now: float) -> None:
        if self.scale != 1:
            with self:
                super().ramp(now)

    def has_room(self, now: int) -> bool:
        self.observe()
        return super().has_room(now)
