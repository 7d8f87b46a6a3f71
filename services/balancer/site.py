"""Settings made ready to run: groups, routes and listeners. ``build`` names every problem at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import msgspec

from services.balancer.compile import Compiler, cookie_rewriting, gzip_of
from services.balancer.core.addresses import EXPECTED, unix_path, valid_address
from services.balancer.core.groups import GroupSettings, KeepAlive
from services.balancer.core.health import CheckSettings, Guards, HeaderRule, Match, StatusRange
from services.balancer.core.paths import escape_path
from services.balancer.core.patterns import compile_pattern, names_of_groups
from services.balancer.core.peers import PeerSettings
from services.balancer.core.rates import ONE, UNDELAYED, Rate
from services.balancer.core.routing import Entry, Hosts, Locations, Pattern, parse_pattern
from services.balancer.core.rules import Condition
from services.balancer.core.secure import TlsSettings
from services.balancer.core.selection import METHODS
from services.balancer.core.variables import (
    BUILT_IN,
    CHOSEN_BY,
    Names,
    Template,
    Variable,
    captures,
    references,
    setting,
)
from services.balancer.plan import (
    ClientRules,
    ConnLimitPlan,
    ListenerPlan,
    LogPlan,
    Page,
    Plan,
    RateLimitPlan,
    Route,
    VirtualServer,
)
from services.balancer.settings import (
    AccessLog,
    ErrorPage,
    HealthCheck,
    Location,
    MapVariable,
    RateLimit,
    Return,
    Settings,
    Site,
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

OWN_ERRORS = (403, 404, 413, 500)
"""Statuses that a location answers by itself: access denied, not for the asking, too large, led around in circles."""
BEFORE_RULES = (404, 413)
"""Those that come before what its rules set is known."""


class SiteError(Exception):
    """The settings cannot run; ``problems`` has one line for each reason."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


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
            patterns = [name for name in site.server_names if name.startswith("~")]
            self._declare(*site.variables, *_set_by(site.rules), *names_of_groups(patterns))
            for location in all_of(site.locations):
                self._declare(*location.variables, *_set_by(location.rules), *names_of_groups([location.path]))
        waiting = dict(enumerate(self.settings.maps))
        while waiting:
            others = {entry.name for entry in waiting.values()}
            ready = [index for index, entry in waiting.items() if not others & _named_in(entry)]
            for index in ready or list(waiting):
                entry = waiting.pop(index)
                self.variables[entry.name] = self.map(f"maps[{index}]", entry)

    def _declare(self, *names: str) -> None:
        for name in names:
            self.variables.setdefault(name, setting(name))

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
        found: dict[str, Variable] = {}
        for name in site.server_names:
            pattern = self.attempt(f"{where}.server_names", lambda name=name: compile_pattern(  # type: ignore[misc]
                name.removeprefix("~"), ignore_case=True)) if name.startswith("~") else None  # fmt: skip
            if pattern is not None:
                found |= captures(pattern, BUILT_IN["host"])
        at = f"{where}.locations" if where != "locations" else where
        outside = self._outside(where, at, site, found)
        entries = self._entries(at, site, site.locations, found, outside if outside.rules else None)
        aging_s = min(self._clients(site, location).keepalive_time_s for location in all_of(site.locations))
        return VirtualServer(tuple(site.server_names), Locations(entries), site.tls, outside, aging_s)

    def _entries(
        self, where: str, site: Site, locations: Sequence[Location], found: Mapping[str, Variable], outside: Route | None
    ) -> list[Entry[Route]]:  # fmt: skip
        """Locations with those nested in them."""
        entries: list[Entry[Route]] = []
        for index, location in enumerate(locations):
            at = f"{where}[{index}]"
            kind = self.attempt(f"{at}.path", lambda location=location: parse_pattern(location.path))  # type: ignore[misc]
            if kind is not None:
                route = replace(self._route(at, site, location, kind, found), outside=outside)
                inner = self._entries(f"{at}.locations", site, location.locations, found, outside)
                entries.append((kind, route, Locations(inner) if inner else None))
        return [*entries, *_with_slashes(entries)]

    def _outside(self, where: str, at: str, site: Site, found: Mapping[str, Variable]) -> Route:
        """How requests are answered before a location is found, with the rules that they have to follow."""
        paths = [location.path for location in site.locations]
        root = paths.index("/") if "/" in paths else 0
        place = f"{at}[{root}]" if site.outside is None else f"{where}.outside"
        location = msgspec.structs.replace(site.outside or site.locations[root], path="@", upstream="", upstream_uri="",
                                           upstream_target="", answer=Return(status=404), rules=[])  # fmt: skip
        route = self._route(place, site, location, Pattern("named", b"@"), found)
        return self._with_answers(place, route, site, location, f"{where}.rules", site.rules)

    def _clients(self, site: Site, location: Location | None) -> ClientRules:
        levels = (self.settings.clients, site.clients, location.clients if location is not None else site.clients)
        return ClientRules(**{name.name: _innermost(name.name, levels) for name in fields(ClientRules)})

    def _route(
        self, where: str, site: Site, location: Location, kind: Pattern, found: Mapping[str, Variable]
    ) -> Route:  # fmt: skip
        """A location; ``found`` is what the name of the server has captured."""
        self._check_location(where, location)
        if kind.regex is not None:
            named = {name: variable for name, variable in found.items() if not name.isdigit()}
            found = {**named, **captures(kind.regex, CHOSEN_BY)}
        upstream = self.settings.upstreams.get(location.upstream)
        answer = location.answer
        hash_key = upstream.hash_key if upstream else ""
        route = Route(
            group=location.upstream,
            names=self._names(where, site, location, found),
            clients=self._clients(site, location),
            prefix=kind.text if kind.regex is None else b"/",
            pattern=kind.regex,
            upstream_uri=location.upstream_uri.encode(),
            target=self.template(f"{where}.upstream_target", location.upstream_target)
            if location.upstream_target else None,
            internal=location.internal,
            access=self.access(f"{where}.access", location.access),
            free_methods=frozenset(method.encode() for method in location.free_methods),
            other_methods=self.access(f"{where}.other_methods", location.other_methods),
            answer=answer,
            answer_text=self.answer_text(f"{where}.answer", answer) if answer else None,
            set_headers=self.headers(f"{where}.set_headers", location.set_headers),
            replaced=frozenset(name.lower().encode() for name in location.set_headers),
            add_headers=self.headers(f"{where}.add_headers", location.add_headers),
            add_headers_always=self.headers(f"{where}.add_headers_always", location.add_headers_always),
            hide_headers=frozenset(name.lower().encode() for name in location.hide_headers),
            gzip=gzip_of(location),
            underscores=location.underscores_in_headers,
            hash_key=self.template(f"{where}.upstream", hash_key) if hash_key else None,
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
            redirects=self.redirections(f"{where}.redirects", location.redirects),
            absolute_redirects=location.absolute_redirects,
            redirects_name_port=location.redirects_name_port,
            redirects_name_server=location.redirects_name_server,
            cookies=cookie_rewriting(location),
            ignore_abort=location.ignore_client_abort,
            intercept_errors=location.intercept_errors,
            recursive_error_pages=location.recursive_error_pages,
            conn_limits=tuple(
                ConnLimitPlan(limit.zone or f"{where}.{index}", self.template(where, limit.key), limit.most)
                for index, limit in enumerate(location.conn_limits)
            ),
            conn_limit_status=location.conn_limit_status,
            rate_limits=tuple(
                RateLimitPlan(_rate(limit, f"{where}.{index}"), self.template(where, limit.key))
                for index, limit in enumerate(location.rate_limits)
            ),
            rate_limit_status=location.rate_limit_status,
            rate_limit_dry_run=location.rate_limit_dry_run,
            logs=self._logs(where, location.access_logs),
        )  # fmt: skip
        return self._with_answers(where, route, site, location, f"{where}.rules", location.rules)

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
        self, where: str, route: Route, site: Site, location: Location, rules_at: str,
        rules: Sequence[RuleSettings],
    ) -> Route:
        """The route with what may answer in its place: rules, errors, pages."""
        errors: dict[int, Route] = {}
        names = replace(route.names, proxy_host=b"", proxy_port=b"")
        bare = replace(route, group="", names=names, access=None, other_methods=None, internal=False, target=None,
                       conn_limits=(), rate_limits=(), errors=errors)  # fmt: skip

        def answering(answer: Return, captured: bool = False) -> Route:
            return replace(bare, answer=answer, answer_text=self.answer_text(where, answer, captured=captured))

        pages: dict[int, Page] = {}
        for index, page in enumerate(location.error_pages):
            made = self._page(f"{where}.error_pages[{index}]", page, bare, site)
            pages = {**dict.fromkeys(page.statuses, made), **pages}
        bare = replace(bare, error_pages=pages)
        errors |= {status: answering(Return(status=status)) for status in OWN_ERRORS}
        outside = msgspec.structs.replace(location, variables={}, upstream="")
        early = self._names(where, site, outside, names.captured)
        errors |= {status: replace(errors[status], names=early) for status in BEFORE_RULES}
        return replace(
            route,
            error_pages=pages,
            rules=self.rules(rules_at, rules, answering),
            errors=errors,
        )

    def _page(self, where: str, page: ErrorPage, bare: Route, site: Site) -> Page:
        if bool(page.to) is (page.answer is not None):
            self.complain(where, "give either answer or to")
        if page.to and not page.to.startswith(("/", "@", "$")):
            self.complain(f"{where}.to", f"expected a path or @name, got {page.to!r}")
        if page.to.startswith("@") and all(page.to != location.path for location in site.locations):
            self.complain(f"{where}.to", f"there is no location {page.to}")
        status = 0 if page.status == "answer" else page.status or None
        if page.answer is None:
            return Page(status, to=self.template(f"{where}.to", page.to))
        text = self.answer_text(where, page.answer)
        return Page(status, route=replace(bare, answer=page.answer, answer_text=text, stands_in=True))

    def _names(self, where: str, site: Site, location: Location, found: Mapping[str, Variable]) -> Names:
        variables = {**site.variables, **location.variables}
        settings = {name: self.template(f"{where}.variables", text) for name, text in variables.items()}
        server_name = site.server_names[0].removeprefix(".") if site.server_names else ""
        upstream = self.settings.upstreams.get(location.upstream)
        _, colon, port = location.upstream.partition(":")
        usual = "80" if upstream is None or upstream.tls is None else "443"
        proxy_host, proxy_port = location.upstream, port if colon else usual
        if unix_path(location.upstream):
            proxy_host, proxy_port = "localhost", ""
        elif not location.upstream:
            proxy_port = ""
        own = frozenset(location.variables)
        return Names(server_name.encode(), proxy_host.encode(), proxy_port.encode(), settings, own, found)

    def _logs(
        self, where: str, logs: list[AccessLog] | None
    ) -> tuple[LogPlan, ...]:  # fmt: skip
        if logs is None:
            logs = [self.settings.access_log] if self.settings.access_log is not None else []
        self._log_paths |= {log.path for log in logs}
        return tuple(
            LogPlan(
                log.path,
                self.template(f"{where}.access_log", LOG_FORMATS.get(log.format, log.format)),
                log.escape,
                self.template(f"{where}.access_log", log.when) if log.when else None,
            )
            for log in logs
        )


def _with_slashes(entries: Sequence[Entry[Route]]) -> Iterator[Entry[Route]]:
    """Redirects to locations of upstreams whose paths end in a slash, for requests that lack it (nginx ``location``)."""
    by_path: dict[bytes, list[Route]] = {}
    for pattern, route, _ in sorted(entries, key=lambda entry: entry[0].kind != "exact"):
        if pattern.kind in ("exact", "prefix", "final"):
            by_path.setdefault(pattern.text, []).append(route)
    for path, routes in by_path.items():
        short = path.removesuffix(b"/")
        if short not in (b"", path, *by_path) and any(route.group for route in routes):
            yield Pattern("exact", short), _redirect(routes[0], escape_path(path)), None


def _redirect(route: Route, place: bytes) -> Route:
    """What leads to a place with the query that was asked with, before anything that the route would do."""
    return replace(
        route, group="", names=route.errors[404].names, access=None, other_methods=None, target=None, rules=(),
        conn_limits=(), rate_limits=(), answer=Return(status=301, location=place.decode()),
        answer_text=Template((place, BUILT_IN["is_args"], BUILT_IN["args"])),
    )  # fmt: skip


def all_of(locations: Iterable[Location]) -> Iterator[Location]:
    """Locations, each before those nested in it."""
    for location in locations:
        yield location
        yield from all_of(location.locations)


def _named_in(entry: MapVariable) -> set[str]:
    """Variables that a map asks for."""
    return {name for text in (entry.source, *entry.values.values(), entry.default) for name in references(text)}


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
        yield from names_of_groups([rule.pattern, *rule.when[2:]])
        yield from _set_by(rule.rules)
