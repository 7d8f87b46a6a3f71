"""A dead host being dealt with: what the hook command `host_error` leaves in the database while it works."""

from __future__ import annotations

from collections.abc import Hashable
from enum import Enum

import msgspec

from services.oned_lite.state import Table


class Remedy(Enum):
    """What becomes of the VMs of a dead host."""

    MIGRATE = "migrate"
    RECREATE = "recreate"
    DELETE = "delete"


class Phase(Enum):
    """WAITING whether the host comes back by itself; FENCING it off, so that its VMs are surely dead; MOVING them."""

    WAITING = "waiting"
    FENCING = "fencing"
    MOVING = "moving"


class HostRecovery(msgspec.Struct, frozen=True, kw_only=True):
    """At most one for each host. `until` (epoch seconds) is when waiting ends; `step` grows with every phase.

    `forced`: VMs are moved even where their files were on the dead host alone. `fence`: the command that fences the host.
    `fault`: why nothing can be done, such as options that cannot be read.
    """

    host_id: int
    hook_id: int
    arguments: str
    remedy: Remedy
    until: int
    fences: bool
    forced: bool
    phase: Phase = Phase.WAITING
    step: int = 0
    fence: str = ""
    fault: str = ""


def _work(row: HostRecovery) -> tuple[Hashable, ...]:
    return (True,) if row.phase is Phase.FENCING else ()


HOST_RECOVERIES: Table[HostRecovery] = Table(
    "host_recovery", HostRecovery, key=lambda row: row.host_id, indexes={"work": _work}
)
