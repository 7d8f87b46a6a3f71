"""What was seen in one run. Analysis works on this alone, so it can be done again later from what a run left on disk."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from deploy.lab.compare.faults import Change
from deploy.lab.compare.plan import Run


class Outcome(Enum):
    """How a request ended, as the user saw it."""

    OK = "ok"
    STALLED = "stalled"
    """The right answer, but later than the plan's `stall_s`."""
    ERROR = "error"
    """A status that is no success, or a broken connection."""
    GAVE_UP = "gave up"
    """No answer within the plan's `patience_s`."""


REQUEST_HEADS = ("due_s", "sent_s", "latency_s", "method", "status", "server", "outcome")


@dataclass(frozen=True, slots=True)
class Request:
    """One request; times in seconds after the start of the run, latency from when it was *due*.

    `server` is who made the answer ("" where nobody did); `status` is 0 without one.
    """

    due_s: float
    sent_s: float
    latency_s: float
    method: str
    status: int
    server: str
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Attempt:
    """The balancer tried to reach a server, whatever became of it, for a user or with a probe of its own."""

    at_s: float
    server: str
    probe: bool


@dataclass(frozen=True, slots=True)
class Eviction:
    """By its own account the balancer keeps traffic away from a server (`out`), or takes it back, from `at_s` on."""

    at_s: float
    server: str
    out: bool


@dataclass(frozen=True, slots=True)
class Costs:
    """Processor seconds of one run: the balancer, and the three servers together."""

    balancer_s: float
    servers_s: float


@dataclass(frozen=True, slots=True)
class History:
    """One run. `changes` carry times from the start of the run: of a fault its beginning, of a cure its end.

    `attempts` is None where packets could not be seen, and `blind` if some of them were missed; `probes` are those that
    servers received. `died` says that the balancer ended by itself. `tries` counts how often the run had to be made.
    """

    run: Run
    seconds: float
    requests: tuple[Request, ...]
    evictions: tuple[Eviction, ...]
    changes: tuple[Change, ...]
    probes: int
    attempts: tuple[Attempt, ...] | None = None
    costs: Costs = Costs(0.0, 0.0)
    died: bool = False
    blind: bool = False
    tries: int = 1


BLINK_S = 0.3
"""A server that is back for less than this was only tried: passive checks let one live request through to see."""


def without_blinks(evictions: Iterable[Eviction]) -> tuple[Eviction, ...]:
    """The same, but a server that was taken back only to be tried counts as out all the time."""
    kept: list[Eviction] = []
    for eviction in evictions:
        last = next((each for each in reversed(kept) if each.server == eviction.server), None)
        if eviction.out and last is not None and not last.out and eviction.at_s - last.at_s < BLINK_S:
            kept.remove(last)
        else:
            kept.append(eviction)
    return tuple(kept)


def outcome(status: int, latency_s: float, stall_s: float) -> Outcome:
    """Judges an answer; status 0 stands for a broken connection."""
    if not 200 <= status < 400:
        return Outcome.ERROR
    return Outcome.STALLED if latency_s > stall_s else Outcome.OK


def write_requests(path: Path, histories: Iterable[History]) -> None:
    """Every request of every run, one row each."""
    rows = (
        (h.run.arrangement, h.run.fault, h.run.repetition, f"{r.due_s:.4f}", f"{r.sent_s:.4f}", f"{r.latency_s:.4f}",
         r.method, r.status, r.server, r.outcome.value)
        for h in histories for r in h.requests
    )  # fmt: skip
    write_rows(path, ("arrangement", "fault", "repetition", *REQUEST_HEADS), rows)


def write_events(path: Path, histories: Iterable[History]) -> None:
    """Every change of a server's condition, every step of a balancer and every try to reach a server, one row each."""
    rows = (
        (h.run.arrangement, h.run.fault, h.run.repetition, f"{at:.3f}", server, what)
        for h in histories
        for at, server, what in sorted(
            [(c.at_s, c.server, c.condition.value) for c in h.changes]
            + [(e.at_s, e.server, "taken out" if e.out else "taken back") for e in h.evictions]
            + [(a.at_s, a.server, "probed" if a.probe else "tried for a user") for a in h.attempts or ()]
        )
    )
    write_rows(path, ["arrangement", "fault", "repetition", "at_s", "server", "event"], rows)


def write_rows(path: Path, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A CSV file."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(heads)
        writer.writerows(rows)
