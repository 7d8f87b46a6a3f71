"""Quitting gracefully, and replacing the program while clients are at it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.balancer.channel import Channel, pair
from services.balancer.upgrade import VARIABLE, Listener, Rest, Serving
from tests.balancer.programs import COMMAND, START_S, Program, program
from tests.balancer.support import RawClient, Upstream, answer, request
from tests.support.ports import free_port, listens

Start = Callable[..., Awaitable[Upstream]]


class Load:
    """Clients that never stop asking; half of them stay connected until an answer tells them to leave."""

    def __init__(self, running: Program, count: int) -> None:
        self._running = running
        self.answers = 0
        self.faults: list[object] = []
        self._over = asyncio.Event()
        self._tasks = [asyncio.create_task(self._ask(stay=index % 2 == 0)) for index in range(count)]

    async def _ask(self, *, stay: bool) -> None:
        client: RawClient | None = None
        while not self._over.is_set():
            try:
                client = client or await self._running.client()
                got = await client.get()
            except (OSError, asyncio.IncompleteReadError) as error:
                self.faults.append(error)
                client = None
                continue
            self.answers += 1
            if got.status != 200:
                self.faults.append(got.status)
            if not stay or got.fields.get("connection") == "close":
                client.close()
                client = None
        if client is not None:
            client.close()

    async def end(self) -> None:
        self._over.set()
        await asyncio.gather(*self._tasks)

    async def is_counted(self) -> None:
        """Wait for the status to tell of every answer; what an old program said last may be on its way still."""

        async def counted() -> bool:
            status = await self._running.status()
            return bool(status["requests"] == status["statuses"]["2xx"] == self.answers)

        await self._running.until(counted)

    async def goes_on(self) -> None:
        """Wait for as many answers more as there are clients."""
        enough = self.answers + len(self._tasks)
        await self._running.until(lambda: self.answers >= enough)


async def upgrade(running: Program) -> tuple[int, str]:
    """What an operator types; the exit status and what it says."""
    process = await asyncio.create_subprocess_exec(
        COMMAND, "--config", str(running.config), "--upgrade",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


@pytest.mark.parametrize(("before", "after"), [(1, 2), (3, 1)])
async def test_a_new_program_takes_over_without_losing_a_request(
    upstream: Start, tmp_path: Path, before: int, after: int
) -> None:
    a, b = await upstream("a"), await upstream("b")
    check = {"interval_s": 0.2, "mandatory": True}
    async with program(tmp_path, [a, b], workers=before, group={"health_check": check}) as running:
        await running.until(lambda: _all_up(running))
        await running.api("PATCH", "/upstreams/app/servers/0", {"drain": True})
        load = Load(running, 8)
        await load.goes_on()
        old = running.pid
        running.configure(workers=after)
        status, said = await upgrade(running)
        assert (status, f"process {running.pid} serves" in said, running.pid != old) == (0, True, True), said
        assert await running.ended() == 0
        await load.goes_on()
        await load.end()
        assert load.faults == []
        now = await running.status()
        assert (now["pid"], len(now["workers"])) == (running.pid, after if after > 1 else 0)
        assert [peer["state"] for peer in now["upstreams"]["app"]["peers"]] == ["draining", "up"]
        assert not (tmp_path / "pid.oldbin").exists()
        await load.is_counted()


@pytest.mark.parametrize(("before", "after", "zone"), [(1, 2, True), (1, 2, False), (2, 1, False)])
async def test_what_is_known_of_servers_outlives_an_upgrade(
    upstream: Start, tmp_path: Path, before: int, after: int, zone: bool
) -> None:
    async with knowing(upstream, tmp_path, zone=zone, workers=before) as running:
        known = await running.peers()
        running.configure(workers=after)
        assert (await upgrade(running))[0] == 0
        assert await running.ended() == 0

        async def knows() -> bool:
            """A worker may be slow to report for the first time."""
            return facts_of(await running.peers()) == facts_of(known)

        await running.until(knows)
        assert await limited(running) == 503, "who was refused is so still"
        assert set(await running.bodies(40)) == {"a", "c"}
        assert [peer["requests"] for peer in await running.peers()][:1] == [known[0]["requests"]], "nobody asks the dead"


@contextlib.asynccontextmanager
async def knowing(upstream: Start, folder: Path, **more: Any) -> AsyncIterator[Program]:
    """A program whose first server is known to be dead, and whose third one was added at run time."""
    dead, a, c = [await upstream(name) for name in ("dead", "a", "c")]
    await dead.stop()
    group = {"zone": more.pop("zone"), "method": "round_robin"}
    server = {"max_fails": 1, "fail_timeout_s": 300}
    limit = {"key": "$remote_addr", "per_s": 0.001}
    locations = [{"path": "/", "upstream": "app"}, {"path": "/limited", "upstream": "app", "rate_limits": [limit]}]
    async with program(folder, [dead, a], server=server, group=group, locations=locations, **more) as running:
        assert await running.bodies(20) == "a" * 20
        path = "/upstreams/app/servers"
        await running.api("POST", path, {"address": c.address, "weight": 3, **server})
        await running.api("PATCH", f"{path}/1", {"weight": 2})
        assert set(await running.bodies(20)) == {"a", "c"}
        assert [await limited(running) for _ in range(2)] == [200, 503]
        yield running


async def limited(running: Program) -> int:
    """What a client gets where one may ask once in a thousand seconds."""
    client = await running.client()
    got = await client.get("/limited")
    client.close()
    return got.status


def facts_of(peers: list[Any]) -> list[object]:
    names = ("address", "state", "weight", "fails", "failures", "unavail", "requests", "codes", "connects", "received",
             "header_time_s", "response_time_s")  # fmt: skip
    return [[peer[name] for name in names] for peer in peers]


async def test_a_reload_brings_workers_and_takes_them_away_within_one_program(upstream: Start, tmp_path: Path) -> None:
    async with knowing(upstream, tmp_path, zone=True, state_file=str(tmp_path / "state")) as running:
        pid, known = running.pid, await running.status()
        load = Load(running, 4)
        for workers in (2, 1):
            await load.goes_on()
            running.configure(workers=workers)
            await running.api("POST", "/reload", {})
            await load.goes_on()
            now = await running.status()
            serving = [worker for worker in now["workers"] if not worker["leaving"]]
            assert (now["pid"], len(serving)) == (pid, workers if workers > 1 else 0)
            assert [peer["state"] for peer in now["upstreams"]["app"]["peers"]] == ["unavail", "up", "up"]
            assert await limited(running) == 503
        await load.end()
        assert load.faults == []

        async def complete() -> bool:
            """Those who served before have left, and with them what they counted."""
            return bool((await running.status())["requests"] == known["requests"] + load.answers + 2)

        await running.until(complete)
        running.signal(signal.SIGTERM)
        assert await running.ended() == 0


async def test_a_change_of_workers_that_fails_changes_nothing(upstream: Start, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        async with program(tmp_path, [await upstream("a")]) as running:
            client = await running.client()
            assert (await client.get()).body == b"a"
            listen = [f"127.0.0.1:{running.port}", f"127.0.0.1:{taken.getsockname()[1]}"]
            running.configure(listen=listen, workers=2)
            assert f"cannot listen on {listen[1]}" in (await running.api("POST", "/reload", {}))["error"]
            assert (await client.get()).body == b"a" and await running.bodies(3) == "aaa"
            assert (await running.status())["workers"] == []


@pytest.mark.parametrize("words", [b'{"version": 99}', b'{"groups": {"app": [{"settings": {"address": "?"}}]}}', b"\0"])
async def test_a_program_that_does_not_understand_what_it_is_left_begins_anew(
    upstream: Start, tmp_path: Path, words: bytes
) -> None:
    server = await upstream("a")
    port = free_port()
    config = tmp_path / "balancer.yaml"
    value = {
        "listen": f"127.0.0.1:{port}", "upstreams": {"app": {"servers": [{"address": server.address}]}},
        "locations": [{"path": "/", "upstream": "app"}],
    }  # fmt: skip
    config.write_text(yaml.safe_dump(value))
    serving = asyncio.Event()
    mine, its = pair()
    with (tmp_path / "log").open("wb") as log, its, socket.create_server(("127.0.0.1", port)) as listener:
        process = await asyncio.create_subprocess_exec(
            COMMAND, "--config", str(config), pass_fds=[its.fileno()], stderr=log,
            env={**os.environ, VARIABLE: str(its.fileno())},
        )  # fmt: skip
        old = Channel(mine, Serving, lambda *_: serving.set(), serving.set)
        old.send(Listener(address=f"127.0.0.1:{port}"), listener.fileno())
        old.send(Rest(snapshot=words))
    try:
        async with asyncio.timeout(START_S):
            await serving.wait()
        client = RawClient(*await asyncio.open_connection("127.0.0.1", port))
        assert (await client.get()).body == b"a", "the socket is used all the same"
        client.close()
        assert "not understood, beginning anew" in (tmp_path / "log").read_text()
    finally:
        old.close()
        process.terminate()
        assert await process.wait() == 0


async def _all_up(running: Program) -> bool:
    return all(peer["state"] == "up" for peer in await running.peers())


async def test_systemd_is_told_of_the_new_program(upstream: Start, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.setblocking(False)
        os.environ["NOTIFY_SOCKET"] = str(tmp_path / "notify")
        try:
            async with program(tmp_path, [await upstream("a")]) as running:
                old = running.pid
                await running.until(lambda: supervisor.recv(100).decode() == f"READY=1\nMAINPID={old}")
                await upgrade(running)
                await running.until(lambda: supervisor.recv(100).decode() == f"READY=1\nMAINPID={running.pid}")
                assert running.pid != old
        finally:
            del os.environ["NOTIFY_SOCKET"]


async def test_a_new_program_that_cannot_serve_changes_nothing(upstream: Start, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = [f"127.0.0.1:{taken.getsockname()[1]}"]
        async with program(tmp_path, [await upstream("a")], workers=2) as running:
            client, old = await running.client(), running.pid
            assert (await client.get()).body == b"a"
            running.configure(listen=[f"127.0.0.1:{running.port}", *listen])
            running.signal(signal.SIGUSR2)
            await running.says("this one goes on")
            assert f"cannot listen on {listen[0]}" in running.log.read_text()
            assert (await client.get()).body == b"a" and await running.bodies(3) == "aaa"
            assert (running.pid, (await running.status())["pid"]) == (old, old)
            running.configure(nonsense=1)
            status, said = await upgrade(running)
            assert status == 1 and "nonsense" in said and running.pid == old


async def test_an_upgrade_can_be_taken_back(upstream: Start, tmp_path: Path) -> None:
    """As with nginx: SIGUSR2, and then the new program is told to quit instead of the old one."""
    async with program(tmp_path, [await upstream("a")], workers=2) as running:
        old = running.pid
        running.signal(signal.SIGUSR2)
        await running.until(lambda: running.pid not in (0, old))
        new = running.pid
        assert int((tmp_path / "pid.oldbin").read_text()) == old
        assert (await running.status())["pid"] == new
        running.signal(signal.SIGQUIT)
        await running.until(lambda: running.pid == old)
        await running.says("the new program has ended")

        async def back() -> bool:
            return bool((await running.status())["pid"] == old)

        await running.until(back)
        assert await running.bodies(10) == "a" * 10


async def echo(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    """Switches protocols when asked to, and then sends back what comes."""
    if b"Upgrade:" not in head:
        writer.write(answer(b"plain"))
        return
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
    while data := await reader.read(100):
        writer.write(data)
    writer.close()


async def tunnel(running: Program) -> RawClient:
    client = await running.client()
    client.send(request("GET", "/", "Connection: upgrade", "Upgrade: echo"))
    assert (await client.answer()).status == 101
    return client


async def says(client: RawClient, text: bytes) -> bytes:
    client.send(text)
    async with asyncio.timeout(10):
        return await client.reader.readexactly(len(text))


@pytest.mark.parametrize("workers", [1, 2])
async def test_quitting_waits_for_tunnels_and_tells_clients_to_leave(
    upstream: Start, tmp_path: Path, workers: int
) -> None:
    async with program(tmp_path, [await upstream("a", echo)], workers=workers) as running:
        talker, idle = await tunnel(running), await running.client()
        assert (await idle.get()).body == b"plain"
        running.signal(signal.SIGQUIT)
        await running.says("quitting")
        await running.until(lambda: _refuses(running))
        assert await says(talker, b"still here") == b"still here"
        last = await idle.get()
        assert (last.body, last.fields["connection"]) == (b"plain", "close")
        assert running.pid
        talker.close()
        assert await running.ended() == 0


async def _refuses(running: Program) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_quitting_waits_no_longer_than_it_may(upstream: Start, tmp_path: Path) -> None:
    async with program(tmp_path, [await upstream("a", echo)], workers=2, quit_timeout_s=0.2) as running:
        talker = await tunnel(running)
        running.signal(signal.SIGQUIT)
        assert await running.ended() == 0
        assert await talker.rest() == b""


async def test_who_quits_slowly_can_be_told_to_hurry(upstream: Start, tmp_path: Path) -> None:
    async with program(tmp_path, [await upstream("a", echo)]) as running:
        await tunnel(running)
        running.signal(signal.SIGQUIT)
        await running.says("quitting")
        running.signal(signal.SIGTERM)
        assert await running.ended() == 0


@pytest.mark.parametrize(("persistent", "state"), [(True, "up"), (False, "checking")])
async def test_what_persistent_checks_found_outlives_a_restart(
    upstream: Start, tmp_path: Path, persistent: bool, state: str
) -> None:
    server = await upstream("a")
    check = {"interval_s": 0.1, "timeout_s": 30, "mandatory": True, "persistent": persistent}
    file = str(tmp_path / "state.json")
    async with program(tmp_path, [server], group={"health_check": check}, state_file=file) as running:
        await running.until(lambda: _all_up(running))
        running.signal(signal.SIGTERM)
        assert await running.ended() == 0

        async def silent(up: Upstream, *_: object) -> None:
            await up.release.wait()

        server._handler = silent  # no check can pass from now on
        await running.start()
        assert [peer["state"] for peer in await running.peers()] == [state]
        server.release.set()


async def test_an_address_that_is_given_up_after_an_upgrade_is_free(upstream: Start, tmp_path: Path) -> None:
    """No process of the new program keeps a listening socket that it does not know of."""
    second = free_port()
    async with program(tmp_path, [await upstream("a")], workers=2) as running:
        first = running.settings["listen"]
        running.configure(listen=[first, f"127.0.0.1:{second}"])
        running.signal(signal.SIGHUP)
        await running.until(lambda: listens(second))
        assert (await upgrade(running))[0] == 0
        assert await running.ended() == 0
        running.configure(listen=first)
        running.signal(signal.SIGHUP)
        await running.until(lambda: not listens(second))
        assert await running.bodies(4) == "aaaa"
