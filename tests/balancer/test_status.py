"""The status listener: JSON, metrics, dashboard, and changes at run time."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

from services.balancer.core.peers import State
from services.balancer.settings import Settings
from services.balancer.status.changes import Changes
from services.balancer.status.listener import StatusListener
from tests.balancer.support import Running, Upstream, eventually, running, settings_for

Start = Callable[..., Awaitable[Upstream]]


class Api:
    """A client of the status listener."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self._base = f"http://127.0.0.1:{port}"

    async def call(self, method: str, path: str, value: object = None, **more: Any) -> tuple[int, Any]:
        more = {"json": value, **more} if value is not None else more
        async with self._session.request(method, self._base + path, **more) as got:
            text = await got.text()
            return got.status, await got.json() if got.content_type == "application/json" else text


class Alone:
    """A balancer as the status listener sees it, without the program around it."""

    def __init__(self, running: Running) -> None:
        self.figures = running.balancer.figures
        self.workers = running.balancer.workers

    async def reload(self) -> None:
        raise ValueError("nothing to reload in this test")


@contextlib.asynccontextmanager
async def status_of(settings: Settings, state_file: Path | None = None) -> AsyncIterator[tuple[Running, Api]]:
    async with running(settings) as balancer, aiohttp.ClientSession() as session:
        changes = Changes(balancer.balancer, state_file)
        changes.restore()
        listener = StatusListener(changes, Alone(balancer))
        port = await listener.open(settings)
        try:
            yield balancer, Api(session, port)
        finally:
            await listener.close()


async def test_json_metrics_and_dashboard_tell_the_same(upstream: Start) -> None:
    server = await upstream("a")
    async with status_of(settings_for([server], status="127.0.0.1:0")) as (balancer, api):
        for _ in range(3):
            await balancer.get()
        _, status = await api.call("GET", "/api/status")
        peer = status["upstreams"]["app"]["peers"][0]
        assert (peer["state"], peer["requests"], peer["responses"]["2xx"], peer["codes"]) == ("up", 3, 3, {"200": 3})
        assert status["statuses"]["2xx"] == 3 and status["requests"] == 3
        _, text = await api.call("GET", "/metrics")
        assert f'balancer_peer_requests_total{{upstream="app",peer="{server.address}"}} 3' in text
        assert f'balancer_peer_state{{upstream="app",peer="{server.address}",state="up"}} 1' in text
        assert (await api.call("GET", "/healthz"))[0] == 200
        assert "<title>Balancer</title>" in (await api.call("GET", "/"))[1]


async def test_servers_are_added_drained_and_removed_while_requests_flow(upstream: Start) -> None:
    a, b = await upstream("a"), await upstream("b")
    async with status_of(settings_for([a], status="127.0.0.1:0")) as (balancer, api):
        path = "/api/upstreams/app/servers"
        code, added = await api.call("POST", path, {"address": b.address, "weight": 2})
        assert (code, added["state"]) == (201, "up")
        assert {(await balancer.get()).body for _ in range(6)} == {b"a", b"b"}
        code, changed = await api.call("PATCH", f"{path}/0", {"drain": True})
        assert (code, changed["state"]) == (200, "draining")
        assert {(await balancer.get()).body for _ in range(4)} == {b"b"}
        assert (await api.call("PATCH", f"{path}/0", {"drain": False, "weight": 5}))[1]["weight"] == 5
        assert (await api.call("DELETE", f"{path}/0", {}))[0] == 204
        assert {(await balancer.get()).body for _ in range(4)} == {b"b"}
        assert len((await api.call("GET", path))[1]) == 1


async def test_bad_changes_are_refused_with_a_reason(upstream: Start) -> None:
    server = await upstream("a")
    async with status_of(settings_for([server], status="127.0.0.1:0")) as (_, api):
        path = "/api/upstreams/app/servers"
        for method, where, value, code, word in [
            ("POST", path, {"address": server.address}, 400, "already"),
            ("POST", path, {"address": "nonsense"}, 400, "HOST:PORT"),
            ("POST", path, {"address": "x:1", "wieght": 2}, 400, "wieght"),
            ("PATCH", f"{path}/0", {"weight": 0}, 400, "at least 1"),
            ("PATCH", f"{path}/9", {"drain": True}, 404, "no server 9"),
            ("DELETE", f"{path}/0", {}, 400, "last server"),
            ("GET", "/api/upstreams/nope/servers", None, 404, "nope"),
        ]:
            got = await api.call(method, where, value)
            assert got[0] == code and word in got[1]["error"], (method, where, got)
        assert (await api.call("PATCH", f"{path}/0", data="drain=true"))[0] == 400


async def test_changes_survive_a_restart_when_a_state_file_is_set(upstream: Start, tmp_path: Path) -> None:
    a, b = await upstream("a"), await upstream("b")
    settings = settings_for([a], status="127.0.0.1:0")
    async with status_of(settings, tmp_path / "state.json") as (_, api):
        await api.call("POST", "/api/upstreams/app/servers", {"address": b.address})
        await api.call("PATCH", "/api/upstreams/app/servers/0", {"drain": True})
    async with status_of(settings, tmp_path / "state.json") as (balancer, _):
        assert [peer.state(0) for peer in balancer.balancer.engine.pools["app"].group.peers] == [
            State.DRAINING,
            State.UP,
        ]
        assert (await balancer.get()).body == b"b"


async def test_a_reload_keeps_connections_and_what_is_known_of_peers(upstream: Start) -> None:
    from services.balancer.site import build

    dead, a, b = await upstream("dead"), await upstream("a"), await upstream("b")
    await dead.stop()
    server = {"max_fails": 1, "fail_timeout_s": 60}
    async with running(settings_for([dead, a], server=server)) as balancer:
        client = await balancer.client()
        assert (await client.get()).body == b"a"
        await eventually(lambda: balancer.peer(0).state(int(balancer.balancer.engine.time())) is State.UNAVAIL)
        await balancer.balancer.reload(build(settings_for([dead, b], server=server)))
        assert [(await client.get()).body for _ in range(3)] == [b"b"] * 3
        assert balancer.peer(0).state(int(balancer.balancer.engine.time())) is State.UNAVAIL
