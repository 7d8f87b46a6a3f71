"""The status listener: dashboard, JSON, health, metrics, and the runtime API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from aiohttp import web

from services.balancer.core.peers import PeerSettings
from services.balancer.server import Balancer
from services.balancer.settings import Server
from services.balancer.site import valid_address
from services.balancer.status.changes import Changes, ServerChange
from services.balancer.status.metrics import metrics_text
from services.balancer.status.view import StatusView, peer_view, status_view
from services.common.metrics import CONTENT_TYPE

_PAGE = Path(__file__).with_name("dashboard.html")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
MAX_BODY = 1 << 16

T = TypeVar("T")
Reload = Callable[[], Awaitable[None]]


class StatusApp:
    """Routes of the status listener. ``reload`` reads the settings file again and raises ValueError with the reason."""

    def __init__(self, balancer: Balancer, changes: Changes, reload: Reload) -> None:
        self._balancer = balancer
        self._changes = changes
        self._reload = reload
        self._started_at = balancer.engine.time()
        self._page = _PAGE.read_text()

    def application(self, *, writable: bool) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY, middlewares=[_plain_errors])
        app.router.add_get("/", self._dashboard)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/api/status", self._status)
        app.router.add_get("/api/upstreams/{group}/servers", self._servers)
        if writable:
            app.router.add_post("/api/upstreams/{group}/servers", self._add)
            app.router.add_patch("/api/upstreams/{group}/servers/{id:\\d+}", self._change)
            app.router.add_delete("/api/upstreams/{group}/servers/{id:\\d+}", self._remove)
            app.router.add_post("/api/reload", self._reload_now)
        return app

    async def _dashboard(self, _: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}
        return web.Response(text=self._page, content_type="text/html", headers=headers)

    async def _healthz(self, _: web.Request) -> web.Response:
        """200 while the listeners are open and every group has a peer that may be asked."""
        engine = self._balancer.engine
        now = int(engine.time())
        dead = [group.name for group in engine.groups() if not any(peer.eligible(0, now) for peer in group.peers)]
        body = {"ok": not engine.closing, "groups_without_live_peer": dead}
        return _json(body, status=503 if engine.closing else 200)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=metrics_text(self._view()).encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _status(self, _: web.Request) -> web.Response:
        return _json(self._view())

    def _view(self) -> StatusView:
        return status_view(self._balancer.engine, self._started_at, self._balancer.ports)

    # Runtime API

    async def _servers(self, request: web.Request) -> web.Response:
        group = self._changes.group(request.match_info["group"])
        now = self._balancer.engine.time()
        return _json([peer_view(group, peer, now) for peer in group.peers])

    async def _add(self, request: web.Request) -> web.Response:
        server = await _decoded(request, Server)
        if not valid_address(server.address):
            raise ValueError(f"expected HOST:PORT, got {server.address!r}")
        settings = PeerSettings(**{name: getattr(server, name) for name in server.__struct_fields__})
        group = self._changes.group(request.match_info["group"])
        peer = self._changes.add(group.name, settings)
        return _json(peer_view(group, peer, self._balancer.engine.time()), status=201)

    async def _change(self, request: web.Request) -> web.Response:
        change = await _decoded(request, ServerChange)
        group = self._changes.group(request.match_info["group"])
        peer = self._changes.change(group.name, int(request.match_info["id"]), change)
        return _json(peer_view(group, peer, self._balancer.engine.time()))

    async def _remove(self, request: web.Request) -> web.Response:
        _refuse_forms(request)
        self._changes.remove(request.match_info["group"], int(request.match_info["id"]))
        return web.Response(status=204)

    async def _reload_now(self, request: web.Request) -> web.Response:
        _refuse_forms(request)
        await self._reload()
        return _json({"ok": True})


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json", status=status)


async def _decoded(request: web.Request, schema: type[T]) -> T:
    _refuse_forms(request)
    return msgspec.json.decode(await request.read(), type=schema)


def _refuse_forms(request: web.Request) -> None:
    """A page of another site can make a browser send forms here, but not this content type unasked."""
    if request.content_type != "application/json":
        raise ValueError("send Content-Type: application/json")


@web.middleware
async def _plain_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Errors of the API as JSON with one clear line."""
    try:
        return await handler(request)
    except LookupError as error:
        return _json({"error": str(error.args[0])}, status=404)
    except (ValueError, OSError) as error:
        return _json({"error": str(error)}, status=400)
