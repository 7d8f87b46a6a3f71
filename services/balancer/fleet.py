"""What the status listener and the runtime API need of whoever balances: this very process, or a crew of workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from services.balancer.core.groups import Group
from services.balancer.core.rates import Buckets
from services.balancer.plan import Plan
from services.balancer.plane.prober import Prober
from services.balancer.sockets import Sockets
from services.balancer.status.figures import Figures


def nothing() -> None:
    """For who has nothing to do."""


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """One worker process; ``restarts`` counts those that died in its place before it.

    One that is ``leaving`` serves the clients it has, and another may have its number.
    """

    number: int
    pid: int
    uptime_s: float
    requests: int
    restarts: int
    leaving: bool = False


class Fleet(Protocol):
    """``groups`` are those of record: changes are made to them, then told by ``changed``."""

    plan: Plan
    sockets: Sockets
    prober: Prober
    judged: Callable[[Group], None]
    """Set by who wants to hear of changed verdicts."""

    @property
    def groups(self) -> Mapping[str, Group]: ...

    @property
    def buckets(self) -> Buckets:
        """Those of rate limits, of all who serve."""

    @property
    def ports(self) -> dict[str, int]:
        """The real port of each configured address; of use when it says 0."""

    @property
    def serving(self) -> bool:
        """Whether connections are accepted."""

    def time(self) -> float: ...

    def workers(self) -> list[WorkerView]: ...

    async def start(self) -> None:
        """Serve; returns when every listener accepts. Raises OSError naming the address that cannot be opened."""

    async def reload(self, plan: Plan, amend: Callable[[], None] = nothing) -> None:
        """Change to a new plan; ``amend`` may edit the new groups before anybody is told of them.

        Raises OSError, or what ``amend`` raises, and then nothing has changed.
        """

    def changed(self, name: str) -> None:
        """A group was changed at run time."""

    async def figures(self) -> Figures: ...

    def count(self, figures: Figures) -> None:
        """Add to the counters of the whole what another fleet counted."""

    async def drain(self) -> None:
        """Stop accepting and let clients finish, however long it takes: each is told to leave with its next answer."""

    async def stop(self, grace_s: float) -> None:
        """Stop accepting, let requests in progress finish for ``grace_s`` seconds, then drop the rest."""
