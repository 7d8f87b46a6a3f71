"""A request head made ready: parsed, routed, and its upstream head composed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from services.balancer.compose import compose_fields, framing_lines, line_end, request_line
from services.balancer.core.course import Course
from services.balancer.core.paths import BadPath, normalise
from services.balancer.core.routing import Locations
from services.balancer.core.variables import Client, Names, Part, join_parts
from services.balancer.plan import ListenerPlan, Route
from services.balancer.wire.fields import FramingError, remember
from services.balancer.wire.request import FieldBlock, RequestHead, host_name

if TYPE_CHECKING:
    from services.balancer.plane.pool import Pool

MAX_HOSTS: Final = 1024
MAX_HOST_BYTES: Final = 256


class Manner:
    """How requests with the same header fields are served at a route: whatever does not depend on the URL.

    ``pool`` is None when the balancer answers itself. ``fields`` are the header lines for the upstream up to those that
    frame a body, or to the end of the head when there is none. ``steady``: on one connection they are the same every time.
    ``late``: they tell how far the request is, so they are those of its beginning for every peer.
    ``reusable``: nothing but the head has to be looked at. ``quick``: an ordinary answer is passed on unchanged.
    ``may_serve``: how many requests a client's connection may carry. ``line_end`` is what follows the target in a request
    line, where the target goes on as it came; else it is empty.
    """

    __slots__ = (
        "clients",
        "fields",
        "late",
        "line_end",
        "may_serve",
        "pool",
        "quick",
        "read_timeout_s",
        "reusable",
        "route",
        "steady",
    )

    def __init__(self, block: FieldBlock, route: Route, pool: Pool | None, fields: tuple[Part, ...]) -> None:
        self.route = route
        self.clients = route.clients
        self.may_serve = route.clients.keepalive_requests if route.clients.keepalive_s else 0
        self.pool = pool
        self.fields = fields
        self.line_end = line_end(route) if route.target is None and not route.upstream_uri else b""
        self.read_timeout_s = route.read_timeout_s
        self.reusable = route.plain and pool is not None and not (block.has_body or block.expects)
        self.late = route.late
        self.steady = self.reusable and route.steady
        plain = block.minor == 1 and block.keep_alive and not block.upgrade
        self.quick = self.reusable and plain and not route.looks_closer


class Prepared:
    """A request made ready. ``head`` as received, ``line`` the request line for the upstream, ``quick`` as in Manner."""

    __slots__ = ("head", "line", "manner", "quick", "request")

    def __init__(self, head: bytes, request: RequestHead, manner: Manner, line: Part) -> None:
        self.head = head
        self.request = request
        self.manner = manner
        self.quick = manner.quick and request.method != b"HEAD" and not isinstance(request, Course)
        self.line = line


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
    """Finds routes; remembers the servers of hosts asked for lately, bounded in number and size."""

    __slots__ = ("_hosts", "_known")

    def __init__(self, plan: ListenerPlan) -> None:
        self._hosts = plan.hosts
        self._known: dict[bytes, Locations[Route]] = {}

    def find(self, request: RequestHead) -> Route:
        """The route of a request; raises FramingError with the status to answer."""
        locations = self.locations(request.host)
        route = locations.find(request.path if request.simple else _normal(request.path))
        if route is None:
            raise FramingError("no location for the path", 404)
        return route

    def locations(self, host: bytes) -> Locations[Route]:
        """Those of the server that a host asked for belongs to."""
        locations = self._known.get(host)
        return self._server(host) if locations is None else locations

    def _server(self, host: bytes) -> Locations[Route]:
        locations = self._hosts.find(host_name(host)).locations
        if len(host) <= MAX_HOST_BYTES:
            remember(self._known, host, locations, MAX_HOSTS)
        return locations


def _normal(path: bytes) -> bytes:
    try:
        return normalise(path)
    except BadPath as error:
        raise FramingError(str(error)) from None


def prepare(head: bytes, route: Route, pools: dict[str, Pool], request: RequestHead, client: Client) -> Prepared:
    """Make a request ready for its route."""
    usual = request.target[:1] == b"/"  # an absolute target may name another host than the fields do
    manner: Manner | None = request.block.memo.get(route) if usual else None
    if manner is None:
        manner = _manner(route, pools.get(route.group), request, client)
        if usual:
            request.block.memo[route] = manner
    return Prepared(head, request, manner, request_line(request, route) if manner.pool is not None else b"")


def _manner(route: Route, pool: Pool | None, request: RequestHead, client: Client) -> Manner:
    if pool is None:
        return Manner(request.block, route, None, ())
    scope = _Early(request, client, route.names)
    fields = compose_fields(scope, route, keep_alive=pool.group.settings.keepalive.connections > 0)
    if not request.has_body:
        fields = join_parts([*fields, framing_lines(request, request.length)])
    return Manner(request.block, route, pool, fields)
