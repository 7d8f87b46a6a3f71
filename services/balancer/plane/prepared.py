"""A request head made ready: parsed, routed, and its upstream head composed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from services.balancer.compose import compose_head, framing_lines
from services.balancer.core.paths import BadPath, normalise
from services.balancer.core.variables import Client, Names, Outcome, Part, join_parts
from services.balancer.site import ListenerPlan, Route
from services.balancer.wire.fields import FramingError
from services.balancer.wire.request import RequestHead

if TYPE_CHECKING:
    from services.balancer.plane.pool import Pool


@dataclass(slots=True, eq=False)
class Prepared:
    """``head`` is complete when the request has no body; ``pool`` is None when the balancer answers itself."""

    request: RequestHead
    route: Route
    pool: Pool | None
    head: tuple[Part, ...]
    reusable: bool


@dataclass(frozen=True, slots=True)
class _Early:
    """The scope at the time a head is composed: nothing has happened yet."""

    request: RequestHead
    client: Client
    names: Names

    @property
    def outcome(self) -> NoReturn:
        raise LookupError("a variable of the outcome was asked for before there is one")


def prepare(plan: ListenerPlan, pools: dict[str, Pool], request: RequestHead, client: Client) -> Prepared:
    """Route a request; raises FramingError with the status to answer."""
    try:
        path = normalise(request.path)
    except BadPath as error:
        raise FramingError(str(error)) from None
    host = request.host.lower()
    name = host if host[:1] == b"[" else host.partition(b":")[0]
    route = plan.hosts.find(name).locations.find(path)
    if route is None:
        raise FramingError("no location for the path", 404)
    if route.max_body_bytes and (request.length or 0) > route.max_body_bytes:
        raise FramingError("request body too large", 413)
    pool = pools.get(route.group)
    if pool is None:
        return Prepared(request, route, None, (), reusable=False)
    scope = _Early(request, client, route.names)
    head = compose_head(scope, route, keep_alive=pool.group.settings.keepalive.connections > 0)
    if not request.has_body:
        head = join_parts([*head, framing_lines(request, request.length)])
    return Prepared(request, route, pool, head, reusable=not (request.has_body or request.expects))


__all__ = ["Outcome", "Prepared", "prepare"]
