"""Commands at the beginning and end of leading."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from services.oned_lite.node.effects import RoleChanged
from services.oned_lite.server.role_hooks import RoleHooks

SCRIPT = 'echo "$0 begins $1 $RAFT_TERM" >> {log}; while [ -e {hold} ]; do sleep 0.02; done; echo "$0 ends" >> {log}'


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def lines(folder: Path) -> list[str]:
    path = folder / "log"
    return path.read_text().splitlines() if path.exists() else []


@asynccontextmanager
async def hooks(folder: Path) -> AsyncIterator[RoleHooks]:
    script = SCRIPT.format(log=folder / "log", hold=folder / "hold")
    made = RoleHooks(("sh", "-c", script, "leader"), ("sh", "-c", script, "follower"))
    task = asyncio.create_task(made.run(4))
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_they_run_one_after_the_other_with_the_term(tmp_path: Path) -> None:
    async with hooks(tmp_path) as made:
        await until(lambda: len(lines(tmp_path)) == 2)
        made.role_changed(RoleChanged("candidate", 5, None))
        made.role_changed(RoleChanged("leader", 5, 0))
        await until(lambda: len(lines(tmp_path)) == 4)
        made.role_changed(RoleChanged("follower", 6, 1))
        await until(lambda: len(lines(tmp_path)) == 6)
    assert lines(tmp_path) == [
        "follower begins 4 4",
        "follower ends",
        "leader begins 5 5",
        "leader ends",
        "follower begins 6 6",
        "follower ends",
    ]


async def test_of_roles_that_come_and_go_meanwhile_the_latest_counts(tmp_path: Path) -> None:
    (tmp_path / "hold").touch()
    async with hooks(tmp_path) as made:
        await until(lambda: len(lines(tmp_path)) == 1)
        for role, term in (("leader", 5), ("follower", 6), ("leader", 7)):
            made.role_changed(RoleChanged(role, term, None))
        (tmp_path / "hold").unlink()
        await until(lambda: len(lines(tmp_path)) == 4)
    assert lines(tmp_path)[1:3] == ["follower ends", "leader begins 7 7"]


async def test_a_server_that_stops_gives_up_what_leading_gave_it(tmp_path: Path) -> None:
    async with hooks(tmp_path) as made:
        made.role_changed(RoleChanged("leader", 5, 0))
        await until(lambda: lines(tmp_path)[-1:] == ["leader ends"])
    await made.close()
    assert lines(tmp_path)[-2:] == ["follower begins 5 5", "follower ends"]


async def test_a_stop_in_the_middle_of_the_farewell_does_not_cut_it_short(tmp_path: Path) -> None:
    """A leader that hands over hears of its successor while it stops: the address must go all the same."""
    async with hooks(tmp_path) as made:
        made.role_changed(RoleChanged("leader", 5, 0))
        await until(lambda: lines(tmp_path)[-1:] == ["leader ends"])
        (tmp_path / "hold").touch()
        made.role_changed(RoleChanged("follower", 6, 1))
        await until(lambda: lines(tmp_path)[-1:] == ["follower begins 6 6"])
    (tmp_path / "hold").unlink()
    await made.close()
    assert lines(tmp_path)[-2:] == ["follower begins 6 6", "follower ends"]


async def test_a_command_that_is_not_there_stops_nobody(tmp_path: Path) -> None:
    made = RoleHooks((str(tmp_path / "none"),), ("sh", "-c", f"touch {tmp_path}/done"))
    made.role_changed(RoleChanged("leader", 1, 0))
    task = asyncio.create_task(made.run(1))
    await asyncio.sleep(0)
    made.role_changed(RoleChanged("follower", 2, 1))
    await until((tmp_path / "done").exists)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
