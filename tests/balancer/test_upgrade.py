"""Quitting gracefully, and replacing the program while clients are at it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.balancer.programs import COMMAND, Program, program
from tests.balancer.support import RawClient, Upstream, answer, request

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
        assert now["requests"] >= 8 and not (tmp_path / "pid.oldbin").exists()


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
                assert supervisor.recv(100).decode() == f"READY=1\nMAINPID={old}"
                await upgrade(running)
                assert supervisor.recv(100).decode() == f"READY=1\nMAINPID={running.pid}"
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
