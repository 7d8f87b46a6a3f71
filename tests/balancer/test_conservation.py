"""What is taken is given back and what is counted adds up, also where servers, groups and listeners come and go."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.balancer.plan import Plan
from services.balancer.plane.exchange import Exchange
from services.balancer.plane.zone import KeptZone
from services.balancer.server import Balancer
from services.balancer.settings import Settings
from services.balancer.site import build
from services.balancer.status.figures import engine_figures
from services.common import logs
from tests.balancer.programs import Program, program
from tests.balancer.soak.sockets import cut_off
from tests.balancer.support import Running, Upstream, always, answer, eventually, request, running, settings_for
from tests.support.ports import free_port

Start = Callable[..., Awaitable[Upstream]]


async def held(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    """A server that answers when it is told to."""
    await up.release.wait()
    writer.write(answer(up.name.encode()))


async def test_a_request_that_outlives_its_client_keeps_its_place(upstream: Start) -> None:
    server = await upstream("a", held)
    settings = settings_for([server], location={"ignore_client_abort": True}, clients={"connections": 2})
    async with running(settings) as balancer:
        engine = balancer.balancer.engine
        for _ in range(2):
            client = await balancer.client()
            client.send(request("GET", "/"))
            await eventually(lambda: len(server.heads) == len(engine.clients))
            cut_off(client.writer)
        refused = await balancer.client()
        assert (await refused.answer()).status == 503
        refused.close()
        server.release.set()
        await eventually(lambda: not engine.clients)
        assert (await balancer.get()).status == 200


async def test_a_graceful_quit_waits_for_requests_that_outlive_their_clients(upstream: Start) -> None:
    server = await upstream("a", held)
    async with running(settings_for([server], location={"ignore_client_abort": True})) as balancer:
        client = await balancer.client()
        client.send(request("GET", "/"))
        await eventually(lambda: server.heads)
        cut_off(client.writer)
        await eventually(lambda: all(one.transport.remote() is None for one in balancer.balancer.engine.clients))
        draining = asyncio.create_task(balancer.balancer.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        server.release.set()
        await draining
        assert balancer.peer(0).stats.codes == {200: 1}


async def test_nothing_is_kept_of_who_leaves_while_its_rate_makes_it_wait(upstream: Start) -> None:
    limit = {"key": "$arg_k", "per_s": 0.01, "burst": 9}
    async with running(settings_for([await upstream()], location={"rate_limits": [limit]})) as balancer:
        client = await balancer.client()
        client.send(request("GET", "/?k=a") + request("GET", "/?k=a"))
        await client.answer()
        cut_off(client.writer)
        await eventually(lambda: not balancer.balancer.engine.clients)
        await asyncio.sleep(0)
        assert not [one for one in gc.get_objects() if type(one) is Exchange and one.engine is balancer.balancer.engine]


async def test_every_request_is_counted_once_as_its_client_saw_it(upstream: Start) -> None:
    """Also answers that were cut, replaced, or left by their clients, and those of servers that are gone."""
    cut = await upstream("cut", always(answer(b"hello")[:-2], close=True))
    bad = await upstream("bad", always(answer(b"", "500 Bad")))
    endless = await upstream("endless", always(b"HTTP/1.1 200 OK\r\n\r\nforever"))
    good = await upstream("good")
    groups = {up.name: {"servers": [{"address": up.address}]} for up in (cut, bad, endless)}
    groups["good"] = {"servers": [{"address": good.address}, {"address": f"127.0.0.1:{free_port()}"}]}
    page = {"intercept_errors": True, "error_pages": [{"statuses": [500], "to": "@good", "status": "answer"}]}
    locations: list[dict[str, Any]] = [
        *({"path": f"/{name}", "upstream": name} for name in groups),
        {"path": "/plain", "upstream": "bad", "intercept_errors": True},
        {"path": "/page", "upstream": "bad", **page},
        {"path": "@good", "upstream": "good"},
    ]
    async with serving(upstreams=groups, locations=locations) as balancer:
        for path in ("/cut", "/bad", "/plain", "/page", "/good", "/good", "/nowhere", "/endless"):
            client = await balancer.client()
            client.send(request("GET", path))
            with contextlib.suppress(asyncio.IncompleteReadError):
                if path == "/endless":
                    await client.reader.readuntil(b"forever")
                else:
                    await client.answer()
            cut_off(client.writer)
        await eventually(lambda: not balancer.balancer.engine.clients)
        group = balancer.balancer.groups["good"]
        for peer in group.peers[:1]:
            group.remove(peer)
        figures = engine_figures(balancer.balancer.engine)
        assert figures.codes == {200: 5, 404: 1, 500: 2}
        assert figures.requests == sum(figures.codes.values())


async def test_a_connection_to_a_server_that_is_gone_is_not_kept(upstream: Start) -> None:
    gone, stays = await upstream("gone", held), await upstream("stays")
    async with running(settings_for([gone])) as balancer:
        client = await balancer.client()
        client.send(request("GET", "/"))
        await eventually(lambda: gone.heads)
        await balancer.balancer.reload(build(settings_for([stays])))
        gone.release.set()
        assert (await client.answer()).body == b"gone"
        await eventually(lambda: not gone.open_connections)
        assert balancer.balancer.engine.pools["app"].idle == 0
        assert (await client.get()).body == b"stays"


async def test_a_reload_that_takes_a_listener_away_lets_its_clients_go(upstream: Start) -> None:
    """What is in progress there ends as it can, even where an error would lead to a group that is gone as well."""
    server, reserve = await upstream("a", held), await upstream("r")
    here, there = (f"127.0.0.1:{free_port()}" for _ in range(2))
    pages = {"error_pages": [{"statuses": [502], "to": "@reserve"}]}
    limited = {"conn_limits": [{"key": "$server_port", "most": 1, "zone": "port"}]}
    groups = {name: {"servers": [{"address": up.address}]} for name, up in (("app", server), ("reserve", reserve))}
    both = [
        {"path": "/", "upstream": "app", **pages, **limited}, {"path": "@reserve", "upstream": "reserve"},
    ]  # fmt: skip
    only = {"listen": here, "locations": [{"path": "/", "upstream": "app"}]}
    before = {"upstreams": groups, "sites": [only, {"listen": there, "locations": both}]}
    async with serving(**before) as balancer:
        balancer.port = int(there.rpartition(":")[2])
        idle, busy = await balancer.client(), await balancer.client()
        busy.send(request("GET", "/"))
        await eventually(lambda: server.heads and len(balancer.balancer.engine.clients) == 2)
        await balancer.balancer.reload(plan_of(upstreams={"app": groups["app"]}, sites=[only]))
        assert await idle.rest() == b""
        await server.stop()
        assert (await busy.answer()).status == 500
        assert await busy.rest() == b""
        assert balancer.balancer.engine.places.take(("port", there.rpartition(":")[2].encode()), 1)


@pytest.mark.parametrize("zone", [False, True])
async def test_a_slot_that_the_first_in_the_queue_cannot_use_goes_to_the_next(upstream: Start, zone: bool) -> None:
    """It has failed there already; and it does not wait for longer than it may because it is asked again and again."""

    async def fickle(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        if b"/fails" in head:
            writer.close()
        else:
            await held(up, reader, writer, head)

    servers = [await upstream("fickle", fickle), await upstream("good", held)]
    fickle_one, good = servers
    group = {"queue": {"size": 5, "timeout_s": 1.0}, "zone": zone, "method": "round_robin"}
    plan = build(settings_for(servers, server={"max_conns": 1, "max_fails": 0}, group=group))
    async with in_memory(plan, zone=zone) as balancer:
        queue = balancer.balancer.engine.pools["app"].waiting
        clients = [await balancer.client() for _ in range(4)]
        clients[0].send(request("GET", "/fails"))
        await eventually(lambda: good.heads)
        clients[1].send(request("GET", "/fails"))
        await eventually(lambda: len(queue) == 1)
        clients[2].send(request("GET", "/"))
        await eventually(lambda: len(fickle_one.heads) == 3)
        clients[3].send(request("GET", "/"))
        await eventually(lambda: len(queue) == 2)
        fickle_one.release.set()
        assert [(await clients[number].answer()).body for number in (2, 3)] == [b"fickle"] * 2
        assert (await clients[1].answer()).status == 502, "its time is up"
        good.release.set()
        assert (await clients[0].answer()).body == b"good"


@contextlib.asynccontextmanager
async def in_memory(plan: Plan, *, zone: bool) -> AsyncIterator[Running]:
    """A balancer that shares its group ``app`` with nobody, if need be."""
    with contextlib.closing(KeptZone.create("app")) as memory:
        memory.grant(0, ())
        balancer = Balancer(plan, logs.get("balancer"), zones={"app": memory} if zone else {})
        await balancer.start()
        handle = Running(balancer)
        try:
            yield handle
        finally:
            await handle.stop()


async def test_who_waits_hears_of_room_that_a_change_has_made(upstream: Start) -> None:
    server = await upstream("a", held)
    settings = settings_for([server], server={"max_conns": 1}, group={"queue": {"size": 5, "timeout_s": 30}})
    more = settings_for([server], server={"max_conns": 3}, group={"queue": {"size": 5, "timeout_s": 30}})
    async with running(settings) as balancer:
        for _ in range(3):
            (await balancer.client()).send(request("GET", "/"))
        await eventually(lambda: len(balancer.balancer.engine.pools["app"].waiting) == 2)
        await balancer.balancer.reload(build(more))
        await eventually(lambda: len(server.heads) == 3)
        server.release.set()


@pytest.mark.parametrize("zone", [False, True])
async def test_workers_let_go_what_belonged_to_groups_that_changed(upstream: Start, tmp_path: Path, zone: bool) -> None:
    """A group that is shared from now on, or no longer, has other servers under the numbers of the old ones."""
    a, b = await upstream("a"), await upstream("b")
    async with program(tmp_path, [a], workers=2, group={"zone": zone}) as running:
        before = zones_of(running)
        clients = [await running.client() for _ in range(8)]
        assert {(await client.get()).body for client in clients} == {b"a"}
        for servers, now in (([b], not zone), ([a], zone)):
            reloads = reloads_of(running)
            running.configure(upstreams=groups_of(servers, zone=now))
            running.signal(signal.SIGHUP)
            await running.until(functools.partial(reloaded_more_than, running, reloads))
            assert {(await client.get()).body for client in clients} == {servers[0].name.encode()}
        await running.until(lambda: zones_of(running) == before)


def reloads_of(running: Program) -> int:
    return running.log.read_text().count("settings reloaded")


def reloaded_more_than(running: Program, count: int) -> bool:
    return reloads_of(running) > count


def groups_of(servers: list[Upstream], *, zone: bool) -> dict[str, Any]:
    return {"app": {"servers": [{"address": up.address} for up in servers], "zone": zone}}


def zones_of(running: Program) -> int:
    """How many descriptors of zones the workers have."""
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    names = [str(entry.readlink()) for pid in children for entry in Path(f"/proc/{pid}/fd").iterdir()]
    return sum("balancer-zone" in name for name in names)


def plan_of(**value: Any) -> Plan:
    return build(msgspec.convert(value, Settings))


@contextlib.asynccontextmanager
async def serving(**value: Any) -> AsyncIterator[Running]:
    value = {"listen": "127.0.0.1:0", **value} if "sites" not in value else value
    async with running(msgspec.convert(value, Settings)) as balancer:
        yield balancer
