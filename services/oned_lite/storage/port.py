"""What the daemon needs of a database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from services.oned_lite.node.durable import Loaded
from services.oned_lite.raft.types import Entry, HardState, SnapshotMeta
from services.oned_lite.state import Change


class StorageError(Exception):
    """The database refused, vanished, or is not ours. A failed or uncertain write must be taken as lost."""


class Storage(Protocol):
    """Calls are awaited one after another by two tasks: `persist` by the log writer, the rest by the table writer."""

    async def load(self) -> Loaded:
        """Opens the database, creating the schema in an empty one."""
        ...

    async def persist(self, hard_state: HardState | None, entries: Sequence[Entry]) -> None:
        """Term and vote, and the entries (the log is cut from the first one's index on), in one durable commit."""
        ...

    async def write_rows(self, applied_index: int, changes: Sequence[Change], bodies: Mapping[int, str]) -> None:
        """The rows as of `applied_index`, in one transaction with that index. `bodies[n]` is the XML of `changes[n]`."""
        ...

    async def install(self, meta: SnapshotMeta, rows: Iterable[Change]) -> None:
        """Replaces log and tables by a snapshot, in one durable transaction. `rows` come table by table; their XML is left
        to later writes."""
        ...

    async def purge(self, meta: SnapshotMeta, rows_max: int) -> int:
        """Deletes at most `rows_max` log entries at or before `meta.index` (which is applied); how many went."""
        ...

    async def close(self) -> None: ...


__all__ = ["Loaded", "Storage", "StorageError"]
