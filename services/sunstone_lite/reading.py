"""Reading objects from oned as the signed-in user."""

import asyncio

from aiohttp import web

from services.common.oned import OnedError
from services.sunstone_lite import kinds, problems
from services.sunstone_lite.items import Item, parse
from services.sunstone_lite.kinds import Call, Kind
from services.sunstone_lite.site import session_string, site_of

# parsing more than this on the event loop would be felt by other visitors
PARSE_INLINE_MAX = 256 * 1024


async def call(request: web.Request, wanted: Call) -> object:
    """The answer to one call. Raises what `OnedClient.call` does."""
    return await site_of(request).client.call(session_string(request), wanted.method, *wanted.params)


async def pool(request: web.Request, kind: Kind) -> tuple[Item, ...]:
    """Every object of a kind that the user may see."""
    xml = str(await call(request, kind.pool))
    root = await asyncio.to_thread(parse, xml) if len(xml) > PARSE_INLINE_MAX else parse(xml)
    return root.all(kind.tag)


async def pools(request: web.Request, *keys: str) -> dict[str, tuple[Item, ...]]:
    """Several pools at once, by the kinds' keys; one that the daemon refuses counts as empty.

    For pages that are about something else: one refusal must not hide the rest.
    """

    async def granted(key: str) -> tuple[Item, ...]:
        try:
            return await pool(request, kinds.KINDS[key])
        except OnedError as error:
            if problems.is_authentication(error):
                raise
            return ()

    found = await asyncio.gather(*map(granted, keys))
    return dict(zip(keys, found, strict=True))


async def one(request: web.Request, kind: Kind, oid: int) -> Item:
    """One object in full."""
    return parse(str(await call(request, Call(kind.info, (oid,)))))


def kind_of(request: web.Request) -> Kind:
    """The kind named in the path; 404 when there is none."""
    found = kinds.KINDS.get(request.match_info["kind"])
    if found is None:
        raise web.HTTPNotFound
    return found


def oid_of(request: web.Request) -> int:
    """The object id in the path."""
    return int(request.match_info["oid"])
