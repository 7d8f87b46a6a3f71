"""Figures of histories: what users saw, how soon the balancer knew, and what knowing cost. Pure."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from deploy.lab.compare.faults import Change, Condition
from deploy.lab.compare.history import Eviction, History, Outcome

NEVER = math.inf
GRACE_S = 2.0
"""A probe or request that began while a server was broken may still be held against it this long after."""

PERCENTILES = (50, 90, 99, 100)


@dataclass(frozen=True, slots=True)
class Broken:
    """A server could not serve as it should between two times, in seconds after the start of the run."""

    server: str
    from_s: float
    to_s: float
    condition: Condition


@dataclass(frozen=True, slots=True)
class Figures:
    """One run in numbers. Times in seconds, NEVER where it did not happen.

    `detect_s`: from the fault until the balancer first took out the server that had it. `recover_s`: from the cure until
    a request was well served by it again. `false_ejections`: servers taken out that answered rightly and in time.
    `probes_per_s`: health checks that all servers together received. `shared_out`: the broken server's share of answers
    while it was broken.
    """

    requests: float
    errors: float
    stalls: float
    detect_s: float
    recover_s: float
    false_ejections: float
    probes_per_s: float
    shared_out: float
    p50_s: float
    p90_s: float
    p99_s: float
    max_s: float
    lag_s: float


@dataclass(frozen=True, slots=True)
class Spread:
    """The median over repetitions, and the lowest and highest."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Summary:
    """All repetitions of one arrangement under one fault: a Spread for every field of Figures."""

    arrangement: str
    fault: str
    repetitions: int
    spreads: dict[str, Spread]

    def __getitem__(self, figure: str) -> Spread:
        return self.spreads[figure]

    @property
    def harmed(self) -> float:
        """Requests per run whose user saw an error or a stall."""
        return self["errors"].median + self["stalls"].median


def figures(history: History) -> Figures:
    """The numbers of one run."""
    spells = broken(history.changes, history.seconds)
    latencies = sorted(request.latency_s for request in history.requests)
    bad = (Outcome.ERROR, Outcome.GAVE_UP)
    return Figures(
        requests=len(history.requests),
        errors=sum(request.outcome in bad for request in history.requests),
        stalls=sum(request.outcome is Outcome.STALLED for request in history.requests),
        detect_s=detection(spells, history.evictions),
        recover_s=recovery(spells, history),
        false_ejections=false_ejections(spells, history.evictions),
        probes_per_s=history.probes / history.seconds,
        shared_out=share(spells, history),
        p50_s=percentile(latencies, 50),
        p90_s=percentile(latencies, 90),
        p99_s=percentile(latencies, 99),
        max_s=percentile(latencies, 100),
        lag_s=max((request.sent_s - request.due_s for request in history.requests), default=0.0),
    )


def broken(changes: Iterable[Change], until_s: float) -> tuple[Broken, ...]:
    """The spells of a run in which a server was not well."""
    spells, since = [], dict[str, Change]()
    for change in sorted(changes, key=lambda each: each.at_s):
        before = since.pop(change.server, None)
        if before is not None:
            spells.append(Broken(change.server, before.at_s, change.at_s, before.condition))
        if change.condition is not Condition.WELL:
            since[change.server] = change
    spells += [Broken(server, change.at_s, until_s, change.condition) for server, change in since.items()]
    return tuple(sorted(spells, key=lambda spell: spell.from_s))


def detection(spells: Sequence[Broken], evictions: Iterable[Eviction]) -> float:
    """Seconds from the first fault until its server was taken out, while it or a later spell of it lasted."""
    if not spells:
        return NEVER
    first = spells[0]
    end_s = max(spell.to_s for spell in spells if spell.server == first.server) + GRACE_S
    outs = [e.at_s for e in evictions if e.out and e.server == first.server and first.from_s <= e.at_s <= end_s]
    return min(outs) - first.from_s if outs else NEVER


def recovery(spells: Sequence[Broken], history: History) -> float:
    """Seconds from the last cure until that server served a request well that came after it."""
    if not spells:
        return NEVER
    last = max(spells, key=lambda spell: spell.to_s)
    good = [
        request.due_s + request.latency_s
        for request in history.requests
        if request.server == last.server and request.outcome is Outcome.OK and request.due_s >= last.to_s
    ]
    return min(good) - last.to_s if good else NEVER


def false_ejections(spells: Sequence[Broken], evictions: Iterable[Eviction]) -> int:
    """How often a server was taken out that was not broken, or only busy: its answers were right and in time."""
    guilty = [spell for spell in spells if spell.condition is not Condition.BUSY]
    return sum(
        eviction.out
        and not any(
            spell.server == eviction.server and spell.from_s <= eviction.at_s <= spell.to_s + GRACE_S
            for spell in guilty
        )
        for eviction in evictions
    )


def share(spells: Sequence[Broken], history: History) -> float:
    """Of the answers to requests that came while a server was broken, how many that server made (0 to 1)."""
    during = [
        (request.server, spell.server)
        for spell in spells
        for request in history.requests
        if request.server and spell.from_s <= request.due_s < spell.to_s
    ]
    return sum(server == sick for server, sick in during) / len(during) if during else 0.0


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The smallest value that at least `percent` of the sorted values do not exceed; 0 without values."""
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0


def spread(values: Sequence[float]) -> Spread:
    """Median and range. A median between a number and NEVER is NEVER."""
    return Spread(statistics.median(values), min(values), max(values))


def summarize(histories: Iterable[History]) -> tuple[Summary, ...]:
    """One Summary for every arrangement and fault, in the order in which they were run."""
    cells: dict[tuple[str, str], list[Figures]] = defaultdict(list)
    for history in histories:
        cells[history.run.arrangement, history.run.fault].append(figures(history))
    names = [field.name for field in fields(Figures)]
    return tuple(
        Summary(arrangement, fault, len(runs), {name: spread([getattr(run, name) for run in runs]) for name in names})
        for (arrangement, fault), runs in cells.items()
    )


def summary_rows(summaries: Iterable[Summary]) -> Iterable[tuple[object, ...]]:
    """Rows of summary.csv: arrangement, fault, repetitions, figure, median, low, high."""
    for summary in summaries:
        for name, each in summary.spreads.items():
            values = ("never" if value == NEVER else f"{value:.4f}" for value in (each.median, each.low, each.high))
            yield summary.arrangement, summary.fault, summary.repetitions, name, *values
