"""Settings made ready to run: groups, routes and listeners. ``build`` names every problem at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from services.balancer.core.groups import GroupSettings, KeepAlive
from services.balancer.core.health import CheckSettings, Guards, HeaderRule, Match, StatusRange
from services.balancer.core.peers import PeerSettings
from services.balancer.core.retry import CONFIGURABLE, Condition, RetryPolicy
from services.balancer.core.routing import Hosts, Locations, parse_pattern
from services.balancer.core.selection import METHODS
from services.balancer.core.variables import MapTable, Names, Reach, Template, Variable, compile_template, setting
from services.balancer.settings import HealthCheck, Location, MapVariable, Return, Settings, Site, Tls, Upstream
from services.balancer.wire.fields import TOKEN
from services.balancer.wire.request import HeadLimits

LOG_FORMATS = {
    "combined": '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent '
    '"$http_referer" "$http_user_agent"',
    "upstream": '$remote_addr [$time_local] "$request" $status $body_bytes_sent $request_time '
    "$upstream_addr $upstream_status $upstream_connect_time $upstream_header_time $upstream_response_time",
}


class SiteError(Exception):
    """The settings cannot run; ``problems`` has one line for each reason."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route:
    """A location, compiled. ``group`` is the name of an upstream, empty when the balancer answers itself."""

    group: str
    names: Names
    prefix: bytes = b"/"
    upstream_uri: bytes = b""
    answer: Return | None = None
    answer_location: Template | None = None
    set_headers: tuple[tuple[bytes, Template], ...] = ()
    replaced: frozenset[bytes] = frozenset()
    add_headers: tuple[tuple[bytes, Template], ...] = ()
    hide_headers: frozenset[bytes] = frozenset()
    hash_key: Template | None = None
    by_address: bool = False
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    connect_timeout_s: float = 60.0
    send_timeout_s: float = 60.0
    read_timeout_s: float = 60.0
    max_body_bytes: int = 1 << 20
    request_buffer_bytes: int = 1 << 20
    response_buffer_bytes: int = 1 << 18
    websocket: bool = True
    minor: int = 1
    redirect_from: bytes = b""
    redirect_to: Template | None = None
    steady: bool = field(init=False)  # the same request on the same connection has the same head for the upstream
    edits_answers: bool = field(init=False)

    def __post_init__(self) -> None:
        steady = all(template.reach < Reach.REQUEST for _, template in self.set_headers)
        object.__setattr__(self, "steady", steady)
        object.__setattr__(self, "edits_answers", bool(self.add_headers or self.hide_headers or self.redirect_to))


@dataclass(frozen=True, slots=True, eq=False)
class VirtualServer:
    """A server block, compiled."""

    names: tuple[str, ...]
    locations: Locations[Route]
    tls: Tls | None


@dataclass(frozen=True, slots=True, eq=False)
class ListenerPlan:
    """What one address serves."""

    address: str
    hosts: Hosts[VirtualServer]
    servers: tuple[VirtualServer, ...]

    @property
    def tls(self) -> tuple[Tls, ...]:
        return tuple(dict.fromkeys(server.tls for server in self.servers if server.tls is not None))


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything the data plane needs, immutable; a reload builds a new one."""

    settings: Settings
    groups: Mapping[str, GroupSettings]
    listeners: Mapping[str, ListenerPlan]
    limits: HeadLimits
    log_format: Template | None


def build(settings: Settings) -> Plan:
    """Compile settings; raises SiteError with all problems."""
    builder = _Builder(settings)
    plan = builder.plan()
    if builder.problems:
        raise SiteError(builder.problems)
    return plan


class _Builder:
    """Collects problems while compiling; every helper goes on after one."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.problems: list[str] = []
        self.variables: dict[str, Variable] = {}

    def plan(self) -> Plan:
        self._declare_variables()
        groups = {name: self._group(name, upstream) for name, upstream in self.settings.upstreams.items()}
        listeners = self._listeners()
        self._status()
        return Plan(self.settings, groups, listeners, self._limits(), self._log_format())

    def _complain(self, where: str, problem: object) -> None:
        self.problems.append(f"{where}: {problem}")

    def _template(self, where: str, text: str) -> Template:
        try:
            return compile_template(text, self.variables)
        except ValueError as error:
            self._complain(where, error)
            return Template(())

    # Variables

    def _declare_variables(self) -> None:
        for site in self._sites():
            for location in site.locations:
                for name in location.variables:
                    self.variables.setdefault(name, setting(name))
        for index, entry in enumerate(self.settings.maps):
            self.variables[entry.name] = self._map(f"maps[{index}]", entry)

    def _map(self, where: str, entry: MapVariable) -> Variable:
        exact: dict[bytes, Template] = {}
        patterns: list[tuple[re.Pattern[bytes], Template]] = []
        for key, value in entry.values.items():
            result = self._template(where, value)
            if not key.startswith("~"):
                exact[key.lower().encode()] = result
                continue
            flags = re.IGNORECASE if key.startswith("~*") else 0
            try:
                patterns.append((re.compile(key.lstrip("~*").encode(), flags), result))
            except re.error as error:
                self._complain(where, f"bad pattern {key!r}: {error}")
        default = self._template(where, entry.default)
        return MapTable(self._template(where, entry.source), exact, tuple(patterns), default).variable()

    # Upstreams

    def _group(self, name: str, upstream: Upstream) -> GroupSettings:
        where = f"upstreams.{name}"
        if upstream.method not in METHODS:
            self._complain(f"{where}.method", f"expected one of {', '.join(METHODS)}, got {upstream.method!r}")
            return GroupSettings(name=name, servers=())
        if upstream.method.startswith("hash") and not upstream.hash_key:
            self._complain(f"{where}.hash_key", "the hash method needs a key, such as $request_uri")
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
            checks=self._checks(where, upstream),
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
                self._complain(f"{at}.address", f"expected HOST:PORT, got {server.address!r}")
            if server.address in seen:
                self._complain(f"{at}.address", f"{server.address} is listed twice")
            seen.add(server.address)
            if server.backup and upstream.method not in ("round_robin", "least_conn"):
                self._complain(f"{at}.backup", f"cannot be used with {upstream.method}")
        if all(server.backup for server in servers):
            self._complain(where, "every server is a backup")

    def _checks(self, where: str, upstream: Upstream) -> tuple[CheckSettings, ...]:
        listed = upstream.health_check
        checks = [] if listed is None else listed if isinstance(listed, list) else [listed]
        return tuple(self._check(f"{where}.health_check", check) for check in checks)

    def _check(self, where: str, check: HealthCheck) -> CheckSettings:
        if not check.uri.startswith("/"):
            self._complain(f"{where}.uri", f"expected a path that begins with /, got {check.uri!r}")
        if check.persistent and not check.mandatory:
            self._complain(f"{where}.persistent", "needs mandatory: true")
        return CheckSettings(
            interval_s=check.interval_s,
            jitter_s=check.jitter_s,
            timeout_s=check.timeout_s,
            fails=check.fails,
            passes=check.passes,
            uri=check.uri,
            host=check.host,
            port=check.port,
            match=self._match(where, check),
            mandatory=check.mandatory,
            persistent=check.persistent,
        )

    def _match(self, where: str, check: HealthCheck) -> Match:
        texts = [str(status) for status in check.status]
        negated = bool(texts) and texts[0].startswith("!")
        ranges = [self._status_range(f"{where}.status", text.lstrip("! ")) for text in texts]
        rules = [
            HeaderRule(h.name, h.value, self._regex(f"{where}.headers", h.pattern) if h.pattern else None, h.negate)
            for h in check.headers
        ]
        text = check.body.lstrip("!") if check.body.startswith("!") else check.body
        pattern = self._regex(f"{where}.body", text) if text else None
        body = re.compile(pattern.pattern.encode(), re.DOTALL) if pattern is not None else None
        return Match(tuple(ranges), negated, tuple(rules), body, check.body.startswith("!"))

    def _regex(self, where: str, text: str) -> re.Pattern[str] | None:
        try:
            return re.compile(text)
        except re.error as error:
            self._complain(where, f"bad pattern {text!r}: {error}")
            return None

    def _status_range(self, where: str, text: str) -> StatusRange:
        low, dash, high = text.partition("-")
        if low.isdigit() and (high.isdigit() or not dash):
            return StatusRange(int(low), int(high or low))
        self._complain(where, f"expected a status such as 200 or a range such as 200-399, got {text!r}")
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
        if self.settings.status and not valid_address(self.settings.status):
            self._complain("status", f"expected HOST:PORT, got {self.settings.status!r}")

    def _listeners(self) -> dict[str, ListenerPlan]:
        sites = self._sites()
        if bool(self.settings.listen) != bool(self.settings.locations):
            self._complain("listen", "listen and locations go together")
        elif not sites:
            self._complain("listen", "nothing to serve: give listen and locations, or sites")
        by_address: dict[str, list[tuple[Site, VirtualServer]]] = {}
        for index, site in enumerate(sites):
            server = self._server(f"sites[{index}]" if self.settings.sites else "locations", site)
            for address in [site.listen] if isinstance(site.listen, str) else site.listen:
                if not valid_address(address):
                    self._complain("listen", f"expected HOST:PORT, got {address!r}")
                by_address.setdefault(address, []).append((site, server))
        return {address: self._listener(address, entries) for address, entries in by_address.items()}

    def _listener(self, address: str, entries: list[tuple[Site, VirtualServer]]) -> ListenerPlan:
        servers = tuple(server for _, server in entries)
        if 0 < sum(server.tls is not None for server in servers) < len(servers):
            self._complain(f"listen {address}", "some sites of this address have tls and some have not")
        default = next((server for site, server in entries if site.default), servers[0])
        return ListenerPlan(address, Hosts([(server.names, server) for server in servers], default), servers)

    def _server(self, where: str, site: Site) -> VirtualServer:
        entries = []
        for index, location in enumerate(site.locations):
            at = f"{where}.locations[{index}]" if where != "locations" else f"locations[{index}]"
            try:
                pattern = parse_pattern(location.path)
            except ValueError as error:
                self._complain(f"{at}.path", error)
                continue
            prefix = pattern.text if pattern.kind != "regex" else b"/"
            entries.append((pattern, self._route(at, site, location, prefix)))
        return VirtualServer(tuple(site.server_names), Locations(entries), site.tls)

    def _route(self, where: str, site: Site, location: Location, prefix: bytes) -> Route:
        if bool(location.upstream) is (location.answer is not None):
            self._complain(where, "give either upstream or answer")
        upstream = self.settings.upstreams.get(location.upstream)
        if location.upstream and upstream is None:
            self._complain(f"{where}.upstream", f"no upstream named {location.upstream!r}")
        if location.http_version not in ("1.0", "1.1"):
            self._complain(f"{where}.http_version", f"expected '1.0' or '1.1', got {location.http_version!r}")
        answer = location.answer
        hash_key = upstream.hash_key if upstream else ""
        return Route(
            group=location.upstream,
            names=self._names(where, site, location),
            prefix=prefix,
            upstream_uri=location.upstream_uri.encode(),
            answer=answer,
            answer_location=self._template(f"{where}.answer", answer.location or answer.text) if answer else None,
            set_headers=self._headers(f"{where}.set_headers", location.set_headers),
            replaced=frozenset(name.lower().encode() for name in location.set_headers),
            add_headers=self._headers(f"{where}.add_headers", location.add_headers),
            hide_headers=frozenset(name.lower().encode() for name in location.hide_headers),
            hash_key=self._template(f"{where}.upstream", hash_key) if hash_key else None,
            by_address=upstream is not None and upstream.method == "ip_hash",
            retry=self._retry(where, location),
            connect_timeout_s=location.connect_timeout_s,
            send_timeout_s=location.send_timeout_s,
            read_timeout_s=location.read_timeout_s,
            max_body_bytes=location.max_body_bytes,
            request_buffer_bytes=location.request_buffer_bytes if location.request_buffering else 0,
            response_buffer_bytes=location.buffer_bytes if location.buffering else 1 << 16,
            websocket=location.websocket,
            minor=0 if location.http_version == "1.0" else 1,
            redirect_from=location.redirect_from.encode(),
            redirect_to=self._template(where, location.redirect_to) if location.redirect_from else None,
        )

    def _names(self, where: str, site: Site, location: Location) -> Names:
        settings = {name: self._template(f"{where}.variables", text) for name, text in location.variables.items()}
        server_name = site.server_names[0] if site.server_names else ""
        _, colon, port = location.upstream.partition(":")
        return Names(server_name.encode(), location.upstream.encode(), (port if colon else "80").encode(), settings)

    def _headers(self, where: str, headers: Mapping[str, str]) -> tuple[tuple[bytes, Template], ...]:
        for name, text in headers.items():
            if not name or name.encode().translate(None, TOKEN):
                self._complain(where, f"{name!r} is not a header name")
            if "\r" in text or "\n" in text:
                self._complain(where, f"the value of {name} spans lines")
        return tuple((name.encode(), self._template(where, text)) for name, text in headers.items())

    def _retry(self, where: str, location: Location) -> RetryPolicy:
        conditions = Condition(0)
        for name in location.next_upstream:
            if name == "off":
                conditions = Condition(0)
            elif name in CONFIGURABLE:
                conditions |= CONFIGURABLE[name]
            else:
                expected = ", ".join([*CONFIGURABLE, "off"])
                self._complain(f"{where}.next_upstream", f"expected one of {expected}, got {name!r}")
        return RetryPolicy(conditions, location.next_upstream_tries, location.next_upstream_timeout_s)

    # The rest

    def _limits(self) -> HeadLimits:
        return HeadLimits(self.settings.clients.line_bytes, self.settings.clients.head_bytes)

    def _log_format(self) -> Template | None:
        log = self.settings.access_log
        if log is None:
            return None
        return self._template("access_log.format", LOG_FORMATS.get(log.format, log.format))


def valid_address(text: str) -> bool:
    """Whether a text is HOST:PORT with a port from 0 to 65535."""
    host, colon, port = text.rpartition(":")
    return bool(colon and host) and port.isdigit() and int(port) <= 65535


def split_address(address: str) -> tuple[str, int]:
    """Host, without brackets, and port of a valid address."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
