"""The http block of an nginx.conf: maps, limits of clients, upstreams and servers."""

from __future__ import annotations

from typing import Any

from services.balancer.core.addresses import UNIX, valid_address
from services.balancer.nginx.answers import RULES, AnswerReader
from services.balancer.nginx.checks import CheckReader
from services.balancer.nginx.directives import Block, Directive, Problems, flag, number, seconds, size
from services.balancer.nginx.locations import Inherited, LocationReader, tls_versions, typed_rules
from services.balancer.nginx.logs import LogReader
from services.balancer.nginx.table import permitted, refusal
from services.balancer.nginx.upstreams import UpstreamReader
from services.balancer.settings import (
    ClientLimits,
    MapVariable,
    Return,
    Rule,
    Settings,
    Site,
    SiteClients,
    Tls,
    Upstream,
)


class HttpReader:
    """Collects an http block into settings."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._upstreams = UpstreamReader(problems)
        self._answers = AnswerReader(problems)
        self._checks = CheckReader(problems)
        self._logs = LogReader(problems)
        self._locations = LocationReader(problems, self._checks, self._logs)
        self._maps: list[MapVariable] = []
        self._status: dict[str, Any] = {}

    def settings(self, block: Block, connections: int) -> Settings:
        shared = Inherited()
        upstreams: dict[str, Upstream] = {}
        servers: list[Directive] = []
        directives = list(permitted(block, "http", self._problems))
        # Names are known in the whole block, wherever they are defined.
        for directive in directives:
            if directive.name == "log_format":
                self._logs.format(directive)
            elif directive.name == "match":
                self._checks.match(directive)
            elif directive.name == "limit_conn_zone":
                self._conn_zone(directive)
            elif directive.name == "limit_req_zone":
                self._locations.rates.zone(directive)
            elif directive.name == "map":
                self._locations.maps[directive.args[-1].removeprefix("$")] = directive
        for directive in directives:
            if directive.name == "upstream":
                if directive.text in upstreams:
                    self._problems.add(directive, f"there is an upstream named {directive.text} already")
                upstreams[directive.text] = self._upstreams.read(directive)
            elif directive.name == "server":
                servers.append(directive)
            elif directive.name == "map":
                self._maps.append(self._map(directive))
            elif directive.name not in ("log_format", "match", "limit_conn_zone", "limit_req_zone"):
                self._common(directive, shared)
        sites = [site for server in servers for site in self._server(server, shared)]
        self._problems.check_templates({entry.name for entry in self._maps})
        return Settings(
            sites=sites,
            upstreams=self._locations.complete(upstreams),
            maps=self._maps,
            clients=ClientLimits(connections=connections, **shared.heads, **shared.clients),
            state_file=self._upstreams.state_file,
            **self._status,
        )

    def _common(self, directive: Directive, shared: Inherited) -> None:
        """Directives of http and server blocks alike."""
        name = directive.name
        if name == "client_header_timeout":
            shared.heads["header_timeout_s"] = seconds(directive, self._problems)
        elif name == "large_client_header_buffers":
            line = size(directive, self._problems, directive.args[1])
            shared.heads |= {"line_bytes": line, "head_bytes": line * number(directive, self._problems)}
        elif name.startswith("ssl_"):
            self._tls(directive, shared)
        else:
            self._locations.apply(directive, shared)

    def _conn_zone(self, directive: Directive) -> None:
        key, zone = directive.args
        name = zone.removeprefix("zone=").partition(":")[0]
        self._locations.zones[name] = self._problems.template(directive, key)

    def _map(self, directive: Directive) -> MapVariable:
        values: dict[str, str] = {}
        default = ""
        for entry in directive.block or ():
            if entry.name == "default":
                default = self._problems.template(entry, entry.text)
            elif entry.name in ("hostnames", "volatile"):
                self._problems.add(entry, refusal(entry.name))
            else:
                if entry.name.startswith("~"):
                    self._problems.pattern(entry, entry.name.removeprefix("~").removeprefix("*"))
                values[entry.name.removeprefix("\\")] = self._problems.template(entry, entry.text)
        if not directive.args[1].startswith("$"):
            self._problems.wrong(directive, "map SOURCE $NAME")
        source = self._problems.template(directive, directive.args[0])
        return MapVariable(name=directive.args[1].removeprefix("$"), source=source, values=values, default=default)

    # Servers

    def _server(self, server: Directive, outer: Inherited) -> list[Site]:
        """The sites of a server block: one for each kind of address it listens on."""
        shared = outer.copy()
        listens: list[Directive] = []
        names: list[str] = []
        nested: list[Directive] = []
        ruling: list[Directive] = []
        answer: Return | None = None
        for directive in permitted(server.block or (), "server", self._problems):
            if directive.name == "listen":
                listens.append(directive)
            elif directive.name == "server_name":
                names += self._names(directive)
            elif directive.name == "location":
                nested.append(directive)
            elif directive.name == "return":
                answer = answer or self._answers.answer(directive)
            elif directive.name in RULES:
                ruling += [directive] if answer is None else []
            else:
                self._common(directive, shared)
        addresses = listens or [Directive("listen", ("80",), server.file, server.line)]
        if any(inner.name == "api" for location in nested for inner in location.block or ()):
            self._status_listener(server, nested, addresses)
            return []
        # Directives of the block hold for its locations wherever they stand, so locations are read last.
        rules = self._locations.rules(ruling, shared)
        if answer is not None and rules:  # which may end before it
            rules, answer = [*rules, Rule(answer=answer)], None
        rules = typed_rules(rules, shared)
        shared.names = frozenset(location.text for location in nested if location.text.startswith("@"))
        read = self._locations.read_all(nested, shared)
        if answer is not None:
            named = [location for location in read if location.path.startswith("@")]
            early = shared.copy()
            early.drop("access")  # which nginx looks at later
            read = [self._locations.answering(server, answer, early), *named]
        elif not any(location.path in ("/", "^~ /") for location in read):
            read.append(self._locations.answering(server, Return(status=404), shared))
        outside = self._locations.answering(server, Return(status=404), shared, path="@")
        certificate = self._certificate(server, addresses, shared)
        clients = SiteClients(**shared.heads, **shared.clients)
        return [
            Site(listen=listen, server_names=names, default=default, clients=clients, variables=shared.variables,
                 rules=rules, outside=outside, locations=read, tls=certificate if secure else None)
            for (secure, default), listen in self._kinds(addresses).items()
        ]  # fmt: skip

    def _kinds(self, addresses: list[Directive]) -> dict[tuple[bool, bool], list[str]]:
        """Addresses by whether they are secure and whether the server is their default."""
        kinds: dict[tuple[bool, bool], list[str]] = {}
        for directive in addresses:
            kind = ("ssl" in directive.args, "default_server" in directive.args)
            kinds.setdefault(kind, []).append(self._listen(directive))
        return kinds

    def _names(self, directive: Directive) -> list[str]:
        for name in directive.args:
            if name.startswith("~"):
                self._problems.pattern(directive, name[1:])
        return list(directive.args)

    def _listen(self, directive: Directive) -> str:
        # Clients that may choose speak HTTP/1.1 when HTTP/2 is not offered.
        known = {"default_server", "ssl", "http2", "reuseport", "deferred", "bind", "ipv6only=on"}
        tuning = ("backlog=", "so_keepalive=", "rcvbuf=", "sndbuf=")
        for extra in directive.args[1:]:
            if extra not in known and not extra.startswith(tuning):
                self._problems.add(directive, f"parameter {extra} is not supported")
        text = directive.text
        if text.startswith(UNIX):
            if not valid_address(text):
                self._problems.wrong(directive, "unix: and a path that begins with /")
            return text
        host, colon, port = ("", ":", text) if text.isdigit() else text.rpartition(":")
        if not colon or not port.isdigit() or host.endswith(":"):
            host, port = text, "80"
        address = f"{'0.0.0.0' if host in ('', '*') else host}:{port}"
        if not valid_address(address):
            self._problems.wrong(directive, "a port, an address, or both")
            return "0.0.0.0:80"
        return address

    def _tls(self, directive: Directive, shared: Inherited) -> None:
        name = directive.name
        if name == "ssl_protocols":
            shared.listener_tls["protocols"] = tls_versions(directive, self._problems)
        elif name == "ssl_prefer_server_ciphers":
            shared.listener_tls["prefer_server_ciphers"] = flag(directive, self._problems)
        elif name == "ssl_session_tickets":
            shared.listener_tls["tickets"] = flag(directive, self._problems)
        elif "$" in directive.text:
            self._problems.wrong(directive, "a text without variables")
        elif name == "ssl_ciphers":
            shared.listener_tls["ciphers"] = directive.text
        else:
            key = "key" if name == "ssl_certificate_key" else "certificate"
            shared.listener_tls[key] = self._problems.file(directive)

    def _certificate(self, server: Directive, addresses: list[Directive], shared: Inherited) -> Tls | None:
        if not any("ssl" in directive.args for directive in addresses):
            return None
        if not {"certificate", "key"} <= shared.listener_tls.keys():
            self._problems.add(server, "listens with ssl but has no ssl_certificate and ssl_certificate_key")
            return None
        return Tls(**shared.listener_tls)

    def _status_listener(self, server: Directive, nested: list[Directive], addresses: list[Directive]) -> None:
        """A server block with ``api`` is the status listener, and nothing else."""
        if len(nested) != 1 or len(nested[0].block or ()) != 1 or len(addresses) != 1 or self._status:
            self._problems.add(server, "with api, a server has one listen and one location with nothing else in it, "
                                       "and there is one such server")  # fmt: skip
            return
        [api] = nested[0].block or ()
        self._status = {"status": self._listen(addresses[0]), "status_allows_changes": api.text == "write=on"}
