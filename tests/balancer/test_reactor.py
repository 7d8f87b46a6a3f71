"""What the data plane's own sockets do where other tests do not look: no descriptors left, and servers known by name."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from services.balancer.settings import Settings
from tests.balancer.programs import program
from tests.balancer.support import RawClient, Upstream, running

Start = Callable[..., Awaitable[Upstream]]


@pytest.mark.parametrize("secured", [False, True])
async def test_who_comes_when_no_descriptor_is_left_waits_and_is_served_later(
    upstream: Start, tmp_path: Path, certificates: Path, secured: bool
) -> None:
    certificate = certificates / "one.example.pem"
    tls = {"tls": {"certificate": str(certificate), "key": str(certificate.with_suffix(".key"))}} if secured else {}
    context = ssl.create_default_context(cafile=str(certificate)) if secured else None
    async with program(tmp_path, [await upstream()], **tls) as balancer:
        with descriptors_below(balancer.pid, free_descriptors(balancer.pid, 3)):
            coming = [asyncio.create_task(visit(balancer.port, context)) for _ in range(8)]
            await balancer.says("cannot accept")
        clients = await asyncio.gather(*coming)
        assert [(await client.get()).body for client in clients] == [b"a"] * 8
        for client in clients:
            client.writer.transport.abort()


async def visit(port: int, context: ssl.SSLContext | None) -> RawClient:
    name = "one.example" if context is not None else None
    return RawClient(*await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name))


async def test_servers_are_not_charged_for_descriptors_that_we_lack(upstream: Start, tmp_path: Path) -> None:
    """As in nginx the answer is 500 then; and once there are descriptors again, all servers are asked."""
    servers = [await upstream("a"), await upstream("b")]
    async with program(tmp_path, servers, group={"keepalive": {"connections": 0}}) as balancer:
        clients = [await balancer.client() for _ in range(2)]
        assert {(await client.get()).body for client in clients} == {b"a", b"b"}
        with descriptors_below(balancer.pid, 3):
            assert [(await client.get()).status for client in clients] == [500, 500]
        assert set(await balancer.bodies(2)) == {"a", "b"}
        assert [(peer["failures"], peer["active"]) for peer in await balancer.peers()] == [(0, 0)] * 2


@contextlib.contextmanager
def descriptors_below(pid: int, limit: int) -> Iterator[None]:
    """A process can open none that would have a higher number meanwhile."""
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, usual[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)


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
