"""Several workers as one balancer: what clients and operators see of it, whoever of them dies."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from services.balancer.workers.backoff import CALM_S, LONGEST_S, Backoff
from tests.balancer.programs import START_S, Program, program
from tests.balancer.support import RawClient, Upstream, always, answer, eventually, request

Start = Callable[..., Awaitable[Upstream]]
FAST = {"interval_s": 0.1, "timeout_s": 5, "uri": "/healthz"}


async def hold(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    await up.release.wait()
    writer.write(answer(up.name.encode()))


async def test_workers_share_the_clients_and_one_status_adds_them_up(upstream: Start, tmp_path: Path) -> None:
    a, b = await upstream("a"), await upstream("b")
    async with program(tmp_path, [a, b], workers=2, group={"zone": True, "method": "round_robin"}) as running:
        assert await running.bodies(60) == "ab" * 30, "with a zone, workers choose like one"
        status = await running.status()
        assert [worker["requests"] > 0 for worker in status["workers"]] == [True, True]
        assert [peer["requests"] for peer in status["upstreams"]["app"]["peers"]] == [30, 30]
        assert status["requests"] == status["statuses"]["2xx"] == sum(w["requests"] for w in status["workers"]) == 60
        assert await running.metric("balancer_requests_total") == 60
        assert await running.metric("balancer_workers") == 2


async def test_a_dead_worker_costs_its_own_connections_only_and_is_replaced(upstream: Start, tmp_path: Path) -> None:
    servers = [await upstream("a", hold), await upstream("b", hold)]
    async with program(tmp_path, servers, workers=2, group={"zone": True}) as running:
        held = [await running.client() for _ in range(16)]
        for client in held:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await eventually(lambda: sum(len(up.heads) for up in servers) == 16, 20)
        victim = (await running.status())["workers"][0]["pid"]
        os.kill(victim, signal.SIGKILL)
        latecomers = [await running.client() for _ in range(16)]  # some to the socket of the dead one
        for client in latecomers:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await eventually(lambda: sum(len(up.heads) for up in servers) == 32, 20)
        active = sum(peer["active"] for peer in await running.peers())
        for up in servers:
            up.release.set()
        assert [(await client.answer()).status for client in latecomers] == [200] * 16
        outcomes = [await outcome(client) for client in held]
        lost = outcomes.count(b"")
        assert 0 < lost < 16 and active == 32 - lost, "what it had in progress is given back"

        async def replaced() -> bool:
            workers = (await running.status())["workers"]
            return [worker["restarts"] for worker in workers] == [1, 0] and workers[0]["pid"] != victim

        await running.until(replaced)
        before = await running.metric("balancer_requests_total")
        assert before >= 32 - lost
        assert set(await running.bodies(20)) == {"a", "b"}

        async def both_serve() -> bool:
            await running.bodies(4)
            return all(worker["requests"] for worker in (await running.status())["workers"])

        await running.until(both_serve)


async def test_a_worker_that_dies_while_the_others_are_asked_counts_once(upstream: Start, tmp_path: Path) -> None:
    async with program(tmp_path, [await upstream("a")], workers=2) as running:
        await running.bodies(20)
        workers = (await running.status())["workers"]
        assert sum(worker["requests"] for worker in workers) == 20 and all(worker["requests"] for worker in workers)

        os.kill(workers[0]["pid"], signal.SIGSTOP)  # whoever asks for figures waits for this one
        asking = asyncio.create_task(running.status())
        await asyncio.sleep(0.2)
        os.kill(workers[1]["pid"], signal.SIGKILL)
        await running.until(lambda: not Path(f"/proc/{workers[1]['pid']}").exists())
        assert (await asking)["requests"] == 20
        os.kill(workers[0]["pid"], signal.SIGCONT)


async def test_a_worker_that_hangs_is_replaced_and_one_that_was_only_paused_is_not(
    upstream: Start, tmp_path: Path
) -> None:
    async def hold_some(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        if b"/held" in head:
            await up.release.wait()
        writer.write(answer(b"a"))

    server = await upstream("a", hold_some)
    async with program(tmp_path, [server], workers=2, worker_timeout_s=4, group={"zone": True}) as running:
        held = [await ask(running, "/held") for _ in range(12)]
        await running.until(lambda: len(server.heads) == 12)
        pids = [worker["pid"] for worker in (await running.status())["workers"]]

        os.kill(pids[0], signal.SIGSTOP)
        latecomers = [await ask(running, "/") for _ in range(12)]  # some to the socket of the paused one
        assert [await status_of(client) for client in latecomers] == [200] * 12
        await running.says("worker is silent")
        os.kill(pids[0], signal.SIGCONT)
        await running.says("worker answers again")
        server.release.set()
        assert [await status_of(client) for client in held] == [200] * 12, "it has lost nothing"

        async def accepts_again() -> bool:
            before = (await running.status())["workers"][0]["requests"]
            await running.bodies(4)
            return bool((await running.status())["workers"][0]["requests"] > before)

        await running.until(accepts_again)
        assert [worker["pid"] for worker in (await running.status())["workers"]] == pids

        os.kill(pids[0], signal.SIGSTOP)

        async def replaced() -> bool:
            assert [await status_of(await ask(running, "/")) for _ in range(4)] == [200] * 4
            workers = (await running.status())["workers"]
            return [worker["restarts"] for worker in workers] == [1, 0] and workers[0]["pid"] != pids[0]

        await running.until(replaced)
        assert "worker hangs" in running.log.read_text()
        assert (await running.status())["workers"][1]["pid"] == pids[1]
        assert [peer["active"] for peer in await running.peers()] == [0]


async def test_a_worker_that_hangs_does_not_keep_a_program_that_quits(upstream: Start, tmp_path: Path) -> None:
    async with program(tmp_path, [await upstream("a")], workers=2, worker_timeout_s=3) as running:
        os.kill((await running.status())["workers"][0]["pid"], signal.SIGSTOP)
        running.signal(signal.SIGQUIT)
        assert await running.ended() == 0


async def ask(running: Program, path: str) -> RawClient:
    client = await running.client()
    client.send(request("GET", path))
    return client


async def status_of(client: RawClient) -> int:
    return (await client.answer(within_s=START_S)).status


async def outcome(client: RawClient) -> bytes:
    try:
        return (await client.answer()).body
    except (ConnectionError, asyncio.IncompleteReadError):
        return b""


async def test_changes_at_run_time_reach_every_worker_and_outlive_all(upstream: Start, tmp_path: Path) -> None:
    a, b, c = [await upstream(name) for name in "abc"]
    state_file = tmp_path / "state.json"
    async with program(tmp_path, [a, b], workers=2, state_file=str(state_file)) as running:
        path = "/upstreams/app/servers"
        assert (await running.api("POST", path, {"address": c.address}))["id"] == 2
        assert set(await running.bodies(30)) == set("abc")
        await running.api("PATCH", f"{path}/0", {"drain": True})
        await running.api("PATCH", f"{path}/1", {"down": True})
        assert await running.bodies(20) == "c" * 20
        assert [peer["state"] for peer in await running.peers()] == ["draining", "down", "up"]
        await running.api("DELETE", f"{path}/0", {})
        assert await running.bodies(20) == "c" * 20
        running.signal(signal.SIGHUP)
        await running.says("settings reloaded")
        assert await running.bodies(20) == "c" * 20, "kept over a reload by the state file"
        pid = (await running.status())["workers"][1]["pid"]
        os.kill(pid, signal.SIGKILL)
        await running.says("worker died")
        assert await running.bodies(20) == "c" * 20, "a new worker is told"
        running.signal(signal.SIGTERM)
        assert await running.ended() == 0
        await running.start()
        assert await running.bodies(20) == "c" * 20, "kept over a restart"


async def test_a_reload_drops_no_connection_and_forgets_no_server(upstream: Start, tmp_path: Path) -> None:
    dead, a, b = [await upstream(name) for name in ("dead", "a", "b")]
    await dead.stop()
    server = {"max_fails": 1, "fail_timeout_s": 60}
    async with program(tmp_path, [dead, a], workers=2, group={"zone": True}, server=server) as running:
        clients = [await running.client() for _ in range(8)]
        assert [(await client.get()).body for client in clients] == [b"a"] * 8
        before = await running.status()
        servers = [{"address": up.address, **server} for up in (dead, b)]
        group = {"servers": servers, "method": "round_robin", "zone": True}
        running.configure(upstreams={"app": group}, workers=3)
        running.signal(signal.SIGHUP)
        await running.says("settings reloaded")
        assert [(await client.get()).body for client in clients] == [b"b"] * 8
        after = await running.status()
        assert [peer["state"] for peer in after["upstreams"]["app"]["peers"]] == ["unavail", "up"]
        assert after["connections"]["accepted"] == before["connections"]["accepted"] == 8
        pids = [worker["pid"] for worker in before["workers"]]
        assert [worker["pid"] for worker in after["workers"]][:2] == pids and len(after["workers"]) == 3
        assert set(await running.bodies(20)) == {"b"}
        running.configure(workers=1)
        await running.api("POST", "/reload", {})
        assert set(await running.bodies(20)) == {"b"}, "sockets of workers that left are served by those that stay"


async def test_checks_are_made_once_and_their_verdicts_reach_every_worker(upstream: Start, tmp_path: Path) -> None:
    follower, leader = await upstream("follower", always(answer(b"", "503 Not the leader"))), await upstream("leader")
    check = {**FAST, "uri": "/leader", "mandatory": True}
    async with program(tmp_path, [follower, leader], workers=2, group={"health_check": check}) as running:

        async def decided() -> bool:
            return [peer["state"] for peer in await running.peers()] == ["unhealthy", "up"]

        await running.until(decided)
        assert await running.bodies(12) == "leader" * 12
        peers = await running.peers()
        asked = [sum(b"/leader" in head for head in up.heads) for up in (follower, leader)]
        for peer, count in zip(peers, asked, strict=True):
            assert 0 < peer["check"]["checks"] <= count <= peer["check"]["checks"] + 3, "once, not once in every worker"
        leader._handler, follower._handler = follower._handler, leader._handler

        async def changed() -> bool:
            return [peer["state"] for peer in await running.peers()] == ["up", "unhealthy"]

        await running.until(changed)
        assert await running.bodies(12) == "follower" * 12
        group = running.settings["upstreams"]["app"]
        running.configure(upstreams={"app": {**group, "zone": True}})
        await running.api("POST", "/reload", {})
        assert await running.bodies(12) == "follower" * 12, "what is known of servers is known in the zone too"
        leader._handler, follower._handler = follower._handler, leader._handler
        await running.until(decided)
        assert await running.bodies(12) == "leader" * 12


async def test_a_request_waits_for_a_slot_that_another_worker_frees(upstream: Start, tmp_path: Path) -> None:
    server = await upstream("a", hold)
    other = await upstream("b", hold)
    group = {"zone": True, "queue": {"size": 50, "timeout_s": 30}}
    async with program(tmp_path, [server, other], workers=2, group=group, server={"max_conns": 1}) as running:
        clients = [await running.client() for _ in range(12)]
        for client in clients:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

        async def queued() -> bool:
            return bool((await running.status())["upstreams"]["app"]["queued"] == 10)

        await running.until(queued)
        await running.until(lambda: len(server.heads) + len(other.heads) == 2)  # max_conns holds for all workers together
        server.release.set()
        other.release.set()
        assert [(await client.answer()).status for client in clients] == [200] * 12


def test_a_worker_that_keeps_dying_is_replaced_ever_more_slowly() -> None:
    backoff = Backoff()
    delays = [backoff.after(0.1) for _ in range(9)]
    assert delays[0] == 0.0 and delays[1:4] == [0.25, 0.5, 1.0] and delays[-1] == LONGEST_S
    assert backoff.after(CALM_S) == 0.0
