"""What an experiment consists of: arrangements, faults, times, and the knobs of the checks. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

ARRANGEMENTS = ("passive", "active", "both", "nginx", "haproxy")
"""The balancer with passive checks only, active only, and both; nginx (passive) and HAProxy (active) where installed."""

SERVERS = ("ui1", "ui2", "ui3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checks:
    """The knobs of both kinds of check, and the patience of the balancer; times in seconds.

    `max_fails` and `fail_timeout_s` are nginx's passive check; `interval_s`, `fails`, `passes` and `probe_timeout_s` are
    the active one (nginx Plus `health_check`; HAProxy `inter`, `fall`, `rise`, `timeout check`).
    """

    max_fails: int = 3
    fail_timeout_s: int = 10
    interval_s: float = 1.0
    fails: int = 2
    passes: int = 1
    probe_timeout_s: float = 0.5
    connect_timeout_s: float = 1.0
    read_timeout_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A whole experiment. A run lasts `lead_s + fault_s + after_s` seconds; the fault begins after `lead_s`.

    `posts` and `kept` are shares (0 to 1): of requests that change something, and of those sent over a kept connection.
    A run whose load left later than `late_s` (99th percentile) is made again, up to `again` times.
    """

    arrangements: tuple[str, ...]
    faults: tuple[str, ...]
    checks: Checks = Checks()
    rate: float = 60.0
    repetitions: int = 3
    lead_s: float = 4.0
    fault_s: float = 12.0
    after_s: float = 14.0
    service_s: float = 0.04
    stall_s: float = 1.0
    patience_s: float = 8.0
    posts: float = 0.2
    kept: float = 0.8
    late_s: float = 0.1
    again: int = 1
    seed: int = 1

    @property
    def seconds(self) -> float:
        """How long requests are sent in one run."""
        return self.lead_s + self.fault_s + self.after_s

    def runs(self) -> Iterator[Run]:
        """Every run. Arrangements alternate inside a repetition, so that a busy minute of the machine hits them alike."""
        for repetition in range(1, self.repetitions + 1):
            for fault in self.faults:
                for arrangement in self.arrangements:
                    yield Run(arrangement, fault, repetition)


@dataclass(frozen=True, slots=True)
class Run:
    """One arrangement under one fault; repetitions count from 1."""

    arrangement: str
    fault: str
    repetition: int


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a number of a plan may be, both ends included."""

    low: float
    high: float


BOUNDS = {
    "rate": Bounds(1, 2000),
    "repetitions": Bounds(1, 100),
    "lead_s": Bounds(0.2, 600),
    "fault_s": Bounds(0.5, 3600),
    "after_s": Bounds(0.2, 3600),
    "service_s": Bounds(0, 10),
    "stall_s": Bounds(0.05, 600),
    "patience_s": Bounds(0.1, 600),
    "posts": Bounds(0, 1),
    "kept": Bounds(0, 1),
    "late_s": Bounds(0.005, 10),
    "again": Bounds(0, 10),
    "seed": Bounds(0, 2**31),
    "max_fails": Bounds(1, 1000),
    "fail_timeout_s": Bounds(1, 3600),
    "interval_s": Bounds(0.05, 600),
    "fails": Bounds(1, 100),
    "passes": Bounds(1, 100),
    "probe_timeout_s": Bounds(0.01, 600),
    "connect_timeout_s": Bounds(0.01, 600),
    "read_timeout_s": Bounds(0.01, 600),
}
"""By field of Plan or Checks."""


OPTIONS = {"lead_s": "--fault-after", "fault_s": "--fault-lasts", "after_s": "--then"}
"""Of fields whose option is called otherwise."""


def option(field: str) -> str:
    """The command's option for a field of a plan or its checks."""
    return OPTIONS.get(field) or f"--{field.removesuffix('_s').replace('_', '-')}"


def numbers(values: Plan | Checks) -> dict[str, float]:
    """Every number of the plan or the checks, by field."""
    return {field.name: getattr(values, field.name) for field in fields(values) if field.name in BOUNDS}


def contradictions(plan: Plan) -> list[str]:
    """Why the numbers of a plan do not go together, in words; each alone is within its bounds."""
    found = []
    if plan.patience_s <= plan.stall_s:
        found.append("--patience must be longer than --stall, or no answer could ever be late")
    if plan.stall_s <= 2 * plan.service_s:
        found.append("--stall must be more than twice --service, or healthy servers would stall")
    if plan.rate * plan.service_s > 100:
        found.append("--rate times --service is more than 100 requests at once: no load for one machine")
    return found


QUICK_FAULTS = ("kill", "pause", "errors", "overload")
QUICK_CHECKS = Checks(
    fail_timeout_s=1, interval_s=0.5, probe_timeout_s=0.4, connect_timeout_s=0.5, read_timeout_s=1.5
)
QUICK_REPETITIONS = 1
QUICK_LEAD_S, QUICK_FAULT_S, QUICK_AFTER_S = 1.0, 2.4, 2.4
"""Twenty runs of six seconds and what starting the proxies takes: less than two and a half minutes. The last part is as
long as passive checks take to come back: `fail_timeout`, a second of its clock, and somebody's request."""

QUICK_PATIENCE_S = 4.0
