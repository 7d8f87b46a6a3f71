"""What the data plane's own sockets do where other tests do not look: no descriptors left, and servers known by name."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from services.balancer.settings import Settings
from tests.balancer.programs import program
from tests.balancer.support import Upstream, running

Start = Callable[..., Awaitable[Upstream]]


async def test_who_comes_when_no_descriptor_is_left_waits_and_is_served_later(upstream: Start, tmp_path: Path) -> None:
    async with program(tmp_path, [await upstream()]) as balancer:
        usual = resource.prlimit(balancer.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(balancer.pid, resource.RLIMIT_NOFILE, (free_descriptors(balancer.pid, 3), usual[1]))
        clients = [await balancer.client() for _ in range(8)]
        await balancer.says("cannot accept")
        resource.prlimit(balancer.pid, resource.RLIMIT_NOFILE, usual)
        answers = await asyncio.gather(*(client.get() for client in clients))
        assert [answer.body for answer in answers] == [b"a"] * 8


def free_descriptors(pid: int, count: int) -> int:
    """The limit under which a process can open just so many more."""
    used = {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    return [number for number in range(len(used) + count + 1) if number not in used][count]


async def test_a_server_may_be_given_by_name(upstream: Start) -> None:
    up = await upstream()
    async with running(with_servers({"address": f"localhost:{up.port}"})) as balancer:
        assert (await balancer.get()).body == b"a"


async def test_a_name_that_nobody_knows_is_a_failure_of_its_server(upstream: Start) -> None:
    up = await upstream()
    servers = [{"address": "nobody.invalid:80", "max_fails": 1}, {"address": up.address}]
    async with running(with_servers(*servers)) as balancer:
        assert [(await balancer.get()).body for _ in range(3)] == [b"a"] * 3
        assert balancer.peer(0).stats.failures == 1


def with_servers(*servers: dict[str, object]) -> Settings:
    groups, locations = {"app": {"servers": servers}}, [{"path": "/", "upstream": "app"}]
    return msgspec.convert({"listen": "127.0.0.1:0", "upstreams": groups, "locations": locations}, Settings)
