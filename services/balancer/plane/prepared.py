"""A request head made ready: parsed, routed, and its upstream head composed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from services.balancer.compose import compose_fields, framing_lines, request_line, rewritten_target
from services.balancer.core.paths import BadPath, normalise
from services.balancer.core.variables import Client, Names, Part, Scope, join_parts
from services.balancer.site import ListenerPlan, Route
from services.balancer.wire.fields import FramingError
from services.balancer.wire.request import RequestHead

if TYPE_CHECKING:
    from services.balancer.plane.pool import Pool


MAX_KNOWN = 1024
MAX_KNOWN_BYTES = 512


class Prepared:
    """A request made ready. ``pool`` is None when the balancer answers itself.

    ``head`` is the upstream's head up to the lines that frame a body, or to its end when there is none.
    ``reusable``: the next request with the same bytes may use it. ``quick``: nothing but an ordinary answer has to be
    passed on unchanged. ``steady``: on one connection the head is the same every time.
    """

    __slots__ = ("head", "pool", "quick", "request", "reusable", "route", "steady")

    def __init__(self, request: RequestHead, route: Route, pool: Pool | None, head: tuple[Part, ...]) -> None:
        self.request = request
        self.route = route
        self.pool = pool
        self.head = head
        self.reusable = route.plain and pool is not None and not (request.has_body or request.expects)
        plain = request.minor == 1 and request.keep_alive and not request.upgrade and request.method != b"HEAD"
        self.quick = self.reusable and plain and not route.looks_closer
        self.steady = self.reusable and route.steady


@dataclass(frozen=True, slots=True)
class _Early:
    """The scope at the time a head is composed: nothing has happened yet."""

    request: RequestHead
    client: Client
    names: Names

    @property
    def outcome(self) -> NoReturn:
        raise LookupError("a variable of the outcome was asked for before there is one")


class Router:
    """Finds routes; remembers those of hosts and paths asked for lately, bounded in number and size."""

    def __init__(self, plan: ListenerPlan) -> None:
        self._hosts = plan.hosts
        self._known: dict[tuple[bytes, bytes], Route] = {}

    def find(self, request: RequestHead) -> Route:
        """The route of a request; raises FramingError with the status to answer."""
        key = (request.host, request.path)
        route = self._known.get(key)
        if route is None:
            route = self._find(request)
            if len(request.host) + len(request.path) <= MAX_KNOWN_BYTES:
                if len(self._known) >= MAX_KNOWN:
                    self._known.clear()
                self._known[key] = route
        return route

    def _find(self, request: RequestHead) -> Route:
        try:
            path = normalise(request.path)
        except BadPath as error:
            raise FramingError(str(error)) from None
        host = request.host.lower()
        name = host if host[:1] == b"[" else host.partition(b":")[0]
        route = self._hosts.find(name).locations.find(path)
        if route is None:
            raise FramingError("no location for the path", 404)
        return route


def decide(scope: Scope, route: Route) -> tuple[Route, bytes]:
    """What the rules of a route make of a request: the route that answers, and the target if it was rewritten."""
    rewritten = b""
    for rule in route.rules:
        if rule.applies(scope):
            if rule.outcome is not None:
                return rule.outcome, b""
            if rule.uri is not None:
                query = scope.request.query if rule.query is None else rule.query.render(scope)
                rewritten = rewritten_target(rule.uri.render(scope), query)
                break
    if route.access is not None and route.denied is not None and not route.access.allows(scope.client.packed_addr):
        return route.denied, b""
    return route, rewritten


def prepare(
    route: Route, pools: dict[str, Pool], request: RequestHead, client: Client, rewritten: bytes = b""
) -> Prepared:
    """Make a request ready for its route; ``rewritten`` is its target if a rule made another one."""
    pool = pools.get(route.group)
    if pool is None:
        return Prepared(request, route, None, ())
    fields = request.block.memo.get(route)
    if fields is None:
        fields = _fields(pool, request, route, client)
        request.block.memo[route] = fields
    return Prepared(request, route, pool, join_parts([*request_line(request, route, rewritten), *fields]))


def _fields(pool: Pool, request: RequestHead, route: Route, client: Client) -> tuple[Part, ...]:
    scope = _Early(request, client, route.names)
    fields = compose_fields(scope, route, keep_alive=pool.group.settings.keepalive.connections > 0)
    return fields if request.has_body else join_parts([*fields, framing_lines(request, request.length)])
