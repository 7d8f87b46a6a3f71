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
from tests.balancer.support import Upstream, eventually
from tests.balancer.test_nginx_parity import TOP, Front, free_port, nginx, upstream_block

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
        yield Front(port)
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nginx-zone-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("method", ["", "least_conn;"])
async def test_workers_with_a_zone_choose_the_same_peers(upstream: Start, directory: Path, method: str) -> None:
    servers = [await upstream(name) for name in "abc"]
    text = upstream_block(servers, ["weight=5", "", "weight=2"], f"zone app 64k; {method}") + SERVER
    async with nginx(directory, text, TWO) as theirs, balancer(directory, text) as ours:
        assert await ours.bodies(24) == await theirs.bodies(24)


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
