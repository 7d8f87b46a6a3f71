"""Settings made ready to run: groups, routes and listeners. ``build`` names every problem at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from services.balancer.compile import Compiler, cookie_rewriting, gzip_of
from services.balancer.core.addresses import EXPECTED, unix_path, valid_address
from services.balancer.core.groups import GroupSettings, KeepAlive
from services.balancer.core.gzipping import Gzip
from services.balancer.core.health import CheckSettings, Guards, HeaderRule, Match, StatusRange
from services.balancer.core.patterns import compile_pattern
from services.balancer.core.peers import PeerSettings
from services.balancer.core.rates import ONE, UNDELAYED, Rate
from services.balancer.core.retry import RetryPolicy
from services.balancer.core.rewriting import CookieRewriting, Redirection
from services.balancer.core.routing import Hosts, Locations, Pattern, parse_pattern
from services.balancer.core.rules import Access, Condition, Rule
from services.balancer.core.secure import TlsSettings
from services.balancer.core.selection import METHODS
from services.balancer.core.variables import BUILT_IN, CHOSEN_BY, Names, Reach, Template, Variable, captures, setting
from services.balancer.settings import (
    AccessLog,
    ErrorPage,
    HealthCheck,
    Location,
    RateLimit,
    Return,
    Settings,
    Site,
    Tls,
    Upstream,
)
from services.balancer.settings import Rule as RuleSettings
from services.balancer.wire.request import HeadLimits

LOG_FORMATS = {
    "combined": '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
    '"$http_referer" "$http_user_agent"',
    "upstream": '$remote_addr [$time_local] "$request" $status $body_bytes_sent $request_time '
    "$upstream_addr $upstream_status $upstream_connect_time $upstream_header_time $upstream_response_time",
}

OWN_ERRORS = (403, 404, 500)
"""Statuses that a location answers by itself: access denied, not for the asking, led around in circles."""


class SiteError(Exception):
    """The settings cannot run; ``problems`` has one line for each reason."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


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

    body_timeout_s: float = 60.0
    send_timeout_s: float = 60.0
    keepalive_s: float = 75.0
    keepalive_header_s: int = 0
    keepalive_requests: int = 1000
    keepalive_time_s: float = 3600.0
    lingering: str = "on"
    lingering_time_s: float = 30.0
    lingering_timeout_s: float = 5.0
    reset_timedout: bool = False


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

    ``site_rules`` are followed before a location is chosen, with this one's answers; ``errors`` answer in its place by
    status; ``stands_in``: it answers in the place of an error, and errors of its own lead nowhere.
    """

    group: str
    names: Names
    clients: ClientRules = field(default_factory=ClientRules)
    prefix: bytes = b"/"
    upstream_uri: bytes = b""
    target: Template | None = None
    site_rules: tuple[Rule[Route], ...] = ()
    rules: tuple[Rule[Route], ...] = ()
    internal: bool = False
    access: Access | None = None
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
    edits_answers: bool = field(init=False)
    looks_closer: bool = field(init=False)  # an ordinary answer needs more than to be passed on
    plain: bool = field(init=False)  # the head of a request decides what becomes of it

    def __post_init__(self) -> None:
        steady = all(template.reach <= Reach.CONNECTION for _, template in self.set_headers)
        object.__setattr__(self, "steady", steady)
        edits = self.add_headers or self.add_headers_always or self.hide_headers or self.redirects or self.cookies
        object.__setattr__(self, "edits_answers", bool(edits))
        closer = edits or self.gzip or self.intercept_errors or self.ignore_abort or self.clients.keepalive_header_s
        object.__setattr__(self, "looks_closer", bool(closer))
        decided = self.site_rules or self.rules or self.internal or self.access or self.conn_limits or self.rate_limits
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


def build(settings: Settings) -> Plan:
    """Compile settings; raises SiteError with all problems."""
    builder = _Builder(settings)
    plan = builder.plan()
    if builder.problems:
        raise SiteError(dict.fromkeys(builder.problems))
    return plan


class _Builder(Compiler):
    """Makes a plan of settings."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        self._log_paths: set[str] = set()

    def plan(self) -> Plan:
        self._declare_variables()
        groups = {name: self._group(name, upstream) for name, upstream in self.settings.upstreams.items()}
        listeners = self._listeners()
        self._status()
        return Plan(self.settings, groups, listeners, frozenset(self._log_paths))

    def _declare_variables(self) -> None:
        for site in self._sites():
            for name in (*site.variables, *_set_by(site.rules)):
                self.variables.setdefault(name, setting(name))
            for location in site.locations:
                for name in (*location.variables, *_set_by(location.rules)):
                    self.variables.setdefault(name, setting(name))
        for index, entry in enumerate(self.settings.maps):
            self.variables[entry.name] = self.map(f"maps[{index}]", entry)

    # Upstreams

    def _group(self, name: str, upstream: Upstream) -> GroupSettings:
        where = f"upstreams.{name}"
        if upstream.method not in METHODS:
            self.complain(f"{where}.method", f"expected one of {', '.join(METHODS)}, got {upstream.method!r}")
            return GroupSettings(name=name, servers=())
        if upstream.method.startswith("hash") and not upstream.hash_key:
            self.complain(f"{where}.hash_key", "the hash method needs a key, such as $request_uri")
        servers = tuple(
            PeerSettings(**{key: getattr(server, key) for key in server.__struct_fields__})
            for server in upstream.servers
        )
        self._check_servers(where, upstream, servers)
        return GroupSettings(
            name=name,
            servers=servers,
            method=upstream.method,
            hash_key=upstream.hash_key,
            keepalive=KeepAlive(**{k: getattr(upstream.keepalive, k) for k in upstream.keepalive.__struct_fields__}),
            checks=self._checks(name, upstream),
            tls=_tls_settings(name, upstream),
            guards=Guards(upstream.panic_percent, upstream.max_ejected_percent),
            queue=upstream.queue.size if upstream.queue else 0,
            queue_timeout_s=upstream.queue.timeout_s if upstream.queue else 0.0,
            zone=upstream.zone,
        )

    def _check_servers(self, where: str, upstream: Upstream, servers: tuple[PeerSettings, ...]) -> None:
        seen: set[str] = set()
        for index, server in enumerate(servers):
            at = f"{where}.servers[{index}]"
            if not valid_address(server.address):
                self.complain(f"{at}.address", f"{EXPECTED}, got {server.address!r}")
            if server.address in seen:
                self.complain(f"{at}.address", f"{server.address} is listed twice")
            seen.add(server.address)
            if server.backup and upstream.method not in ("round_robin", "least_conn"):
                self.complain(f"{at}.backup", f"cannot be used with {upstream.method}")
        if all(server.backup for server in servers):
            self.complain(where, "every server is a backup")

    def _checks(self, name: str, upstream: Upstream) -> tuple[CheckSettings, ...]:
        listed = upstream.health_check
        checks = [] if listed is None else listed if isinstance(listed, list) else [listed]
        tls = _tls_settings(name, upstream)
        return tuple(self._check(f"upstreams.{name}.health_check", check, tls) for check in checks)

    def _check(self, where: str, check: HealthCheck, tls: TlsSettings | None) -> CheckSettings:
        if not check.uri.startswith("/"):
            self.complain(f"{where}.uri", f"expected a path that begins with /, got {check.uri!r}")
        if check.persistent and not check.mandatory:
            self.complain(f"{where}.persistent", "needs mandatory: true")
        return CheckSettings(
            interval_s=check.interval_s,
            jitter_s=check.jitter_s,
            timeout_s=check.timeout_s,
            fails=check.fails,
            passes=check.passes,
            uri=check.uri,
            host=check.host,
            port=check.port,
            tls=tls,
            match=self._match(where, check),
            mandatory=check.mandatory,
            persistent=check.persistent,
        )

    def _match(self, where: str, check: HealthCheck) -> Match:
        texts = [str(status) for status in check.status]
        negated = bool(texts) and texts[0].startswith("!")
        ranges = [self._status_range(f"{where}.status", text.lstrip("! ")) for text in texts]
        rules = [
            HeaderRule(
                h.name, h.value, self._text_pattern(f"{where}.headers", h.pattern) if h.pattern else None, h.negate
            )
            for h in check.headers
        ]
        text = check.body.removeprefix("!")
        body = self.attempt(f"{where}.body", lambda: compile_pattern(text, across_lines=True)) if text else None
        required = tuple(Condition(self.template(f"{where}.require", text)) for text in check.require)
        return Match(tuple(ranges), negated, tuple(rules), body, check.body.startswith("!"), required)

    def _text_pattern(self, where: str, text: str) -> re.Pattern[str] | None:
        pattern = self.attempt(where, lambda: compile_pattern(text))
        return re.compile(pattern.pattern.decode()) if pattern is not None else None

    def _status_range(self, where: str, text: str) -> StatusRange:
        low, dash, high = text.partition("-")
        if low.isdigit() and (high.isdigit() or not dash):
            return StatusRange(int(low), int(high or low))
        self.complain(where, f"expected a status such as 200 or a range such as 200-399, got {text!r}")
        return StatusRange(200, 399)

    # Sites

    def _sites(self) -> list[Site]:
        short = self.settings
        if not short.listen and not short.locations:
            return list(short.sites)
        if not short.listen or not short.locations:
            return list(short.sites)
        return [Site(listen=short.listen, tls=short.tls, locations=short.locations), *short.sites]

    def _status(self) -> None:
        status = self.settings.status
        if status and (unix_path(status) or not valid_address(status)):
            self.complain("status", f"expected HOST:PORT, got {self.settings.status!r}")

    def _listeners(self) -> dict[str, ListenerPlan]:
        sites = self._sites()
        if bool(self.settings.listen) != bool(self.settings.locations):
            self.complain("listen", "listen and locations go together")
        elif not sites:
            self.complain("listen", "nothing to serve: give listen and locations, or sites")
        by_address: dict[str, list[tuple[Site, VirtualServer]]] = {}
        for index, site in enumerate(sites):
            server = self._server(f"sites[{index}]" if self.settings.sites else "locations", site)
            for address in [site.listen] if isinstance(site.listen, str) else site.listen:
                if not valid_address(address):
                    self.complain("listen", f"{EXPECTED}, got {address!r}")
                by_address.setdefault(address, []).append((site, server))
        return {address: self._listener(address, entries) for address, entries in by_address.items()}

    def _listener(self, address: str, entries: list[tuple[Site, VirtualServer]]) -> ListenerPlan:
        servers = tuple(server for _, server in entries)
        if 0 < sum(server.tls is not None for server in servers) < len(servers):
            self.complain(f"listen {address}", "some sites of this address have tls and some have not")
        site, default = next((entry for entry in entries if entry[0].default), entries[0])
        hosts = Hosts([(server.names, server) for server in servers], default)
        levels = (self.settings.clients, site.clients)
        limits = HeadLimits(_innermost("line_bytes", levels), _innermost("head_bytes", levels))
        return ListenerPlan(address, hosts, servers, limits, _innermost("header_timeout_s", levels))

    def _server(self, where: str, site: Site) -> VirtualServer:
        more: dict[str, Variable] = {}
        for name in site.server_names:
            pattern = self.attempt(f"{where}.server_names", lambda name=name: compile_pattern(  # type: ignore[misc]
                name.removeprefix("~"), ignore_case=True)) if name.startswith("~") else None  # fmt: skip
            if pattern is not None:
                more |= captures(pattern, BUILT_IN["host"])
        entries = []
        for index, location in enumerate(site.locations):
            at = f"{where}.locations[{index}]" if where != "locations" else f"locations[{index}]"
            kind = self.attempt(f"{at}.path", lambda location=location: parse_pattern(location.path))  # type: ignore[misc]
            if kind is not None:
                found = {**more, **(captures(kind.regex, CHOSEN_BY) if kind.regex is not None else {})}
                entries.append((kind, self._route(at, site, location, kind, found)))
        locations = Locations(entries)
        names = Names(b"", b"", b"", {}, frozenset())
        fallback = locations.find(b"/") or Route(
            group="", names=names, logs=self._logs(where, None, {}), clients=self._clients(site, None)
        )
        aging_s = min(self._clients(site, location).keepalive_time_s for location in site.locations)
        return VirtualServer(tuple(site.server_names), locations, site.tls, fallback, aging_s)

    def _clients(self, site: Site, location: Location | None) -> ClientRules:
        levels = (self.settings.clients, site.clients, location.clients if location is not None else site.clients)
        return ClientRules(**{name.name: _innermost(name.name, levels) for name in fields(ClientRules)})

    def _route(
        self, where: str, site: Site, location: Location, kind: Pattern, more: Mapping[str, Variable]
    ) -> Route:  # fmt: skip
        self._check_location(where, location)
        upstream = self.settings.upstreams.get(location.upstream)
        answer = location.answer
        hash_key = upstream.hash_key if upstream else ""
        route = Route(
            group=location.upstream,
            names=self._names(where, site, location),
            clients=self._clients(site, location),
            prefix=kind.text if kind.regex is None else b"/",
            upstream_uri=location.upstream_uri.encode(),
            target=self.template(f"{where}.upstream_target", location.upstream_target, more)
            if location.upstream_target else None,
            internal=location.internal,
            access=self.access(f"{where}.access", location.access),
            answer=answer,
            answer_text=self.answer_text(f"{where}.answer", answer, more) if answer else None,
            set_headers=self.headers(f"{where}.set_headers", location.set_headers, more),
            replaced=frozenset(name.lower().encode() for name in location.set_headers),
            add_headers=self.headers(f"{where}.add_headers", location.add_headers, more),
            add_headers_always=self.headers(f"{where}.add_headers_always", location.add_headers_always, more),
            hide_headers=frozenset(name.lower().encode() for name in location.hide_headers),
            gzip=gzip_of(location),
            underscores=location.underscores_in_headers,
            hash_key=self.template(f"{where}.upstream", hash_key, more) if hash_key else None,
            by_address=upstream is not None and upstream.method == "ip_hash",
            retry=self.retry(f"{where}.next_upstream", location),
            connect_timeout_s=location.connect_timeout_s,
            send_timeout_s=location.send_timeout_s,
            read_timeout_s=location.read_timeout_s,
            bind=location.bind,
            max_body_bytes=location.max_body_bytes,
            request_buffer_bytes=location.request_buffer_bytes if location.request_buffering else 0,
            response_buffer_bytes=location.buffer_bytes if location.buffering else 1 << 16,
            websocket=location.websocket,
            minor=0 if location.http_version == "1.0" else 1,
            redirects=self.redirections(f"{where}.redirects", location.redirects, more),
            absolute_redirects=location.absolute_redirects,
            cookies=cookie_rewriting(location),
            ignore_abort=location.ignore_client_abort,
            intercept_errors=location.intercept_errors,
            recursive_error_pages=location.recursive_error_pages,
            conn_limits=tuple(
                ConnLimitPlan(limit.zone or f"{where}.{index}", self.template(where, limit.key, more), limit.most)
                for index, limit in enumerate(location.conn_limits)
            ),
            conn_limit_status=location.conn_limit_status,
            rate_limits=tuple(
                RateLimitPlan(_rate(limit, f"{where}.{index}"), self.template(where, limit.key, more))
                for index, limit in enumerate(location.rate_limits)
            ),
            rate_limit_status=location.rate_limit_status,
            rate_limit_dry_run=location.rate_limit_dry_run,
            logs=self._logs(where, location.access_logs, more),
        )  # fmt: skip
        return self._with_answers(where, route, site, location, more)

    def _check_location(self, where: str, location: Location) -> None:
        if bool(location.upstream) is (location.answer is not None):
            self.complain(where, "give either upstream or answer")
        if location.upstream and location.upstream not in self.settings.upstreams:
            self.complain(f"{where}.upstream", f"no upstream named {location.upstream!r}")
        if location.upstream_uri and location.path.startswith("@"):
            self.complain(f"{where}.upstream_uri", "a named location has no path to be replaced")
        if location.http_version not in ("1.0", "1.1"):
            self.complain(f"{where}.http_version", f"expected '1.0' or '1.1', got {location.http_version!r}")

    def _with_answers(
        self, where: str, route: Route, site: Site, location: Location, more: Mapping[str, Variable]
    ) -> Route:
        """The route with what may answer in its place: rules, errors, pages."""
        errors: dict[int, Route] = {}
        bare = replace(route, group="", access=None, internal=False, target=None, conn_limits=(), rate_limits=(),
                       errors=errors)  # fmt: skip

        def answering(answer: Return, known: Mapping[str, Variable]) -> Route:
            return replace(bare, answer=answer, answer_text=self.answer_text(where, answer, known))

        pages: dict[int, Page] = {}
        for index, page in enumerate(location.error_pages):
            made = self._page(f"{where}.error_pages[{index}]", page, bare, site, more)
            pages = {**dict.fromkeys(page.statuses, made), **pages}
        bare = replace(bare, error_pages=pages)
        errors |= {status: answering(Return(status=status), more) for status in OWN_ERRORS}
        return replace(
            route,
            error_pages=pages,
            site_rules=self.rules(f"{where.rpartition('.')[0]}.rules", site.rules, more, answering),
            rules=self.rules(f"{where}.rules", location.rules, more, answering),
            errors=errors,
        )

    def _page(self, where: str, page: ErrorPage, bare: Route, site: Site, more: Mapping[str, Variable]) -> Page:
        if bool(page.to) is (page.answer is not None):
            self.complain(where, "give either answer or to")
        if page.to and not page.to.startswith(("/", "@", "$")):
            self.complain(f"{where}.to", f"expected a path or @name, got {page.to!r}")
        if page.to.startswith("@") and all(page.to != location.path for location in site.locations):
            self.complain(f"{where}.to", f"there is no location {page.to}")
        status = 0 if page.status == "answer" else page.status or None
        if page.answer is None:
            return Page(status, to=self.template(f"{where}.to", page.to, more))
        text = self.answer_text(where, page.answer, more)
        return Page(status, route=replace(bare, answer=page.answer, answer_text=text, stands_in=True))

    def _names(self, where: str, site: Site, location: Location) -> Names:
        variables = {**site.variables, **location.variables}
        settings = {name: self.template(f"{where}.variables", text) for name, text in variables.items()}
        server_name = site.server_names[0] if site.server_names else ""
        upstream = self.settings.upstreams.get(location.upstream)
        _, colon, port = location.upstream.partition(":")
        usual = "80" if upstream is None or upstream.tls is None else "443"
        proxy_host, proxy_port = location.upstream, port if colon else usual
        if unix_path(location.upstream):
            proxy_host, proxy_port = "localhost", ""
        own = frozenset(location.variables)
        return Names(server_name.encode(), proxy_host.encode(), proxy_port.encode(), settings, own)

    def _logs(
        self, where: str, logs: list[AccessLog] | None, more: Mapping[str, Variable]
    ) -> tuple[LogPlan, ...]:  # fmt: skip
        if logs is None:
            logs = [self.settings.access_log] if self.settings.access_log is not None else []
        self._log_paths |= {log.path for log in logs}
        return tuple(
            LogPlan(
                log.path,
                self.template(f"{where}.access_log", LOG_FORMATS.get(log.format, log.format), more),
                log.escape,
                self.template(f"{where}.access_log", log.when, more) if log.when else None,
            )
            for log in logs
        )


def _innermost(name: str, levels: Iterable[object]) -> Any:
    """The value of a key at the last level that gives one; the first level gives all."""
    return [value for level in levels if (value := getattr(level, name)) is not None][-1]


def _tls_settings(group: str, upstream: Upstream) -> TlsSettings | None:
    """What is spoken to a group's servers; the name they are to answer to is the group's, unless another one is given."""
    tls = upstream.tls
    if tls is None:
        return None
    values = {name: getattr(tls, name) for name in tls.__struct_fields__}
    host, colon, port = group.rpartition(":")
    own = "localhost" if unix_path(group) else host if colon and port.isdigit() else group
    return TlsSettings(**{**values, "name": tls.name or own})


def _rate(limit: RateLimit, zone: str) -> Rate:
    free = UNDELAYED if limit.undelayed == "all" else limit.undelayed * ONE
    return Rate(limit.zone or zone, round(limit.per_s * ONE), limit.burst * ONE, free, limit.keys)


def _set_by(rules: Iterable[RuleSettings]) -> Iterator[str]:
    """Names of the variables that rules set, but for those that nginx has itself."""
    for rule in rules:
        yield from rule.set.keys() - BUILT_IN.keys()
        yield from _set_by(rule.rules)
