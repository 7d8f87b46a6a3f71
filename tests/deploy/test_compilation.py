"""The balancer, compiled while the lab runs, and replaced in place: by real processes, with compilers that take no time."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.lab import parts
from deploy.lab.compilation import code_of, compile_balancer
from deploy.lab.definition import Definition
from deploy.lab.foreground import watch
from deploy.lab.processes import Condition
from deploy.lab.supervisor import Supervisor
from deploy.lab.topology import Process
from tests.deploy.conftest import Crew

WITHIN_S = 30.0
COMPILES = (sys.executable, "-c", "")
FAILS = ("sh", "-c", "echo trying; echo there is no compiler; exit 1")


@pytest.fixture
def balancer(crew: Crew, network: str, monkeypatch: pytest.MonkeyPatch) -> Process:
    """One that runs interpreted, whatever has been compiled here."""
    monkeypatch.setenv("BALANCER_INTERPRETED", "1")
    return parts.balancer(crew.folder, Definition(frontends=1, network=network))


def only(supervisor: Supervisor) -> tuple[Condition, int | None]:
    (seen,) = supervisor.look_at_all()
    return seen.condition, seen.pid


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while True:
            if condition():
                return
            await asyncio.sleep(0.02)


async def test_a_balancer_takes_over_when_it_is_compiled(crew: Crew, balancer: Process) -> None:
    supervisor = crew.supervise(balancer)
    await supervisor.start((balancer,))
    _, old = only(supervisor)
    assert old is not None
    news: list[str] = []
    watching = asyncio.create_task(watch(supervisor, news.append, str))
    try:
        await compile_balancer(supervisor, balancer, news.append, COMPILES)
        condition, new = only(supervisor)
        assert condition is Condition.RUNNING and new is not None and ended(old)
        await until(lambda: f"balancer (pid {new}) has taken over from pid {old}" in news)
        assert [line for line in news if "ended" in line] == [] and "runs compiled now" in " ".join(news)
        assert only(crew.supervise(balancer)) == (condition, new), "every other command knows the new one"
        await supervisor.stop((balancer,))
        assert only(supervisor)[0] is Condition.ENDED and ended(new)
    finally:
        watching.cancel()


async def test_without_a_compiler_the_balancer_goes_on_as_it_is(crew: Crew, balancer: Process) -> None:
    supervisor = crew.supervise(balancer)
    await supervisor.start((balancer,))
    before, news = only(supervisor), list[str]()
    await compile_balancer(supervisor, balancer, news.append, FAILS)
    assert only(supervisor) == before and news[1:] == ["there is no compiler"]
    assert code_of(balancer) == "interpreted"


async def test_who_ends_ends_the_compiler_too(crew: Crew, balancer: Process, tmp_path: Path) -> None:
    supervisor = crew.supervise(balancer)
    await supervisor.start((balancer,))
    pids = tmp_path / "pids"
    slow = ("sh", "-c", f"sleep 600 & echo $! $$ >{pids}; wait")
    compiling = asyncio.create_task(compile_balancer(supervisor, balancer, print, slow))
    await until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
    compiler, its_parent = (int(pid) for pid in pids.read_text().split())
    await until(lambda: {os.getpriority(os.PRIO_PROCESS, pid) for pid in (compiler, its_parent)} == {19})
    compiling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await compiling
    await until(lambda: ended(compiler) and ended(its_parent))


def ended(pid: int) -> bool:
    """A process that nobody waits for may stay as a zombie, where there is no init."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
