"""For machines: health, metrics and static files."""

import asyncio

from aiohttp import web

from services.common.metrics import CONTENT_TYPE
from services.sunstone_lite.site import site_of

STATIC_LIFE = "public, max-age=31536000, immutable"


async def healthz(request: web.Request) -> web.Response:
    """200 when people can be served: at least one cache server and one oned answer. JSON names each part."""
    site = site_of(request)
    caches = await asyncio.wait_for(site.cache.reachable(), 2.0)
    oneds = {url: status.role for url, status in site.watch.known.items()}
    ready = any(caches.values()) and any(role != "away" for role in oneds.values())
    body = {
        "ready": ready,
        "name": site.settings.served_by,
        "cache": caches,
        "oned": oneds,
        "leader": site.watch.leader,
    }
    return web.json_response(body, status=200 if ready else 503)


async def metrics(request: web.Request) -> web.Response:
    """Metrics for Prometheus."""
    return web.Response(body=site_of(request).metrics.render(), headers={"Content-Type": CONTENT_TYPE})


async def static(request: web.Request) -> web.Response:
    """A file of the UI; its URL changes with its content, so it may be kept for ever."""
    asset = site_of(request).assets.by_url.get(request.path)
    if asset is None:
        raise web.HTTPNotFound
    headers = {"Cache-Control": STATIC_LIFE, "Content-Type": asset.content_type}
    if asset.content_type.startswith("text/"):
        headers["Content-Type"] += "; charset=utf-8"
    return web.Response(body=asset.body, headers=headers)
