"""Figures of histories: what users saw, how soon the server was avoided, and what knowing cost. Pure."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum
from itertools import pairwise

from deploy.lab.compare.faults import Change, Condition
from deploy.lab.compare.history import Eviction, History, Outcome, Request
from deploy.lab.compare.plan import SERVERS, Plan

NEVER = math.inf
UNKNOWN = math.nan
"""Of a figure that could not be measured, or that does not apply."""

GRACE_S = 2.0
"""A probe or request that began while a server was broken may still be held against it this long after."""

QUIET = 10.0
"""A server that gets no request for as long as it would take to get this many is avoided: by chance that happens once in
twenty thousand times."""

LOOK_BACK_S = 2.0
"""An ejection is judged by what the server's users saw this long before."""

PERCENTILES = {50: "p50_s", 90: "p90_s", 99: "p99_s", 100: "max_s"}
HARM = (Outcome.ERROR, Outcome.GAVE_UP, Outcome.STALLED)


class Flaw(Enum):
    """Why the figures of a run are not to be trusted."""

    LATE = "late"
    """The load itself left late: the machine was too busy to ask in time."""
    UNSETTLED = "unsettled"
    """Users were harmed before anything was broken."""
    DIED = "died"
    """The balancer ended by itself."""
    BLIND = "blind"
    """Some packets were not seen, so the times from outside may be wrong."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A server could not serve as it should between two times, in seconds after the start of the run."""

    server: str
    from_s: float
    to_s: float
    condition: Condition


@dataclass(frozen=True, slots=True)
class Figures:
    """One run in numbers. Times in seconds, NEVER where it did not happen, UNKNOWN where nobody can say.

    From outside, for all balancers in the same way: `detect_s` from the fault until no user's request was sent to the
    server that had it any more; `recover_s` from the cure until a request was well served by it again. By the balancer's
    own account: `told_s` from the fault until it said that the server is out; `false_ejections`, servers it took out that
    answered rightly and in time.

    `probes_per_s`: health checks that were sent to all servers together. `shared_out`: the broken server's share of answers
    while it was broken. `balancer_cpu_s` and `servers_cpu_s`: processor seconds of the run. `late_s` is how late requests
    left, 99th percentile.
    """

    requests: float
    harmed: float
    errors: float
    stalls: float
    detect_s: float
    told_s: float
    recover_s: float
    false_ejections: float
    probes_per_s: float
    balancer_cpu_s: float
    servers_cpu_s: float
    shared_out: float
    p50_s: float
    p90_s: float
    p99_s: float
    max_s: float
    late_s: float


@dataclass(frozen=True, slots=True)
class Spread:
    """The median over repetitions, and the lowest and highest."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Summary:
    """All repetitions of one arrangement under one fault: a Spread for every field of Figures.

    Runs that are not to be trusted count only where there is no other; then `flaws` says what was wrong with them.
    """

    arrangement: str
    fault: str
    repetitions: int
    spreads: Mapping[str, Spread]
    flaws: frozenset[Flaw] = frozenset()

    def __getitem__(self, figure: str) -> Spread:
        return self.spreads[figure]


def figures(history: History) -> Figures:
    """The numbers of one run."""
    spells = broken(history.changes, history.seconds)
    latencies = sorted(request.latency_s for request in history.requests)
    percentiles = {name: percentile(latencies, percent) for percent, name in PERCENTILES.items()}
    errors = sum(request.outcome in (Outcome.ERROR, Outcome.GAVE_UP) for request in history.requests)
    stalls = sum(request.outcome is Outcome.STALLED for request in history.requests)
    return Figures(
        requests=len(history.requests),
        harmed=errors + stalls,
        errors=errors,
        stalls=stalls,
        detect_s=avoidance(spells, history),
        told_s=account(spells, history.evictions),
        recover_s=recovery(spells, history),
        false_ejections=false_ejections(spells, history),
        probes_per_s=probes(history) / history.seconds,
        balancer_cpu_s=history.costs.balancer_s,
        servers_cpu_s=history.costs.servers_s,
        shared_out=share(spells, history),
        late_s=lateness(history.requests),
        **percentiles,
    )


def flaws(history: History, plan: Plan) -> frozenset[Flaw]:
    """What makes the figures of this run doubtful."""
    found = set()
    if lateness(history.requests) > plan.late_s:
        found.add(Flaw.LATE)
    if any(request.outcome in HARM and request.due_s + request.latency_s < plan.lead_s for request in history.requests):
        found.add(Flaw.UNSETTLED)
    if history.died:
        found.add(Flaw.DIED)
    if history.blind:
        found.add(Flaw.BLIND)
    return frozenset(found)


def lateness(requests: Iterable[Request]) -> float:
    """How late requests left, 99th percentile in seconds."""
    return percentile(sorted(request.sent_s - request.due_s for request in requests), 99)


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


def quiet_s(history: History) -> float:
    """How long a server must get no request before that is no chance."""
    return QUIET * history.seconds * len(SERVERS) / max(1, len(history.requests))


def avoidance(spells: Sequence[Broken], history: History) -> float:
    """Seconds from the first fault until users' requests went to that server no more, for at least `quiet_s(history)`.

    A passive check's later trials with single requests do not count against it. A server that is only busy is not to be
    avoided: UNKNOWN.
    """
    if history.attempts is None or not spells or spells[0].condition is Condition.BUSY:
        return UNKNOWN
    first = spells[0]
    end_s = max(spell.to_s for spell in spells if spell.server == first.server)
    tried = sorted(
        attempt.at_s
        for attempt in history.attempts
        if attempt.server == first.server and not attempt.probe and attempt.at_s >= first.from_s
    )
    for at_s, next_s in pairwise([first.from_s, *tried, history.seconds]):
        if at_s > end_s:
            break
        if next_s - at_s >= quiet_s(history):
            return at_s - first.from_s
    return NEVER


def account(spells: Sequence[Broken], evictions: Iterable[Eviction]) -> float:
    """Seconds from the first fault until the balancer said that its server is out, while it or a later spell lasted."""
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


def false_ejections(spells: Sequence[Broken], history: History) -> int:
    """How often a server was taken out that was well, or busy without any of its users having been harmed."""
    return sum(eviction.out and not _deserved(eviction, spells, history.requests) for eviction in history.evictions)


def _deserved(eviction: Eviction, spells: Sequence[Broken], requests: Iterable[Request]) -> bool:
    now = [s for s in spells if s.server == eviction.server and s.from_s <= eviction.at_s <= s.to_s + GRACE_S]
    if any(spell.condition is not Condition.BUSY for spell in now):
        return True
    return any(
        request.server == eviction.server
        and request.outcome in HARM
        and eviction.at_s - LOOK_BACK_S <= request.due_s <= eviction.at_s
        for request in requests
    )


def probes(history: History) -> int:
    """Health checks that were sent in the run; where packets could not be seen, those that servers received."""
    if history.attempts is None:
        return history.probes
    return sum(attempt.probe and 0 <= attempt.at_s <= history.seconds for attempt in history.attempts)


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
    """Median and range of what is known. A median between a number and NEVER is NEVER."""
    known = [value for value in values if not math.isnan(value)]
    return Spread(statistics.median(known), min(known), max(known)) if known else Spread(UNKNOWN, UNKNOWN, UNKNOWN)


def summarize(histories: Iterable[History], plan: Plan) -> tuple[Summary, ...]:
    """One Summary for every arrangement and fault, in the order in which they were run."""
    cells: dict[tuple[str, str], list[History]] = defaultdict(list)
    for history in histories:
        cells[history.run.arrangement, history.run.fault].append(history)
    return tuple(_summary(arrangement, fault, runs, plan) for (arrangement, fault), runs in cells.items())


def _summary(arrangement: str, fault: str, runs: Sequence[History], plan: Plan) -> Summary:
    good = [run for run in runs if not flaws(run, plan)]
    counted = [figures(run) for run in good or runs]
    doubts = frozenset[Flaw]() if good else frozenset().union(*(flaws(run, plan) for run in runs))
    spreads = {
        field.name: spread([getattr(each, field.name) for each in counted]) for field in fields(Figures)
    }
    return Summary(arrangement, fault, len(counted), spreads, doubts)


def summary_rows(summaries: Iterable[Summary]) -> Iterable[tuple[object, ...]]:
    """Rows of summary.csv: arrangement, fault, repetitions, figure, median, low, high, trusted."""
    for summary in summaries:
        for name, each in summary.spreads.items():
            values = (_written(value) for value in (each.median, each.low, each.high))
            trusted = "no: " + " ".join(sorted(flaw.value for flaw in summary.flaws)) if summary.flaws else "yes"
            yield summary.arrangement, summary.fault, summary.repetitions, name, *values, trusted


def _written(value: float) -> str:
    if math.isnan(value):
        return ""
    return "never" if value == NEVER else f"{value:.4f}"
