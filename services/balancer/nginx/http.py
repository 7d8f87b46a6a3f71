"""The http block of an nginx.conf: maps, logs, limits, upstreams and servers."""

from __future__ import annotations

from typing import Any, Literal, cast

from services.balancer.nginx.directives import Block, Directive, Problems, number, seconds, size
from services.balancer.nginx.locations import SHARED, Inherited, LocationReader
from services.balancer.nginx.upstreams import UpstreamReader
from services.balancer.settings import (
    AccessLog,
    ClientLimits,
    Location,
    MapVariable,
    Return,
    Settings,
    Site,
    Tls,
    Upstream,
)

_IGNORED = frozenset((
    "sendfile", "tcp_nopush", "tcp_nodelay", "default_type", "types", "types_hash_max_size", "server_tokens", "error_log",
    "types_hash_bucket_size", "server_names_hash_bucket_size", "server_names_hash_max_size",
    "reset_timedout_connection",
    "map_hash_bucket_size", "map_hash_max_size", "variables_hash_max_size", "variables_hash_bucket_size", "charset",
    "client_body_buffer_size", "client_body_temp_path", "proxy_temp_path", "fastcgi_temp_path", "uwsgi_temp_path",
    "scgi_temp_path", "ssl_session_cache", "ssl_session_timeout", "ssl_session_tickets", "ssl_prefer_server_ciphers",
    "client_header_buffer_size", "log_not_found", "proxy_headers_hash_max_size", "proxy_headers_hash_bucket_size",
))  # fmt: skip


class HttpReader:
    """Collects an http block into settings."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._upstreams = UpstreamReader(problems)
        self._locations = LocationReader(problems)
        self._limits: dict[str, float | int] = {"keepalive_s": 75.0}
        self._formats: dict[str, str] = {}
        self._log: AccessLog | None = None
        self._maps: list[MapVariable] = []

    def settings(self, block: Block, connections: int) -> Settings:
        shared = Inherited()
        upstreams: dict[str, Upstream] = {}
        servers: list[Directive] = []
        for directive in block:
            if directive.name == "upstream" and directive.block is not None:
                upstreams[directive.text] = self._upstreams.read(directive)
            elif directive.name == "server" and directive.block is not None:
                servers.append(directive)
            elif directive.name == "log_format":
                form = "".join(part for part in directive.args[1:] if not part.startswith("escape="))
                self._formats[directive.text] = self._problems.template(directive, form)
            elif directive.name == "map" and directive.block is not None:
                self._maps.append(self._map(directive))
            elif not self._common(directive, shared):
                self._problems.unsupported(directive)
        sites = [self._server(server, shared) for server in servers]
        self._problems.check_templates({entry.name for entry in self._maps})
        self._limits["connections"] = connections
        limits = cast("dict[str, Any]", self._limits)
        return Settings(
            sites=sites,
            upstreams={**upstreams, **self._locations.implicit(upstreams)},
            maps=self._maps,
            clients=ClientLimits(**limits),
            access_log=self._log,
        )

    def _common(self, directive: Directive, shared: Inherited) -> bool:
        """Directives of http and server blocks alike; false when it is none of them."""
        name = directive.name
        if name in SHARED:
            self._locations.apply(directive, shared)
        elif name == "access_log":
            self._access_log(directive)
        elif name == "keepalive_timeout":
            self._limits["keepalive_s"] = seconds(directive, self._problems)
        elif name == "keepalive_requests":
            self._limits["keepalive_requests"] = number(directive, self._problems)
        elif name in ("client_header_timeout", "client_body_timeout", "send_timeout"):
            key = {"send_timeout": "send_timeout_s"}.get(name, name.removeprefix("client_") + "_s")
            self._limits[key] = seconds(directive, self._problems)
        elif name == "large_client_header_buffers" and len(directive.args) == 2:
            line = size(directive, self._problems, directive.args[1])
            self._limits["line_bytes"] = line
            self._limits["head_bytes"] = line * number(directive, self._problems)
        else:
            return name in _IGNORED
        return True

    def _access_log(self, directive: Directive) -> None:
        if directive.text == "off":
            return
        form = directive.args[1] if len(directive.args) > 1 else "combined"
        path = "stderr" if directive.text in ("/dev/stderr", "/dev/stdout") else directive.text
        self._log = AccessLog(path=path, format=self._formats.get(form, form))

    def _map(self, directive: Directive) -> MapVariable:
        values: dict[str, str] = {}
        default = ""
        for entry in directive.block or ():
            if entry.name == "default":
                default = entry.text
            elif entry.name in ("hostnames", "volatile", "include"):
                self._problems.unsupported(entry)
            else:
                values[entry.name.removeprefix("\\")] = entry.text
        if len(directive.args) != 2 or not directive.args[1].startswith("$"):
            self._problems.wrong(directive, "map SOURCE $NAME")
            return MapVariable(name="_", source="", values={})
        source = self._problems.template(directive, directive.args[0])
        return MapVariable(name=directive.args[1][1:], source=source, values=values, default=default)

    # Servers

    def _server(self, server: Directive, outer: Inherited) -> Site:
        shared = outer.copy()
        listens: list[str] = []
        names: list[str] = []
        locations: list[Location] = []
        tls: dict[str, Any] = {}
        default = secure = False
        answer: Return | None = None
        # Directives of the block hold for its locations wherever they stand, so locations are read last.
        for directive in server.block or ():
            if directive.name == "listen":
                listens.append(self._listen(directive))
                default |= "default_server" in directive.args
                secure |= "ssl" in directive.args
            elif directive.name == "server_name":
                names += [name for name in directive.args if name != "_"]
            elif directive.name in ("ssl_certificate", "ssl_certificate_key", "ssl_protocols", "ssl_ciphers"):
                self._tls(directive, tls)
            elif directive.name == "return":
                answer = self._locations.answer(directive)
            elif directive.name != "location" and not self._common(directive, shared):
                self._problems.unsupported(directive)
        for directive in server.block or ():
            if directive.name == "location":
                locations += self._locations.read(directive, shared)
        if answer is not None:
            locations = [Location(path="/", answer=answer, variables=shared.variables)]
        elif not locations:
            self._problems.add(server, "has no location that proxies or returns")
            locations = [Location(answer=Return(status=404))]
        if secure and not {"certificate", "key"} <= tls.keys():
            self._problems.add(server, "listens with ssl but has no ssl_certificate and ssl_certificate_key")
            secure = False
        return Site(
            listen=listens or ["0.0.0.0:80"], server_names=names, default=default,
            tls=Tls(**tls) if secure else None, locations=locations,
        )  # fmt: skip

    def _listen(self, directive: Directive) -> str:
        known = {"default_server", "ssl", "reuseport", "deferred", "http2", "bind"}
        for extra in directive.args[1:]:
            if extra not in known and not extra.startswith("backlog="):
                self._problems.add(directive, f"parameter {extra} is not supported")
        if "http2" in directive.args:
            self._problems.add(directive, "HTTP/2 is not offered")
        text = directive.text
        if text.isdigit():
            return f"0.0.0.0:{text}"
        host, colon, port = text.rpartition(":")
        if colon and port.isdigit():
            return f"{'0.0.0.0' if host == '*' else host}:{port}"
        return f"{text}:80"

    def _tls(self, directive: Directive, tls: dict[str, Any]) -> None:
        if directive.name == "ssl_protocols":
            unknown = [version for version in directive.args if version not in ("TLSv1.2", "TLSv1.3")]
            if unknown:
                self._problems.add(directive, f"{', '.join(unknown)} is not offered; use TLSv1.2 TLSv1.3")
            versions = [version for version in directive.args if version not in unknown]
            tls["protocols"] = cast("tuple[Literal['TLSv1.2', 'TLSv1.3'], ...]", tuple(versions))
        else:
            tls[directive.name.removeprefix("ssl_certificate_").removeprefix("ssl_")] = directive.text
