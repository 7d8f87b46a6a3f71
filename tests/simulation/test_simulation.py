"""A few hundred seeds at every test run; `python -m tests.simulation` runs as many as wanted."""

from __future__ import annotations

import pytest

from .plan import Plan, plan
from .regressions import REGRESSIONS
from .run import run
from .shrink import shrink

SEEDS = 200
BATCH = 10
SHRINK_S = 30.0


def holds(found: Plan) -> None:
    result = run(found)
    if result.violation:
        smallest = shrink(result, SHRINK_S)
        trace = "\n".join(smallest.trace[-60:])
        pytest.fail(f"seed {found.seed}: {result.violation}\n{trace}\n{smallest.violation}\n{smallest.plan}")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(1, SEEDS + 1, BATCH))
def test_no_fault_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + BATCH):
        holds(plan(seed))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("mistake", REGRESSIONS)
def test_what_was_once_wrong_stays_mended(mistake: str) -> None:
    holds(REGRESSIONS[mistake])


def test_the_same_plan_is_the_same_run() -> None:
    first, second = run(plan(7)), run(plan(7))
    assert first.trace == second.trace
    assert first.coverage == second.coverage
