"""What must hold after every step, whatever happens (Raft paper, figure 3, and what clients were promised)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.oned_lite.model.image import IMAGES
from services.oned_lite.model.objects import PoolObject
from services.oned_lite.model.vmtemplate import TEMPLATES
from services.oned_lite.node import frames
from services.oned_lite.node.effects import Applied, Effects, RoleChanged
from services.oned_lite.node.node import Node
from services.oned_lite.raft.messages import (
    AppendAccepted,
    HeartbeatResponse,
    Message,
    TimeoutNow,
    VoteResponse,
    decode,
)
from services.oned_lite.raft.quorum import majority
from services.oned_lite.raft.types import Entry, Role
from services.oned_lite.state import ChangeSet, Store

from . import accounts
from .coverage import Coverage

if TYPE_CHECKING:
    from .machine import Machine

_NAMED = {kind.table.name: kind.table for kind in (TEMPLATES, IMAGES)}
_COUNTED = accounts.TABLES


class Violation(AssertionError):
    """Something that must never happen has happened."""


@dataclass(frozen=True, slots=True)
class _Committed:
    """`term` of the entry, and `by_term` of the server that said so first."""

    term: int
    by_term: int


class Invariants:
    def __init__(self, machines: Mapping[int, Machine], coverage: Coverage) -> None:
        self._machines = machines
        self._coverage = coverage
        self._leaders: dict[int, int] = {}
        self._entries: dict[tuple[int, int], tuple[bytes, int | None]] = {}
        self._committed: dict[int, _Committed] = {}
        self._seen_commit: dict[int, int] = {}
        self._applied: dict[int, bytes] = {}
        self._hashes: dict[int, int] = {}

    def started(self, machine: Machine) -> None:
        """A new node, which begins with what its disk holds."""
        assert machine.node is not None
        self._seen_commit[machine.number] = machine.node.raft.commit_index

    def stepped(self, machine: Machine, node: Node, effects: Effects) -> None:
        """`node` asks for `effects`, none of which are carried out yet."""
        for persist in effects.persist:
            self._log_matching(node, persist.entries)
        for role in effects.roles:
            self._role(machine.number, node, role)
        for _peer, data in effects.frames:
            frame = frames.decode(data)
            if isinstance(frame, frames.Consensus):
                self._promise(machine, decode(frame.message))
        self._commit(machine, node)
        if effects.applied:
            self._state_machine_safety(machine, node, effects.applied)

    # ------------------------------------------------------------------ consensus
    def _role(self, number: int, node: Node, role: RoleChanged) -> None:
        """At most one leader in a term, and it has everything that was committed in earlier ones."""
        if role.role != Role.LEADER.value:
            return
        self._coverage.hit("elections")
        if self._leaders.setdefault(role.term, number) != number:
            raise Violation(f"servers {self._leaders[role.term]} and {number} both lead term {role.term}")
        for index, committed in self._committed.items():
            if committed.by_term < role.term and index >= node.raft.first_index:
                found = node.raft.term_at(index)
                if found != committed.term:
                    raise Violation(
                        f"leader {number} of term {role.term} lacks entry {index} of term {committed.term}, committed in "
                        f"term {committed.by_term}; it has {found}"
                    )

    def _log_matching(self, node: Node, entries: Iterable[Entry]) -> None:
        """Entries of the same index and term are the same entry, and follow the same one."""
        for entry in entries:
            digest = hashlib.blake2b(entry.data, digest_size=8).digest()
            before = node.raft.term_at(entry.index - 1)
            known, known_before = self._entries.setdefault((entry.index, entry.term), (digest, before))
            if known != digest:
                raise Violation(f"two different entries {entry.index} of term {entry.term}")
            if before is not None and known_before is not None and before != known_before:
                raise Violation(f"entry {entry.index} of term {entry.term} follows terms {known_before} and {before}")

    def _promise(self, machine: Machine, message: Message) -> None:
        """Term, vote and log are durable before anybody may rely on them (Raft paper, figure 2)."""
        disk = machine.disk
        match message:
            case VoteResponse(term, granted=True):
                if disk.hard_state.term < term:
                    raise Violation(f"server {machine.number} votes in term {term} with {disk.hard_state} on disk")
            case AppendAccepted():
                self._acknowledged(machine, message.index)
            case HeartbeatResponse():
                self._acknowledged(machine, message.accepted_index)
            case TimeoutNow():
                self._coverage.hit("hand-overs")

    def _acknowledged(self, machine: Machine, index: int) -> None:
        if index > machine.disk.last_index:
            raise Violation(f"server {machine.number} acknowledges {index} with {machine.disk.last_index} on disk")

    def _commit(self, machine: Machine, node: Node) -> None:
        """No two servers commit different entries at an index; a leader commits what a majority holds durably."""
        raft, seen = node.raft, self._seen_commit[machine.number]
        commit_index = raft.commit_index
        if raft.applied_index > commit_index or commit_index > raft.last_index:
            raise Violation(
                f"server {machine.number}: applied {raft.applied_index}, committed {commit_index}, "
                f"log to {raft.last_index}"
            )
        if commit_index <= seen:
            return
        self._seen_commit[machine.number] = commit_index
        for index in range(max(seen + 1, raft.first_index), commit_index + 1):
            term = raft.term_at(index)
            assert term is not None
            known = self._committed.setdefault(index, _Committed(term, raft.term))
            if known.term != term:
                raise Violation(
                    f"server {machine.number} commits entry {index} of term {term}, others that of {known.term}"
                )
        if raft.role is Role.LEADER:
            self._replicated(machine.number, node)

    def _replicated(self, number: int, node: Node) -> None:
        index, voters = node.raft.commit_index, node.raft.configuration.voters
        term = node.raft.term_at(index)
        if term != node.raft.term:
            raise Violation(f"leader {number} of term {node.raft.term} counts replicas of entry {index} of term {term}")
        holders = [voter for voter in voters if self._holds(voter, index, term)]
        if len(holders) < majority(len(voters)):
            raise Violation(f"leader {number} commits entry {index}, of voters {voters} only {holders} hold it")

    def _holds(self, voter: int, index: int, term: int) -> bool:
        machine = self._machines.get(voter)
        return machine is not None and (machine.wiped or machine.disk.holds(index, term))

    # ------------------------------------------------------------------ state
    def _state_machine_safety(self, machine: Machine, node: Node, applied: Iterable[Applied]) -> None:
        """All servers apply the same change set at an index, and come to the same state, in which names are unique and
        quotas add up."""
        fresh: list[ChangeSet] = []
        for one in applied:
            digest = hashlib.blake2b(one.change_set.encode(), digest_size=8).digest()
            known = self._applied.get(one.index)
            if known is None:
                self._applied[one.index] = digest
                fresh.append(one.change_set)
            elif known != digest:
                raise Violation(f"two different change sets applied at {one.index}")
        self._equal_states(machine.number, node.store)
        for change_set in fresh:
            _unique_names(node.store, change_set)
        if any(change.table in _COUNTED for change_set in fresh for change in change_set.changes):
            wrong = accounts.difference(node.store)
            if wrong:
                raise Violation(f"quotas do not add up at index {node.store.applied_index}: {wrong}")

    def _equal_states(self, number: int, store: Store) -> None:
        if self._hashes.setdefault(store.applied_index, store.state_hash) != store.state_hash:
            raise Violation(f"server {number} has another state at {store.applied_index}")


def _unique_names(store: Store, change_set: ChangeSet) -> None:
    """Names are unique among the objects of an owner, and every index entry has its row."""
    for change in change_set.changes:
        table = _NAMED.get(change.table)
        row = store.get(table, change.key) if table is not None else None
        if table is not None and isinstance(row, PoolObject):
            found = store.find(table, "name", (row.uid, row.name))
            if found != [row.oid]:
                raise Violation(f"{table.name}: {row.name!r} of user {row.uid} is the name of {found}")
