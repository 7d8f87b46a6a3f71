"""One request on its way through a handler."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.objects import Kind, ObjectType, PoolObject, next_oid
from services.oned_lite.policy.authorization import Authorization, Right
from services.oned_lite.policy.caller import Caller
from services.oned_lite.state import Transaction

R = TypeVar("R", bound=PoolObject)


@dataclass(frozen=True, slots=True)
class ClusterStatus:
    """What this server knows of consensus: the fields of one.zone.raftstatus (-1: none). `server_id` -1: alone.

    `members`: ids that consensus knows, also of servers that are not in the zone any more and have not left yet.
    """

    server_id: int = -1
    state: int = 0
    term: int = 0
    voted_for: int = -1
    commit: int = 0
    log_index: int = -1
    log_term: int = -1
    fedlog_index: int = -1
    members: tuple[int, ...] = ()


@dataclass(slots=True)
class Call:
    """What a handler works on: one transaction, the caller, the configuration. Handlers are plain synchronous functions;
    they return the value of a successful answer or raise `ApiError`, which drops the transaction."""

    method: str
    tx: Transaction
    caller: Caller
    conf: Configuration
    cluster: ClusterStatus = field(default_factory=ClusterStatus)

    def authorize(self) -> Authorization:
        return Authorization(self.tx, self.caller)

    def fetch(self, kind: Kind[R], oid: int, right: Right, *, ignore_lock: bool = False) -> R:
        """The object, if it exists and the caller has `right` on it. Raises NO_EXISTS, then AUTHORIZATION."""
        row = kind.get(self.tx, oid)
        self.authorize().need(right, kind, row, ignore_lock=ignore_lock).check()
        return row

    def create(self, object_type: ObjectType) -> None:
        """Raises AUTHORIZATION where the caller may not create objects of that type."""
        self.authorize().create(object_type).check()

    def next_oid(self, kind: Kind[Any]) -> int:
        """Takes the pool's next id; it is given back where the call fails."""
        return next_oid(self.tx, kind)
