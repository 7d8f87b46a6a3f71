"""What operators do to a program that is busy, in whatever order and on whatever disk."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.balancer.programs import Program, program
from tests.balancer.support import RawClient, Upstream, always, answer, request
from tests.balancer.test_upgrade import Load, echo, says, tunnel

Start = Callable[..., Awaitable[Upstream]]


async def test_logs_are_rotated_as_nginxs_are(upstream: Start, tmp_path: Path) -> None:
    """Renamed, then USR1; whoever sends signals to all processes of a service does not harm workers by it."""
    log = tmp_path / "access.log"
    access_log = {"path": str(log), "format": "$uri"}
    async with program(tmp_path, [await upstream("a")], workers=2, access_log=access_log) as running:
        pids = [worker["pid"] for worker in (await running.status())["workers"]]
        client = await running.client()
        assert (await client.get("/before")).body == b"a"
        await running.until(lambda: log.exists() and log.read_text() == "/before\n")
        log.rename(tmp_path / "access.log.1")
        for number in (signal.SIGUSR1, signal.SIGHUP):
            for pid in (running.pid, *pids):
                os.kill(pid, number)
        await running.says("nothing to open again")
        await running.says("settings reloaded")
        assert (await client.get("/after")).body == b"a"
        await running.until(lambda: log.exists() and log.read_text() == "/after\n")
        log.unlink()
        log.symlink_to("/dev/full")
        assert (await client.get("/lost")).body == b"a"
        await running.says("lines are lost")
        log.unlink()
        assert (await client.get("/again")).body == b"a"
        await running.until(lambda: log.exists() and log.read_text() == "/again\n")
        assert [worker["pid"] for worker in (await running.status())["workers"]] == pids


async def test_files_that_cannot_be_written_stop_nothing(upstream: Start, tmp_path: Path) -> None:
    server = await upstream("a")
    check = {"interval_s": 0.1, "timeout_s": 30, "mandatory": True, "persistent": True}
    state = tmp_path / "state"
    async with program(tmp_path, [server], group={"health_check": check}, state_file=str(state)) as running:
        state.with_name("state.new").symlink_to("/dev/full")
        changed = await running.api("PATCH", "/upstreams/app/servers/0", {"weight": 7})
        assert changed["weight"] == 7
        await running.says("not kept in the state file")
        for wire, state_of_it in ((answer(b"", "500 E"), "unhealthy"), (answer(b"a"), "up")):
            server._handler = always(wire)
            await running.until(lambda wanted=state_of_it: _is(running, wanted))  # type: ignore[misc]
        (tmp_path / "pid.oldbin").mkdir()
        running.signal(signal.SIGUSR2)
        await running.says("no new program is started")
        running.signal(signal.SIGHUP)
        await running.says("settings reloaded")
        running.pid_file.unlink()
        running.pid_file.mkdir()
        os.kill((await running.status())["pid"], signal.SIGTERM)
        assert await running.ended() == 0


async def _is(running: Program, state: str) -> bool:
    return [peer["state"] for peer in await running.peers()] == [state]


async def test_reloads_come_one_after_the_other(upstream: Start, tmp_path: Path) -> None:
    async with program(tmp_path, [await upstream("a")]) as running:
        load = Load(running, 4)
        await load.goes_on()
        running.configure(workers=2)
        said = await asyncio.gather(*(running.api("POST", "/reload", {}) for _ in range(3)))
        assert said == [{"ok": True}] * 3
        text = running.config.read_text()
        running.config.unlink()
        os.mkfifo(running.config)  # so that reading it takes as long as this test likes
        running.signal(signal.SIGHUP)
        file = await asyncio.to_thread(running.config.open, "w")  # once it is being read
        for number in (signal.SIGHUP, signal.SIGUSR1):
            for _ in range(10):
                running.signal(number)
            await running.status()  # whoever answers has seen the signals
        with file:
            file.write(text)
        await running.until(lambda: reloads_of(running) == 4)
        await asyncio.to_thread(running.config.write_text, text)
        await running.says("nothing to open again")
        assert reloads_of(running) == 5, "ten that wait are one"
        await load.goes_on()
        assert len(children_of(running.pid)) == len((await running.status())["workers"]) == 2
        await load.end()
        assert load.faults == []


def reloads_of(running: Program) -> int:
    return running.log.read_text().count("settings reloaded")


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


async def test_who_quits_waits_for_the_new_program(upstream: Start, tmp_path: Path) -> None:
    async with program(tmp_path, [await upstream("a")]) as running:
        load, old = Load(running, 4), running.pid
        await load.goes_on()
        for number in (signal.SIGUSR2, signal.SIGUSR2):
            os.kill(old, number)
        await running.until((tmp_path / "pid.oldbin").exists)  # of signals that wait together, the kernel tells QUIT first
        os.kill(old, signal.SIGQUIT)
        assert await running.ended() == 0
        await running.until(lambda: running.pid not in (0, old))
        await load.goes_on()
        await load.end()
        assert load.faults == []
        await load.is_counted()


async def test_clients_of_those_who_served_before_are_in_the_status(upstream: Start, tmp_path: Path) -> None:
    async def seen(count: int) -> bool:
        status = await running.status()
        connections, (peer,) = status["connections"], status["upstreams"]["app"]["peers"]
        counted = (connections["active"], peer["active"], connections["accepted"], status["requests"])
        return counted == (count, count, len(talkers), len(talkers))

    talkers: list[RawClient] = []
    async with program(tmp_path, [await upstream("a", echo)]) as running:
        for workers in (1, 2, 1):
            running.configure(workers=workers)
            await running.api("POST", "/reload", {})
            talkers.append(await tunnel(running))
            await running.until(lambda: seen(len(talkers)))
        old = running.pid
        running.signal(signal.SIGUSR2)
        await running.until(lambda: running.pid not in (0, old))
        await running.until(lambda: seen(3))
        os.kill(old, signal.SIGQUIT)
        for left, talker in zip((2, 1, 0), talkers, strict=True):
            assert await says(talker, b"still here") == b"still here"
            talker.close()
            await running.until(lambda left=left: seen(left))  # type: ignore[misc]
        assert await running.ended() == 0


async def test_limits_hold_for_those_who_served_before_too(upstream: Start, tmp_path: Path) -> None:
    async def admitted() -> bool:
        """Whether one more is let in."""
        client = await running.client()
        client.send(request("GET", "/", "Connection: upgrade", "Upgrade: echo"))
        status = (await client.answer()).status
        if status == 101:
            talkers.append(client)
        else:
            client.close()
        return status == 101

    talkers: list[RawClient] = []
    locations = [{"path": "/", "upstream": "app", "conn_limits": [{"key": "$remote_addr", "most": 2}]}]
    async with program(tmp_path, [await upstream("a", echo)], locations=locations) as running:
        assert await admitted()
        for workers in (2, 1, 2):
            running.configure(workers=workers)
            await running.api("POST", "/reload", {})
            assert await admitted()
            assert [await admitted() for _ in range(3)] == [False] * 3
            talkers.pop(0).close()
            await running.until(admitted)
            assert not await admitted()
            talkers.pop(0).close()
            await running.until(lambda: _one_is_active(running))


async def _one_is_active(running: Program) -> bool:
    return bool((await running.status())["connections"]["active"] == 1)


async def test_workers_that_leave_make_room_for_others(upstream: Start, tmp_path: Path) -> None:
    async with program(tmp_path, [await upstream("a", echo)], workers=3) as running:
        talkers = []
        while not (await running.status())["workers"][2]["requests"]:
            talkers.append(await tunnel(running))
        first = (await running.status())["workers"][2]["pid"]
        for workers in (2, 2, 3):
            running.configure(workers=workers)
            await running.api("POST", "/reload", {})
            status = await running.status()
            assert [worker["number"] for worker in status["workers"] if not worker["leaving"]] == [0, 1, 2][:workers]
            assert [worker["pid"] for worker in status["workers"] if worker["leaving"]] == [first]
            assert status["connections"]["active"] == len(talkers)

        async def serves() -> bool:
            talkers.append(await tunnel(running))
            return bool((await running.status())["workers"][2]["requests"])

        await running.until(serves)
        for talker in talkers:
            assert await says(talker, b"still here") == b"still here"
        running.configure(quit_timeout_s=0.2, workers=2)
        await running.api("POST", "/reload", {})
        await running.until(lambda: _leaving(running, [first]))
        assert not any(word in running.log.read_text() for word in ("keeps its old", "died"))


async def _leaving(running: Program, pids: list[int]) -> bool:
    return [worker["pid"] for worker in (await running.status())["workers"] if worker["leaving"]] == pids


async def test_clients_of_those_who_served_before_have_no_longer_than_they_may(upstream: Start, tmp_path: Path) -> None:
    async with program(tmp_path, [await upstream("a", echo)], quit_timeout_s=0.2) as running:
        talker = await tunnel(running)
        running.configure(workers=2)
        await running.api("POST", "/reload", {})
        assert await talker.rest() == b""


async def test_a_pid_file_that_was_lost_is_there_again(upstream: Start, tmp_path: Path) -> None:
    async with program(tmp_path, [await upstream("a")]) as running:
        old = running.pid
        running.signal(signal.SIGUSR2)
        await running.until(lambda: running.pid not in (0, old))
        (tmp_path / "pid.oldbin").unlink()
        os.kill(running.pid, signal.SIGKILL)
        await running.until(lambda: running.pid == old)
        client = await running.client()
        client.send(request("GET", "/"))
        assert (await client.answer()).body == b"a"
