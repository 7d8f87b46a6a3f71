"""What a node asks of the world around it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.common.settings import Address
from services.oned_lite.lifecycle.event_stream import Event
from services.oned_lite.lifecycle.work import Work, WorkKey
from services.oned_lite.raft.types import Entry, HardState, SnapshotMeta
from services.oned_lite.state import Change, ChangeSet


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the request that came in under `request_id`: a finished XML-RPC response document."""

    request_id: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Install:
    """A snapshot: it replaces the whole log and all tables. Going through `rows` decodes them anew each time."""

    meta: SnapshotMeta
    rows: Iterable[Change]


@dataclass(frozen=True, slots=True)
class Persist:
    """To be made durable in this order: term and vote, snapshot, entries (the log is first cut from the first one's index
    on). Then `Node.persisted(ticket)`; a ticket covers all earlier ones, so several may share one durable commit."""

    ticket: int
    hard_state: HardState | None
    install: Install | None
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """A committed change set for the tables in the database; may be gathered with others before it is written."""

    index: int
    change_set: ChangeSet


@dataclass(frozen=True, slots=True)
class RoleChanged:
    """For logs, hooks and metrics. `role`: "solo", "candidate", "follower", "leader" or "removed"."""

    role: str
    term: int
    leader_id: int | None


@dataclass(frozen=True, slots=True)
class Peers:
    """The other servers to keep links to. `quiet`: this server no longer belongs to them and waits to be called."""

    addresses: tuple[tuple[int, Address], ...]
    quiet: bool = False


@dataclass(slots=True)
class Effects:
    """Everything since the last `take()`. `frames` are (peer id, bytes); `stop` names work nobody needs any more; `purge`
    says up to where the log in the database may be deleted, in small steps and in no hurry; `events` are for those who
    follow the event stream; `defects` are traces of mistakes in handlers and life cycles, for the log; `notices` are for
    whoever runs the zone; `peers` is set when they have changed; `fatal` says why the server must stop at once (broken
    invariant). `unfinished`: there is more to do for readers; `Node.go_on` is to be called when others had their turn.
    """

    frames: list[tuple[int, bytes]] = field(default_factory=list)
    persist: list[Persist] = field(default_factory=list)
    applied: list[Applied] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    start: list[Work] = field(default_factory=list)
    stop: list[WorkKey] = field(default_factory=list)
    roles: list[RoleChanged] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    purge: SnapshotMeta | None = None
    defects: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    peers: Peers | None = None
    unfinished: bool = False
    fatal: str = ""
