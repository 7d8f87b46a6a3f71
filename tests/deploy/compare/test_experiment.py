"""One run at a time, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.lab.compare.analysis import Flaw, flaws
from deploy.lab.compare.crew import Crew
from deploy.lab.compare.experiment import Stage
from deploy.lab.compare.history import Outcome
from deploy.lab.compare.load import Load
from deploy.lab.compare.plan import QUICK_CHECKS, Plan, Run

PLAN = Plan(
    arrangements=("passive",), faults=("refuse",), checks=QUICK_CHECKS, rate=40, lead_s=0.3, fault_s=0.5, after_s=0.3,
    patience_s=4, late_s=5,
)  # fmt: skip
RUN = Run("passive", "refuse", 1)


@pytest.fixture
async def hands(tmp_path: Path) -> AsyncIterator[tuple[Crew, Load]]:
    async with Crew(tmp_path, service_s=0.01) as crew, Load() as load:
        yield crew, load


def find(folder: Path) -> int | None:
    """The pid of the balancer whose settings are in the folder, if it has met the fault by now."""
    log = folder / "log"
    if not log.exists() or "upstream failed" not in log.read_text():
        return None
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder).encode() in (entry / "cmdline").read_bytes():
                return int(entry.name)
        except OSError:
            continue  # it has just ended
    return None


async def balancer_of(folder: Path) -> int:
    async with asyncio.timeout(30):
        while (pid := find(folder)) is None:  # noqa: ASYNC110 (it cannot tell us)
            await asyncio.sleep(0)
    return pid


async def test_a_balancer_that_dies_is_told_of_and_its_users_get_errors(
    hands: tuple[Crew, Load], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    running = asyncio.create_task(Stage(replace(PLAN, after_s=2), *hands, None).one_run(RUN, folder))
    os.kill(await balancer_of(folder), signal.SIGKILL)
    seen = await running

    assert seen.died and Flaw.DIED in flaws(seen, PLAN)
    assert seen.requests[-1].outcome is Outcome.ERROR


async def test_a_run_that_the_machine_spoiled_is_made_again_as_often_as_the_plan_says(
    hands: tuple[Crew, Load], tmp_path: Path
) -> None:
    impossible = replace(PLAN, late_s=-1.0)
    spoiled = await Stage(impossible, *hands, None).good_run(RUN, tmp_path / "spoiled")
    good = await Stage(PLAN, *hands, None).good_run(RUN, tmp_path / "good")

    assert (spoiled.tries, good.tries) == (2, 1)
    assert {path.name for path in (tmp_path / "spoiled").iterdir()} == {"1", "2"}
    assert [request.due_s for request in spoiled.requests] == [request.due_s for request in good.requests]
