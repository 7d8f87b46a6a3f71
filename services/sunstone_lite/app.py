"""The web application: parts put together, routes, and the life of background work."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from services.common.oned import OnedClient
from services.sunstone_lite import assets, i18n, kinds, middleware
from services.sunstone_lite.cache import Cache
from services.sunstone_lite.connections import Usher
from services.sunstone_lite.delegation import Delegate, ServerCipher
from services.sunstone_lite.metrics import Metrics
from services.sunstone_lite.rendering import Pages
from services.sunstone_lite.sessions import Sessions
from services.sunstone_lite.settings import Settings
from services.sunstone_lite.site import SITE, Site
from services.sunstone_lite.throttle import Throttle
from services.sunstone_lite.views import actions, create, dashboard, health, login, objects, preferences
from services.sunstone_lite.watch import Watch

BODY_MAX = 128 * 1024
ONED_TIMEOUT_S = 10.0


def create_app(settings: Settings, clock: Callable[[], float] = time.time) -> web.Application:
    """The application for `settings`; `clock` gives epoch seconds."""
    site = _assemble(settings, clock)
    app = web.Application(
        middlewares=[middleware.observe, middleware.identify, middleware.guard], client_max_size=BODY_MAX
    )
    app[SITE] = site
    app.add_routes(_routes())
    app.cleanup_ctx.append(_background)
    return app


def _assemble(settings: Settings, clock: Callable[[], float]) -> Site:
    static = assets.load()
    cache = Cache(settings.cache, settings.cache_namespace)
    client = OnedClient(settings.oned, timeout_s=ONED_TIMEOUT_S)
    credentials = settings.server_credentials
    watch = Watch(settings.oned)
    return Site(
        settings=settings,
        pages=Pages(i18n.load(), static, settings.title),
        assets=static,
        cache=cache,
        sessions=Sessions(cache, settings.session, clock),
        throttle=Throttle(cache),
        delegate=Delegate(client, ServerCipher.from_file(credentials) if credentials else None, clock),
        client=client,
        watch=watch,
        metrics=Metrics(watch),
        usher=Usher(),
        clock=clock,
    )


def _routes() -> list[web.RouteDef]:
    any_kind = "{kind:" + "|".join(kinds.KINDS) + "}"
    return [
        web.get("/", dashboard.show),
        web.get("/login", login.form),
        web.post("/login", login.submit),
        web.post("/logout", login.leave),
        web.post("/preferences", preferences.submit),
        web.get("/healthz", health.healthz),
        web.get("/metrics", health.metrics),
        web.get("/static/{path:.+}", health.static),
        web.get("/templates/{oid:\\d{1,9}}/instantiate", create.instantiate_blank),
        web.post("/templates/{oid:\\d{1,9}}/instantiate", create.instantiate),
        web.get(f"/{any_kind}", objects.listed),
        web.get(f"/{any_kind}/new", create.blank),
        web.post(f"/{any_kind}/new", create.submit),
        web.post(f"/{any_kind}/actions", actions.submit),
        web.get(f"/{any_kind}/{{oid:\\d{{1,9}}}}", objects.detail),
    ]


async def _background(app: web.Application) -> AsyncIterator[None]:
    site = app[SITE]
    watching = asyncio.create_task(site.watch.run(), name="watch")
    yield
    watching.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    site.cache.close()
