"""What an experiment consists of: arrangements, faults, times, and the knobs of the checks. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
    """A whole experiment. A run lasts `lead_s + fault_s + after_s` seconds; the fault begins after `lead_s`."""

    arrangements: tuple[str, ...]
    faults: tuple[str, ...]
    checks: Checks = Checks()
    rate: float = 60.0
    repetitions: int = 1
    lead_s: float = 4.0
    fault_s: float = 12.0
    after_s: float = 14.0
    service_s: float = 0.04
    stall_s: float = 1.0
    patience_s: float = 8.0
    posts: float = 0.2
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


QUICK_FAULTS = ("kill", "pause", "errors", "overload")
QUICK_CHECKS = Checks(
    fail_timeout_s=2, interval_s=0.5, probe_timeout_s=0.4, connect_timeout_s=0.5, read_timeout_s=1.5
)
QUICK_LEAD_S, QUICK_FAULT_S, QUICK_AFTER_S = 1.2, 2.6, 3.4
"""Twenty runs of seven seconds and what starting the proxies takes: less than three minutes."""

QUICK_PATIENCE_S = 4.0
