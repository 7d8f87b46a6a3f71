"""Is a history of reads and writes of one register linearizable?

Every operation must seem to happen at one moment between its call and its answer. Writes whose outcome is unknown may
happen at any later moment, or never (Herlihy and Wing; the search is that of Wing and Gong with memory of states seen).
"""

from __future__ import annotations

from dataclasses import dataclass

FOREVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Operation:
    """`value`: what was written, or what the read returned. `end` FOREVER: the outcome is unknown."""

    start: int
    end: int
    writes: bool
    value: str


def linearizable(operations: list[Operation], initial: str) -> bool:
    """Whether some order explains all answers."""
    certain = [one for one in operations if one.writes or one.end != FOREVER]
    ordered = sorted(certain, key=lambda one: one.start)
    required = frozenset(number for number, one in enumerate(ordered) if one.end != FOREVER)
    seen: set[tuple[frozenset[int], str]] = set()
    stack: list[tuple[frozenset[int], str]] = [(frozenset(), initial)]
    while stack:
        done, value = stack.pop()
        if required <= done:
            return True
        if (done, value) in seen:
            continue
        seen.add((done, value))
        stack.extend(_next_states(ordered, done, value))
    return False


def _next_states(ordered: list[Operation], done: frozenset[int], value: str) -> list[tuple[frozenset[int], str]]:
    """Everything that may happen next: operations that no unfinished one ended before."""
    horizon = min((one.end for number, one in enumerate(ordered) if number not in done), default=FOREVER)
    states = []
    for number, one in enumerate(ordered):
        if one.start > horizon:
            break
        if number in done:
            continue
        if one.writes:
            states.append((done | {number}, one.value))
        elif one.value == value:
            states.append((done | {number}, value))
    return states
