"""A few hundred seeds at every test run; `python -m tests.simulation` runs as many as wanted."""

from __future__ import annotations

import pytest

from .run import Plan, run, shrink

SEEDS = 200
BATCH = 20


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(1, SEEDS + 1, BATCH))
def test_no_fault_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + BATCH):
        result = run(Plan(seed))
        if result.violation:
            smallest = shrink(result)
            trace = "\n".join(smallest.trace[-40:])
            pytest.fail(f"seed {seed}: {smallest.violation}\n{smallest.plan}\n{trace}")
