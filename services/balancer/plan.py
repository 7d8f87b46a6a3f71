"""What settings become: routes with everything that the data plane needs, immutable. ``site`` makes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.balancer.core.groups import GroupSettings
from services.balancer.core.gzipping import Gzip
from services.balancer.core.rates import Rate
from services.balancer.core.retry import RetryPolicy
from services.balancer.core.rewriting import CookieRewriting, Redirection
from services.balancer.core.routing import Hosts, Locations
from services.balancer.core.rules import Access, Rule
from services.balancer.core.variables import Names, Reach, Template
from services.balancer.settings import Return, Settings, Tls
from services.balancer.wire.request import HeadLimits


@dataclass(frozen=True, slots=True)
class LogPlan:
    """One access log of a route."""

    path: str
    form: Template
    escape: str
    when: Template | None


@dataclass(frozen=True, slots=True)
class ConnLimitPlan:
    """At most ``most`` requests in progress for each text of ``key`` within a zone."""

    zone: str
    key: Template
    most: int


@dataclass(frozen=True, slots=True)
class RateLimitPlan:
    """A limit on the rate of requests for each text of ``key``."""

    rate: Rate
    key: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientRules:
    """What clients may do at a route (nginx ``client_body_timeout``, ``send_timeout``, ``keepalive_…``, ``lingering_…``).

    Times in seconds. ``keepalive_s`` 0: no request follows on the connection. ``keepalive_header_s`` 0: clients are not
    told. ``reset_timedout``: a client that is too slow is cut off, and what it has not received yet is dropped.
    """

    body_timeout_s: float
    send_timeout_s: float
    keepalive_s: float
    keepalive_header_s: int
    keepalive_requests: int
    keepalive_time_s: float
    lingering: str
    lingering_time_s: float
    lingering_timeout_s: float
    reset_timedout: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Where an error leads: to an answer of its own, or ``to`` a path or ``@name``.

    ``status`` is the one that clients see: None that of the error, 0 that of what answers.
    """

    status: int | None
    route: Route | None = None
    to: Template | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route:
    """A location, compiled. ``group`` is the name of an upstream, empty when the balancer answers itself.

    The rules of ``outside`` are followed before a location is chosen, if there are any; ``errors`` answer in its place by
    status; ``stands_in``: it answers in the place of an error, and errors of its own lead nowhere.
    """

    group: str
    names: Names
    clients: ClientRules
    prefix: bytes = b"/"
    pattern: re.Pattern[bytes] | None = None
    upstream_uri: bytes = b""
    target: Template | None = None
    outside: Route | None = None
    rules: tuple[Rule[Route], ...] = ()
    internal: bool = False
    access: Access | None = None
    free_methods: frozenset[bytes] = frozenset()
    other_methods: Access | None = None
    errors: Mapping[int, Route] = field(default_factory=dict)
    stands_in: bool = False
    answer: Return | None = None
    answer_text: Template | None = None
    set_headers: tuple[tuple[bytes, Template], ...] = ()
    replaced: frozenset[bytes] = frozenset()
    add_headers: tuple[tuple[bytes, Template], ...] = ()
    add_headers_always: tuple[tuple[bytes, Template], ...] = ()
    hide_headers: frozenset[bytes] = frozenset()
    gzip: Gzip | None = None
    underscores: bool = False
    hash_key: Template | None = None
    by_address: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    connect_timeout_s: float = 60.0
    send_timeout_s: float = 60.0
    read_timeout_s: float = 60.0
    bind: str = ""
    max_body_bytes: int = 1 << 20
    request_buffer_bytes: int = 1 << 20
    response_buffer_bytes: int = 1 << 19
    websocket: bool = True
    minor: int = 1
    redirects: tuple[Redirection, ...] = ()
    absolute_redirects: bool = False
    redirects_name_port: bool = True
    redirects_name_server: bool = False
    cookies: CookieRewriting = field(default_factory=CookieRewriting)
    ignore_abort: bool = False
    intercept_errors: bool = False
    error_pages: Mapping[int, Page] = field(default_factory=dict)
    recursive_error_pages: bool = False
    conn_limits: tuple[ConnLimitPlan, ...] = ()
    conn_limit_status: int = 503
    rate_limits: tuple[RateLimitPlan, ...] = ()
    rate_limit_status: int = 503
    rate_limit_dry_run: bool = False
    logs: tuple[LogPlan, ...] = ()
    steady: bool = field(init=False)  # the same fields on the same connection are the same for the upstream
    late: bool = field(init=False)  # what the upstream gets tells how far the request is
    edits_answers: bool = field(init=False)
    looks_closer: bool = field(init=False)  # an ordinary answer needs more than to be passed on
    plain: bool = field(init=False)  # the head of a request decides what becomes of it

    def __post_init__(self) -> None:
        steady = all(template.reach <= Reach.CONNECTION for _, template in self.set_headers)
        object.__setattr__(self, "steady", steady)
        asked = [template for _, template in self.set_headers] + ([self.target] if self.target is not None else [])
        object.__setattr__(self, "late", any(template.reach is Reach.REQUEST for template in asked))
        edits = self.add_headers or self.add_headers_always or self.hide_headers or self.redirects or self.cookies
        object.__setattr__(self, "edits_answers", bool(edits))
        closer = edits or self.gzip or self.intercept_errors or self.ignore_abort or self.clients.keepalive_header_s
        object.__setattr__(self, "looks_closer", bool(closer))
        kept_out = self.access or self.other_methods
        decided = self.outside or self.rules or self.internal or kept_out or self.conn_limits or self.rate_limits
        object.__setattr__(self, "plain", not decided)


@dataclass(frozen=True, slots=True, eq=False)
class VirtualServer:
    """A server block, compiled."""

    names: tuple[str, ...]
    locations: Locations[Route]
    tls: Tls | None
    fallback: Route
    aging_s: float  # until then no route of it sends a connection away for its age


@dataclass(frozen=True, slots=True, eq=False)
class ListenerPlan:
    """What one address serves. ``limits`` and ``header_timeout_s`` are those of its default server."""

    address: str
    hosts: Hosts[VirtualServer]
    servers: tuple[VirtualServer, ...]
    limits: HeadLimits
    header_timeout_s: float

    @property
    def aging_s(self) -> float:
        """How old a connection may become before it has to be looked at whether it may stay."""
        return min(server.aging_s for server in self.servers)

    @property
    def fallback(self) -> Route:
        """The route whose logs and error pages serve requests that cannot be read."""
        return self.hosts.default.fallback

    @property
    def tls(self) -> tuple[Tls, ...]:
        return tuple(dict.fromkeys(server.tls for server in self.servers if server.tls is not None))


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything the data plane needs, immutable; a reload builds a new one."""

    settings: Settings
    groups: Mapping[str, GroupSettings]
    listeners: Mapping[str, ListenerPlan]
    logs: frozenset[str]  # paths
