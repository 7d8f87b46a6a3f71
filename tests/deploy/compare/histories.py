"""Small histories to analyse and draw."""

from __future__ import annotations

from deploy.lab.compare.faults import Change, Condition
from deploy.lab.compare.history import Attempt, Eviction, History, Outcome, Request
from deploy.lab.compare.plan import Plan, Run

PLAN = Plan(arrangements=("passive",), faults=("kill",), lead_s=2.0, fault_s=4.0, after_s=4.0)


def request(
    due_s: float, server: str = "ui2", outcome: Outcome = Outcome.OK, *, latency_s: float = 0.04, sent_s: float = 0
) -> Request:
    status = {Outcome.OK: 200, Outcome.STALLED: 200, Outcome.ERROR: 500, Outcome.GAVE_UP: 0}[outcome]
    return Request(due_s, sent_s or due_s, latency_s, "GET", status, server, outcome)


def history(
    *requests: Request,
    evictions: tuple[Eviction, ...] = (),
    changes: tuple[Change, ...] = (),
    arrangement: str = "passive",
    fault: str = "kill",
    repetition: int = 1,
    probes: int = 0,
    attempts: tuple[Attempt, ...] | None = None,
    died: bool = False,
) -> History:
    run = Run(arrangement, fault, repetition)
    return History(run, 10.0, requests, evictions, changes, probes, attempts, died=died)


def tried(*times_s: float, server: str = "ui1", probe: bool = False) -> tuple[Attempt, ...]:
    return tuple(Attempt(at_s, server, probe) for at_s in times_s)


def broken_from_2_to_6(condition: Condition = Condition.KILLED, server: str = "ui1") -> tuple[Change, Change]:
    return Change(2.0, server, condition), Change(6.0, server, Condition.WELL)
