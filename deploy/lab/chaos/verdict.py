"""Judges a run: was every client told the truth? Pure functions of the history and of what is there at the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from deploy.lab.chaos.clients import NOTHING
from deploy.lab.chaos.history import Operation
from deploy.lab.checks import linearizability
from deploy.lab.checks.linearizability import FOREVER


class Template(msgspec.Struct, frozen=True):
    """A template as it is at the end."""

    oid: int
    name: str
    value: str


class Check(msgspec.Struct, frozen=True):
    """One question, and what speaks against it (nothing: it holds). `judged`: how many things were looked at."""

    name: str
    judged: int
    problems: Sequence[str]

    @property
    def good(self) -> bool:
        return not self.problems


def judge(
    operations: Sequence[Operation], final: Mapping[int, Sequence[Template]], hashes: Mapping[int, str]
) -> list[Check]:
    """`final`: the templates that each server has at the end; `hashes`: of each server's whole state."""
    templates = next(iter(final.values()), ())
    return [
        linearizable(operations),
        ids_unique(operations),
        names_unique(operations, templates),
        nothing_lost(operations, templates),
        same_everywhere(final, hashes),
    ]


def linearizable(operations: Sequence[Operation]) -> Check:
    """Every template's reads and writes have an order that explains all answers."""
    registers: dict[int, list[linearizability.Operation]] = defaultdict(list)
    for one in operations:
        if one.oid is not None and one.kind != "allocate" and one.outcome != "failed":
            end = one.end_us if one.outcome == "ok" else FOREVER
            registers[one.oid].append(linearizability.Operation(one.start_us, end, one.kind == "write", one.value))
    problems = [problem for oid, history in registers.items() if (problem := _inexplicable(oid, history))]
    return Check("single objects are linearizable", len(registers), problems)


def _inexplicable(oid: int, history: Sequence[linearizability.Operation]) -> str:
    try:
        if linearizability.linearizable(history, NOTHING):
            return ""
    except linearizability.Undecided as search:
        return f"whether an order of its calls explains what clients were told of template {oid} is unknown: {search}"
    return f"no order of its calls explains what clients were told of template {oid}"


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


def same_everywhere(final: Mapping[int, Sequence[Template]], hashes: Mapping[int, str]) -> Check:
    problems = [] if len(set(hashes.values())) == 1 else [f"states differ: {dict(hashes)}"]
    first = next(iter(final.values()), ())
    problems += [f"oned{server + 1} has other templates" for server, seen in final.items() if seen != first]
    return Check("all servers end with the same state", len(hashes), problems)
