"""A few seeds at every test run; `python -m tests.balancer.likeness` runs as many as wanted."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.balancer.likeness.plan import plan
from tests.balancer.likeness.play import play
from tests.balancer.likeness.servers import Servers, servers
from tests.balancer.likeness.shrink import shrink

SEEDS = 12
SHRINK_S = 20.0


@pytest.fixture
async def upstreams() -> AsyncIterator[Servers]:
    async with servers() as started:
        yield started


@pytest.mark.timeout(60)
@pytest.mark.parametrize("seed", range(1, SEEDS + 1))
async def test_random_sites_and_requests_are_treated_as_by_nginx(upstreams: Servers, seed: int) -> None:
    result = await play(plan(seed), upstreams)
    if result.differences:
        smallest = await shrink(result, upstreams, SHRINK_S)
        pytest.fail("\n".join(map(str, (f"seed {seed}", smallest.plan.text, *smallest.differences))))


async def test_the_same_seed_is_the_same_plan() -> None:
    assert plan(7) == plan(7) != plan(8)
