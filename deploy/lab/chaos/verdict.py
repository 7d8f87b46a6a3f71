"""Judges a run: was every client told the truth? Pure functions of the history and of what is there at the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from deploy.lab.chaos.clients import NOTHING
from deploy.lab.chaos.databases import Row
from deploy.lab.chaos.history import History, Operation, Sighting
from deploy.lab.checks import linearizability
from deploy.lab.checks.linearizability import FOREVER, STATES_MAX

CLOCK_TOLERANCE_S = 3


class Template(msgspec.Struct, frozen=True):
    """A template as it is at the end. `made_s`: its REGTIME, seconds since 1970."""

    oid: int
    name: str
    value: str
    made_s: int = 0


class Check(msgspec.Struct, frozen=True):
    """One question, and what speaks against it (nothing: it holds). `judged`: how many things were looked at; `undecided`:
    those of which nobody knows, which is not good."""

    name: str
    judged: int
    problems: Sequence[str]
    undecided: Sequence[str] = ()

    @property
    def verdict(self) -> str:
        if self.problems:
            return "BAD"
        return "unknown" if self.undecided else "good"


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How the servers are when all is over. By server: its templates; "applied index:hash" of its whole state; the rows of
    its database's tables."""

    templates: Mapping[int, Sequence[Template]]
    hashes: Mapping[int, str]
    databases: Mapping[int, Mapping[str, frozenset[Row]]]


def judge(history: History, end: End) -> list[Check]:
    operations = history.operations
    templates = next(iter(end.templates.values()), ())
    return [
        linearizable(operations),
        ids_unique(operations),
        names_unique(operations, templates),
        nothing_lost(operations, templates),
        times_sane(operations, templates, history.sightings, history.clock.epoch_s),
        same_everywhere(end.templates, end.hashes),
        same_databases(end.databases),
    ]


def linearizable(operations: Sequence[Operation], states_max: int = STATES_MAX) -> Check:
    """Every template's reads and writes have an order that explains all answers."""
    registers: dict[int, list[linearizability.Operation]] = defaultdict(list)
    for one in operations:
        if one.oid is not None and one.kind != "allocate" and one.outcome != "failed":
            end = one.end_us if one.outcome == "ok" else FOREVER
            registers[one.oid].append(linearizability.Operation(one.start_us, end, one.kind == "write", one.value))
    problems, undecided = [], []
    for oid, history in sorted(registers.items()):
        try:
            if not linearizability.linearizable(history, NOTHING, states_max):
                problems.append(f"no order of its calls explains what clients were told of template {oid}")
        except linearizability.Undecided as search:
            undecided.append(f"gave up on template {oid}: {search}")
    return Check("single objects are linearizable", len(registers), problems, undecided)


def ids_unique(operations: Sequence[Operation]) -> Check:
    made = [one for one in operations if one.kind == "allocate" and one.outcome == "ok"]
    counts = Counter(one.oid for one in made)
    return Check(
        "every id was given out once", len(made), [f"id {oid} {n} times" for oid, n in counts.items() if n > 1]
    )


def names_unique(operations: Sequence[Operation], templates: Sequence[Template]) -> Check:
    told = Counter(one.name for one in operations if one.kind == "allocate" and one.outcome == "ok")
    there = Counter(template.name for template in templates)
    problems = [f"name {name} was given out {n} times" for name, n in told.items() if n > 1]
    problems += [f"name {name} is there {n} times" for name, n in there.items() if n > 1]
    return Check("every name was given out once", len(told | there), problems)


def nothing_lost(operations: Sequence[Operation], templates: Sequence[Template]) -> Check:
    """What was acknowledged is there, and a template has the last value acknowledged, or one that may have come later."""
    there = {template.oid: template for template in templates}
    made = [one for one in operations if one.kind == "allocate" and one.outcome == "ok" and one.oid is not None]
    problems = [
        f"template {one.oid} ({one.name}) was acknowledged and is gone"
        for one in made
        if one.oid not in there or there[one.oid].name != one.name
    ]
    writes: dict[int, list[Operation]] = defaultdict(list)
    for one in operations:
        if one.kind == "write" and one.outcome != "failed" and one.oid is not None:
            writes[one.oid].append(one)
    for oid, several in writes.items():
        if oid in there and there[oid].value not in _possible_last(several):
            problems.append(f"template {oid} has {there[oid].value}, though later writes were acknowledged")
    return Check("no acknowledged write was lost", len(made) + sum(map(len, writes.values())), problems)


def _possible_last(writes: Sequence[Operation]) -> set[str]:
    """Values that no acknowledged write certainly came after."""
    latest_start_us = max((one.start_us for one in writes if one.outcome == "ok"), default=-1)
    possible = {one.value for one in writes if one.outcome == "unknown" or one.end_us >= latest_start_us}
    return possible if latest_start_us >= 0 else possible | {NOTHING}


def times_sane(
    operations: Sequence[Operation], templates: Sequence[Template], sightings: Sequence[Sighting], epoch_s: float
) -> Check:
    """A template's time is one that a server's clock showed while it was made, however wrong that clock was."""
    made = {template.oid: template.made_s for template in templates}
    told = [one for one in operations if one.kind == "allocate" and one.outcome == "ok" and one.oid in made]
    problems = []
    for one in told:
        start_s, end_s = one.start_us / 1e6 - CLOCK_TOLERANCE_S, one.end_us / 1e6 + CLOCK_TOLERANCE_S
        skews = _skews(sightings, start_s, end_s)
        ahead_s = made[one.oid or 0] - epoch_s
        if not start_s + skews[0] <= ahead_s <= end_s + skews[-1]:
            problems.append(f"template {one.oid} was made {ahead_s - one.start_us / 1e6:+.0f} s off; clocks: {skews}")
    return Check("times are those of a server's clock", len(told), problems)


def _skews(sightings: Sequence[Sighting], start_s: float, end_s: float) -> list[int]:
    """How far clocks were off in a span of time, or when a server was last seen before it."""
    before: dict[int, int] = {}
    skews = {0}
    for one in sightings:
        if one.role and one.at_us < start_s * 1e6:
            before[one.server] = one.skew_s
        elif one.role and one.at_us <= end_s * 1e6:
            skews.add(one.skew_s)
    return sorted(skews | set(before.values()))


def same_databases(databases: Mapping[int, Mapping[str, frozenset[Row]]]) -> Check:
    """Every table of every server's database has the same rows, with all their columns."""
    first = next(iter(databases.values()), {})
    problems = []
    for server, tables in databases.items():
        for name in sorted(first.keys() | tables.keys()):
            ours, theirs = first.get(name, frozenset()), tables.get(name, frozenset())
            if ours != theirs:
                keys = sorted({str(row[0]) for row in ours ^ theirs})
                problems.append(
                    f"oned{server + 1}: {name} differs from the first server's in rows {', '.join(keys[:9])}"
                )
    rows = sum(len(rows) for tables in databases.values() for rows in tables.values())
    return Check("all databases hold the same rows", rows, problems)


def same_everywhere(final: Mapping[int, Sequence[Template]], hashes: Mapping[int, str]) -> Check:
    problems = [] if len(set(hashes.values())) == 1 else [f"states differ: {dict(hashes)}"]
    first = next(iter(final.values()), ())
    problems += [f"oned{server + 1} has other templates" for server, seen in final.items() if seen != first]
    return Check("all servers end with the same state", len(hashes), problems)
