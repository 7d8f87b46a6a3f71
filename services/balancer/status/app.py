"""The status listener: dashboard, JSON, health, metrics, and the runtime API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec
from aiohttp import web

from services.balancer.core.addresses import EXPECTED, valid_address
from services.balancer.core.peers import Peer, PeerSettings
from services.balancer.fleet import Fleet, WorkerView
from services.balancer.settings import Server
from services.balancer.status.changes import Changes, ServerChange
from services.balancer.status.figures import Figures, GroupFigures
from services.balancer.status.metrics import metrics_text
from services.balancer.status.view import PeerView, StatusView, peer_view, status_view
from services.common.metrics import CONTENT_TYPE

_PAGE = Path(__file__).with_name("dashboard.html")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
MAX_BODY = 1 << 16

T = TypeVar("T")


class Whole(Protocol):
    """The program: the fleet that serves, and those before it that still have clients."""

    async def figures(self) -> Figures: ...

    def workers(self) -> list[WorkerView]: ...

    async def reload(self) -> None:
        """Read the settings file again; raises ValueError with the reason why not."""


class StatusApp:
    """Routes of the status listener; ``changes`` may be replaced by those of another fleet."""

    def __init__(self, changes: Changes, whole: Whole) -> None:
        self.changes = changes
        self._whole = whole
        self._started_at = changes.fleet.time()
        self._page = _PAGE.read_text()

    @property
    def _fleet(self) -> Fleet:
        return self.changes.fleet

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
        """200 while connections are accepted; names the groups in which no peer may be asked."""
        serving, now, figures = self._fleet.serving, int(self._fleet.time()), await self._whole.figures()
        dead = [
            name
            for name, group in self._fleet.groups.items()
            if not any(peer.eligible(0, now) and not _out(figures, name, peer) for peer in group.peers)
        ]
        return _json({"ok": serving, "groups_without_live_peer": dead}, status=200 if serving else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        text = metrics_text(await self._view())
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def _status(self, _: web.Request) -> web.Response:
        return _json(await self._view())

    async def _view(self) -> StatusView:
        figures = await self._whole.figures()
        return status_view(self._fleet, figures, self._whole.workers(), self._fleet.time() - self._started_at)

    async def _peers(self, name: str, peers: Iterable[Peer]) -> list[PeerView]:
        figures, group = (await self._whole.figures()).groups.get(name) or GroupFigures(), self.changes.group(name)
        return [peer_view(group, peer, figures, self._fleet.time()) for peer in peers]

    # Runtime API

    async def _servers(self, request: web.Request) -> web.Response:
        name = request.match_info["group"]
        return _json(await self._peers(name, self.changes.group(name).peers))

    async def _add(self, request: web.Request) -> web.Response:
        server = await _decoded(request, Server)
        if not valid_address(server.address):
            raise ValueError(f"{EXPECTED}, got {server.address!r}")
        settings = PeerSettings(**{name: getattr(server, name) for name in server.__struct_fields__})
        name = request.match_info["group"]
        peer = self.changes.add(name, settings)
        return _json((await self._peers(name, [peer]))[0], status=201)

    async def _change(self, request: web.Request) -> web.Response:
        change = await _decoded(request, ServerChange)
        name = request.match_info["group"]
        peer = self.changes.change(name, int(request.match_info["id"]), change)
        return _json((await self._peers(name, [peer]))[0])

    async def _remove(self, request: web.Request) -> web.Response:
        _refuse_forms(request)
        self.changes.remove(request.match_info["group"], int(request.match_info["id"]))
        return web.Response(status=204)

    async def _reload_now(self, request: web.Request) -> web.Response:
        _refuse_forms(request)
        await self._whole.reload()
        return _json({"ok": True})


def _out(figures: Figures, group: str, peer: Peer) -> bool:
    """Whether passive checks of a worker keep requests away from a peer."""
    seen = figures.groups.get(group)
    return seen is not None and peer.id in seen.peers and seen.peers[peer.id].out


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
