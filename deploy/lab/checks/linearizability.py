"""Is a history of reads and writes of one register linearizable?

Every operation must seem to happen at one moment between its call and its answer. Writes whose outcome is unknown may
happen at any later moment, or never (Herlihy and Wing; the search is that of Wing and Gong with Lowe's memory of states
seen).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

FOREVER = 1 << 62
STATES_MAX = 500_000


class Undecided(Exception):
    """The search has looked at as many states as it may, and found neither an order nor that there is none."""


@dataclass(frozen=True, slots=True)
class Operation:
    """`value`: what was written, or what the read returned. `end` FOREVER: the outcome is unknown."""

    start: int
    end: int
    writes: bool
    value: str


def linearizable(operations: Sequence[Operation], initial: str, states_max: int = STATES_MAX) -> bool:
    """Whether some order explains all answers. Raises Undecided."""
    ordered = sorted(_telling(operations), key=lambda one: one.start)
    required = sum(1 << number for number, one in enumerate(ordered) if one.end != FOREVER)
    seen: set[tuple[int, str]] = set()
    stack = [(0, initial)]
    while stack:
        state = stack.pop()
        if state[0] & required == required:
            return True
        if state in seen:
            continue
        if len(seen) >= states_max:
            raise Undecided(f"{len(ordered)} operations, {states_max} states")
        seen.add(state)
        stack.extend(_next_states(ordered, *state))
    return False


def _telling(operations: Sequence[Operation]) -> list[Operation]:
    """Those that an order has to explain: reads without an answer say nothing, and neither does a write of unknown outcome
    whose value nobody has read."""
    answered = [one for one in operations if one.end != FOREVER]
    read = {one.value for one in answered if not one.writes}
    return answered + [one for one in operations if one.end == FOREVER and one.writes and one.value in read]


def _next_states(ordered: list[Operation], done: int, value: str) -> Iterator[tuple[int, str]]:
    """Everything that may happen next: operations that no unfinished one ended before. `done` has a bit for each."""
    waiting = [(number, one) for number, one in enumerate(ordered) if not done >> number & 1]
    horizon = min((one.end for _, one in waiting), default=FOREVER)
    for number, one in waiting:
        if one.start > horizon:
            break
        if one.writes or one.value == value:
            yield done | 1 << number, one.value
