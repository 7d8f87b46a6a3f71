"""What a node asks its driver to do."""

import msgspec

from .messages import Message
from .types import Entry, HardState, Role, SnapshotMeta


class ReadReady(msgspec.Struct, frozen=True):
    """A linearizable read may be answered now from the applied state, which covers `index`."""

    context: int
    index: int


class RoleChange(msgspec.Struct, frozen=True):
    role: Role
    term: int
    leader_id: int | None


class Install(msgspec.Struct, frozen=True):
    """A complete snapshot. It replaces the whole log and the whole state."""

    meta: SnapshotMeta
    data: bytes


class Divergence(msgspec.Struct, frozen=True):
    """The state of `server_id` at `index` is not what it must be. If it is this server, it must stop serving."""

    server_id: int
    index: int
    expected: int
    actual: int


class Output(msgspec.Struct, frozen=True):
    """Everything to do since the last `take`. False if that is nothing.

    Order of the driver's work, one output after the other:

    1. send `messages`: whatever in them depends on a write is held back inside the node until `persisted`;
    2. if `needs_persist`: write, in one durable step, `hard_state`, then `install` (it replaces log and state), then
       `entries` (first delete the log from `entries[0].index` on). Then call `persisted(ticket)`; a ticket covers all
       earlier ones, so several outputs may share one durable commit. Then load the `install`;
    3. apply `committed` in order and report `applied` for each. They are durable here already, whatever is being written;
    4. answer `reads`, fail `failed_reads`, tell the waiters of `dropped` that their outcome is unknown.

    `dropped` are proposals of a leadership that ended. Their entries may still come by in `committed`: same index and
    same term means that the proposal succeeded, another term at that index that it never will.
    """

    ticket: int
    hard_state: HardState | None = None
    entries: tuple[Entry, ...] = ()
    install: Install | None = None
    messages: tuple[tuple[int, Message], ...] = ()
    committed: tuple[Entry, ...] = ()
    reads: tuple[ReadReady, ...] = ()
    failed_reads: tuple[int, ...] = ()
    snapshot_wanted: tuple[int, ...] = ()
    role_changed: RoleChange | None = None
    dropped: tuple[int, ...] = ()
    diverged: tuple[Divergence, ...] = ()

    @property
    def needs_persist(self) -> bool:
        return self.hard_state is not None or self.install is not None or bool(self.entries)

    def __bool__(self) -> bool:
        return (
            self.needs_persist
            or bool(self.messages or self.committed or self.reads or self.failed_reads)
            or bool(self.snapshot_wanted or self.dropped or self.diverged)
            or self.role_changed is not None
        )


NOTHING = Output(ticket=0)
"""What a node that wants nothing gives: a driver asks after every event, mostly in vain."""
