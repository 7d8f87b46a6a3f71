"""The judge of histories, against trying out every order."""

from __future__ import annotations

import random
from itertools import permutations

import pytest

from deploy.lab.checks.linearizability import FOREVER, Operation, Undecided, linearizable


def explained(operations: list[Operation], initial: str) -> bool:
    """By definition: some order of all answered operations, and any of the unknown writes, explains what was read."""
    answered = [one for one in operations if one.end != FOREVER]
    unknown = [one for one in operations if one.end == FOREVER and one.writes]
    for chosen in range(1 << len(unknown)):
        some = answered + [one for number, one in enumerate(unknown) if chosen >> number & 1]
        if any(_in_time(order) and _reads_right(order, initial) for order in permutations(some)):
            return True
    return False


def _in_time(order: tuple[Operation, ...]) -> bool:
    return all(first.start <= then.end for place, first in enumerate(order) for then in order[place + 1 :])


def _reads_right(order: tuple[Operation, ...], value: str) -> bool:
    for one in order:
        if one.writes:
            value = one.value
        elif one.value != value:
            return False
    return True


def history(rng: random.Random) -> list[Operation]:
    operations = []
    for number in range(rng.randint(2, 4)):
        start, writes = rng.randint(0, 12), rng.random() < 0.5
        end = FOREVER if writes and rng.random() < 0.3 else start + rng.randint(1, 6)
        value = f"v{number}" if writes else rng.choice(["none", "v0", "v1", "v2"])
        operations.append(Operation(start, end, writes, value))
    return operations


def test_it_finds_what_trying_every_order_finds() -> None:
    rng, verdicts = random.Random(3), []
    for _ in range(150):
        operations = history(rng)
        verdicts.append(linearizable(operations, "none"))
        assert verdicts[-1] == explained(operations, "none"), operations
    assert 0.2 < sum(verdicts) / len(verdicts) < 0.8, "both verdicts have to occur"


def test_it_gives_up_in_time() -> None:
    at_once = [Operation(0, 10, True, f"v{number}") for number in range(20)]
    wrong = Operation(20, 30, False, "never written")
    with pytest.raises(Undecided):
        linearizable([*at_once, wrong], "none", states_max=1000)
