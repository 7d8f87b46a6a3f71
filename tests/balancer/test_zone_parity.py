"""The same nginx.conf behind two workers of a real nginx and of balancer-lite: what ``zone`` changes, and what not."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from services.balancer.pidfile import read_pid
from tests.balancer.programs import COMMAND
from tests.balancer.support import Upstream, answer, eventually, request
from tests.balancer.test_nginx_parity import TOP, Front, nginx, upstream_block
from tests.support.ports import free_port

Start = Callable[..., Awaitable[Upstream]]
TWO = TOP.replace("worker_processes 1", "worker_processes 2")
# nginx spreads clients over its workers as we do only when it is told to
SERVER = "server { listen LISTEN reuseport; location / { proxy_pass http://app; } }"


@contextlib.asynccontextmanager
async def balancer(directory: Path, text: str) -> AsyncIterator[Front]:
    port, pid_file = free_port(), directory / "ours" / "pid"
    pid_file.parent.mkdir()
    config = directory / "ours.conf"
    config.write_text(TWO.format(dir=pid_file.parent, http=text.replace("LISTEN", f"127.0.0.1:{port}")))
    process = await asyncio.create_subprocess_exec(COMMAND, "--config", str(config))
    try:
        await eventually(lambda: read_pid(pid_file) == process.pid, 30)
        yield Front(port, directory / "ours.log")
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nginx-zone-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def test_workers_with_a_zone_take_turns_like_one(upstream: Start, directory: Path) -> None:
    servers = [await upstream(name) for name in "abc"]
    text = upstream_block(servers, ["weight=5", "", "weight=2"], "zone app 64k;") + SERVER
    async with nginx(directory, text, TWO) as theirs, balancer(directory, text) as ours:
        assert await ours.bodies(24) == await theirs.bodies(24)


@pytest.mark.parametrize("weights", [["", "", ""], ["weight=3", "weight=2", ""]])
async def test_connections_of_all_workers_count(upstream: Start, directory: Path, weights: list[str]) -> None:
    """Requests that stay: which server gets the next one hangs on those that the other worker has in progress."""
    chosen: list[str] = []

    async def hold(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        chosen.append(up.name)
        await up.release.wait()
        writer.write(answer(b""))

    servers = [await upstream(name, hold) for name in "abc"]
    text = upstream_block(servers, weights, "zone app 64k; least_conn;") + SERVER
    seen = []
    async with nginx(directory, text, TWO) as theirs, balancer(directory, text) as ours:
        for front in (theirs, ours):
            chosen.clear()
            clients = [await front.client() for _ in range(18)]
            for count, client in enumerate(clients, 1):
                client.send(request("GET", "/"))
                await eventually(lambda count=count: len(chosen) == count, 20)
            seen.append(chosen.copy())
            for client in clients:
                client.writer.transport.abort()
    assert seen[0] == seen[1]
    for server in servers:
        server.release.set()


@pytest.mark.parametrize(("zone", "reached"), [("zone app 64k;", 2), ("", 4)])
async def test_as_many_requests_reach_a_broken_server(
    upstream: Start, directory: Path, zone: str, reached: int
) -> None:
    """max_fails counts for all workers together in a zone, in each worker without."""

    async def slam(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.transport.abort()

    broken, sound = await upstream("a", slam), await upstream("b")
    text = upstream_block([broken, sound], ["max_fails=2 fail_timeout=60", ""], zone) + SERVER
    async with nginx(directory, text, TWO) as theirs, balancer(directory, text) as ours:
        for front in (theirs, ours):
            broken.heads.clear()
            assert await front.bodies(60) == "b" * 60
            assert len(broken.heads) == reached
