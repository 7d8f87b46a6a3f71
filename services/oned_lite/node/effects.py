"""What a node asks of the world around it."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.oned_lite.lifecycle.work import Work, WorkKey
from services.oned_lite.raft.types import Entry, HardState, SnapshotMeta
from services.oned_lite.state import Change, ChangeSet

from .gate import Answer


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to the request that came in under `request_id`."""

    request_id: int
    answer: Answer


@dataclass(frozen=True, slots=True)
class Persist:
    """To be made durable in the order given, then reported by `Node.persisted(ticket)`."""

    ticket: int
    hard_state: HardState | None
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """A committed change set for the tables in the database; may be gathered with others before it is written."""

    index: int
    change_set: ChangeSet


@dataclass(frozen=True, slots=True)
class Install:
    """A snapshot that replaces log and tables; reported by `Node.persisted(ticket)`."""

    ticket: int
    meta: SnapshotMeta
    rows: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class RoleChanged:
    """For logs, hooks and metrics. `role`: "solo", "candidate", "follower", "leader" or "removed"."""

    role: str
    term: int
    leader_id: int | None


@dataclass(slots=True)
class Effects:
    """Everything since the last `take()`. `frames` are (peer id, bytes); `stop` names work nobody needs any more."""

    frames: list[tuple[int, bytes]] = field(default_factory=list)
    persist: list[Persist] = field(default_factory=list)
    install: list[Install] = field(default_factory=list)
    applied: list[Applied] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    start: list[Work] = field(default_factory=list)
    stop: list[WorkKey] = field(default_factory=list)
    roles: list[RoleChanged] = field(default_factory=list)
