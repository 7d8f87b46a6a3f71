"""What must hold after every step, whatever happens (Raft paper, figure 3, and what clients were promised)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from services.oned_lite.model.objects import PoolObject
from services.oned_lite.model.vmtemplate import TEMPLATES
from services.oned_lite.node.effects import Applied, RoleChanged
from services.oned_lite.node.node import Node, NodeStatus
from services.oned_lite.raft.types import Entry
from services.oned_lite.state.table import scan


class Violation(AssertionError):
    """Something that must never happen has happened."""


class Invariants:
    def __init__(self) -> None:
        self._leaders: dict[int, int] = {}
        self._entries: dict[tuple[int, int], bytes] = {}
        self._applied: dict[int, bytes] = {}
        self._hashes: dict[int, int] = {}

    def election_safety(self, server: int, role: RoleChanged) -> None:
        """At most one leader in a term."""
        if role.role == "leader" and self._leaders.setdefault(role.term, server) != server:
            raise Violation(f"servers {self._leaders[role.term]} and {server} both lead term {role.term}")

    def log_matching(self, entries: Iterable[Entry]) -> None:
        """Entries of the same index and term are the same entry."""
        for entry in entries:
            digest = hashlib.blake2b(entry.data, digest_size=8).digest()
            if self._entries.setdefault((entry.index, entry.term), digest) != digest:
                raise Violation(f"two different entries {entry.index} of term {entry.term}")

    def state_machine_safety(self, applied: Iterable[Applied]) -> None:
        """All servers apply the same change set at an index."""
        for one in applied:
            digest = hashlib.blake2b(one.change_set.encode(), digest_size=8).digest()
            if self._applied.setdefault(one.index, digest) != digest:
                raise Violation(f"two different change sets applied at {one.index}")

    def equal_states(self, server: int, status: NodeStatus) -> None:
        """The same index means the same state; and nothing is applied that is not committed."""
        if status.applied_index > status.commit_index:
            raise Violation(f"server {server} applied {status.applied_index}, committed {status.commit_index}")
        known = self._hashes.setdefault(status.applied_index, status.state_hash)
        if known != status.state_hash:
            raise Violation(f"server {server} has another state at {status.applied_index}")

    def unique_names(self, node: Node) -> None:
        """Names are unique in their scope, and every index entry has its row."""
        seen: dict[tuple[int, str], int] = {}
        for row in scan(node.store, TEMPLATES.table):
            assert isinstance(row, PoolObject)
            other = seen.setdefault((row.uid, row.name), row.oid)
            if other != row.oid:
                raise Violation(f"templates {other} and {row.oid} are both called {row.name}")
            if node.store.find(TEMPLATES.table, "name", (row.uid, row.name)) != [row.oid]:
                raise Violation(f"the index of names has lost template {row.oid}")
