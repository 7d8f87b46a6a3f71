"""A group whose peers are counted for all workers together (nginx ``zone``).

What selection and the passive accounting read lies in memory that the workers share; a request's turn fetches it, runs
the ordinary rules of the group, and puts it back, all under one lock. So the rules are written once.

Connections are counted per worker, each in a column of its own that no other process writes: the end of a request that
did not fail needs no lock, and the count of a worker that died can be struck out by itself.
"""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from services.balancer.core.groups import Group, GroupSettings
from services.balancer.core.peers import Peer, PeerSettings, Verdict
from services.balancer.core.selection import Turn


class Memory(Protocol):
    """The shared memory of one group, a record for each peer. Integers only; nothing but zeros is a fresh peer."""

    def lock(self) -> None:
        """Keep other processes out; a process that dies gives the lock back."""

    def unlock(self) -> None: ...

    def read(self, peer_id: int) -> tuple[int, ...]:
        """Fails, accessed, checked, current weight, lost weight, start of the ramp in ms; then connections by worker."""

    def write(
        self, peer_id: int, fails: int, accessed: int, checked: int, current: int, lost: int, ramp_ms: int
    ) -> None: ...

    def fails(self, peer_id: int) -> int: ...

    def own_conns(self, peer_id: int) -> int: ...

    def count(self, peer_id: int, step: int) -> None:
        """Add to this worker's connections."""

    def clear(self, peer_id: int) -> None:
        """Make the record of a peer's number that of a fresh peer."""


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

    # The shared state, in and out. ``with self`` holds the lock.

    def __enter__(self) -> None:
        self.memory.lock()
        self.observe()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self._put_back()
        finally:
            self.memory.unlock()

    def observe(self) -> None:
        read = self.memory.read
        for peer in self.peers:
            peer.fails, peer.accessed, peer.checked, peer.current_weight, lost, ramp_ms, *conns = read(peer.id)
            peer.conns = sum(conns)
            peer.effective_weight = max(0, peer.weight - lost)
            peer.ramp_from = ramp_ms / 1000 if ramp_ms else None

    def _put_back(self) -> None:
        write = self.memory.write
        for peer in self.peers:
            write(
                peer.id, peer.fails, peer.accessed, peer.checked, peer.current_weight,
                peer.weight - peer.effective_weight, int(peer.ramp_from * 1000) if peer.ramp_from is not None else 0,
            )  # fmt: skip

    def own_conns(self, peer: Peer) -> int:
        return self.memory.own_conns(peer.id)

    # The rules of the group, on shared state

    def select(self, turn: Turn, now: int) -> Peer | None:
        with self:
            peer = super().select(turn, now)
            if peer is not None:
                self.memory.count(peer.id, 1)
        return peer

    def release(self, turn: Turn, peer: Peer, now: int, *, failed: bool) -> bool:
        if self._mine.get(peer.id) is not peer:  # removed while the request was in progress
            return super().release(turn, peer, now, failed=failed)
        if not (failed or self.single or self.memory.fails(peer.id)):
            self.memory.count(peer.id, -1)
            turn.used += 1
            return False
        with self:
            self.memory.count(peer.id, -1)
            return super().release(turn, peer, now, failed=failed)

    def judge(self, peer: Peer, verdict: Verdict, now: float) -> bool:
        with self:
            return super().judge(peer, verdict, now)

    def ramp(self, now: float) -> None:
        if self.scale != 1:
            with self:
                super().ramp(now)

    def has_room(self, now: int) -> bool:
        self.observe()
        return super().has_room(now)
