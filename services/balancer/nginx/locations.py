"""``location`` blocks of an nginx.conf, and the proxy directives they inherit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.balancer.nginx.directives import Directive, Problems, flag, number, seconds, size
from services.balancer.nginx.upstreams import with_port
from services.balancer.settings import HealthCheck, KeepAlive, Location, Return, Server, Upstream

_Convert = Callable[[Directive, Problems], Any]
_PLAIN: dict[str, tuple[str, _Convert]] = {
    "proxy_connect_timeout": ("connect_timeout_s", seconds),
    "proxy_send_timeout": ("send_timeout_s", seconds),
    "proxy_read_timeout": ("read_timeout_s", seconds),
    "proxy_next_upstream_tries": ("next_upstream_tries", number),
    "proxy_next_upstream_timeout": ("next_upstream_timeout_s", seconds),
    "proxy_buffering": ("buffering", flag),
    "proxy_request_buffering": ("request_buffering", flag),
    "client_max_body_size": ("max_body_bytes", size),
}
_LISTS = frozenset(("proxy_set_header", "add_header", "proxy_hide_header"))
_IGNORED = frozenset((
    "proxy_buffers", "proxy_buffer_size", "proxy_busy_buffers_size", "proxy_max_temp_file_size", "proxy_socket_keepalive",
    "proxy_temp_file_write_size", "log_not_found", "default_type", "error_log", "client_body_buffer_size",
))  # fmt: skip
SHARED = frozenset((*_PLAIN, *_LISTS, "proxy_next_upstream", "proxy_http_version", "proxy_redirect", "set",
                    "proxy_buffers", "proxy_buffer_size", "proxy_busy_buffers_size"))  # fmt: skip


class Inherited:
    """Proxy settings on their way down. Lists of headers replace the outer ones as a whole, as in nginx."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.hidden: list[str] = []
        self.variables: dict[str, str] = {}
        self.redirect: tuple[str, str] | None = None
        self.redirect_off = False
        self._own: set[str] = set()

    def copy(self) -> Inherited:
        fresh = Inherited()
        fresh.values = dict(self.values)
        fresh.headers = {name: dict(headers) for name, headers in self.headers.items()}
        fresh.hidden = list(self.hidden)
        fresh.variables = dict(self.variables)
        fresh.redirect, fresh.redirect_off = self.redirect, self.redirect_off
        return fresh

    def add_header(self, kind: str, name: str, value: str) -> None:
        if kind not in self._own:
            self._own.add(kind)
            self.headers[kind] = {}
        self.headers[kind][name] = value


class LocationReader:
    """Reads location blocks; upstreams named only in ``proxy_pass`` are collected on the way."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._passed_to: set[str] = set()
        self._checks: dict[str, HealthCheck] = {}

    def implicit(self, upstreams: dict[str, Upstream]) -> dict[str, Upstream]:
        """Groups for ``proxy_pass http://HOST:PORT`` without an upstream block, and groups with their health checks."""
        made = {
            name: Upstream(servers=[Server(address=with_port(name))], keepalive=KeepAlive())
            for name in self._passed_to - upstreams.keys()
        }
        for name, check in self._checks.items():
            base = upstreams.get(name) or made[name]
            fields = {field: getattr(base, field) for field in base.__struct_fields__}
            made[name] = Upstream(**{**fields, "health_check": check})
        return made

    def apply(self, directive: Directive, shared: Inherited) -> None:
        """Take one proxy directive of any level."""
        name, args = directive.name, directive.args
        if name in _PLAIN:
            key, convert = _PLAIN[name]
            shared.values[key] = convert(directive, self._problems)
        elif name in ("proxy_set_header", "add_header") and len(args) >= 2:
            shared.add_header(name, args[0], self._problems.template(directive, args[1]))
        elif name == "proxy_hide_header":
            shared.hidden.append(directive.text)
        elif name == "proxy_next_upstream":
            shared.values["next_upstream"] = list(args)
        elif name == "proxy_http_version":
            shared.values["http_version"] = directive.text
        elif name == "proxy_redirect":
            self._redirect(directive, shared)
        elif name == "set" and len(args) == 2:
            self._problems.declare(args[0].removeprefix("$"))
            shared.variables[args[0].removeprefix("$")] = self._problems.template(directive, args[1])
        elif name not in _IGNORED:
            self._problems.wrong(directive, "other arguments")

    def _redirect(self, directive: Directive, shared: Inherited) -> None:
        shared.redirect_off = directive.text == "off"
        if len(directive.args) == 2 and not directive.text.startswith("~"):
            shared.redirect = (directive.args[0], directive.args[1])
        elif directive.text not in ("off", "default"):
            self._problems.wrong(directive, "off, default, or FROM TO without a pattern")

    def read(self, location: Directive, outer: Inherited) -> list[Location]:
        """A location and those nested in it."""
        shared = outer.copy()
        passed: Directive | None = None
        answer: Return | None = None
        check: Directive | None = None
        nested: list[Directive] = []
        for directive in location.block or ():
            if directive.name == "proxy_pass":
                passed = directive
            elif directive.name == "return":
                answer = self.answer(directive)
            elif directive.name == "health_check":
                check = directive
            elif directive.name == "location":
                nested.append(directive)
            elif directive.name in SHARED or directive.name in _IGNORED:
                self.apply(directive, shared)
            else:
                self._problems.unsupported(directive)
        inner = [found for directive in nested for found in self.read(directive, shared)]
        if passed is None and answer is None:
            if not nested:
                self._problems.add(location, "has neither proxy_pass nor return")
            return inner
        return [self._location(location, shared, passed if answer is None else None, answer, check), *inner]

    def _location(
        self, location: Directive, shared: Inherited, passed: Directive | None, answer: Return | None,
        check: Directive | None,
    ) -> Location:  # fmt: skip
        upstream, uri = self._target(passed) if passed is not None else ("", "")
        if check is not None and upstream:
            self._checks[upstream] = self._health_check(check)
        path = " ".join(location.args)
        redirect = shared.redirect
        if redirect is None and not shared.redirect_off and passed is not None and not path.startswith("~"):
            redirect = (f"http://{upstream}{uri or '/'}", location.args[-1] if uri else "/")
        headers = {"Host": "$proxy_host", **shared.headers.get("proxy_set_header", {})}
        connection = next((value for name, value in headers.items() if name.lower() == "connection"), None)
        if connection == "":
            headers = {name: value for name, value in headers.items() if name.lower() != "connection"}
        return Location(
            path=path,
            upstream=upstream,
            upstream_uri=uri,
            answer=answer,
            set_headers=headers if upstream else {},
            add_headers=shared.headers.get("add_header", {}),
            hide_headers=shared.hidden,
            variables=shared.variables,
            websocket=connection not in (None, "", "close"),
            redirect_from=redirect[0] if redirect else "",
            redirect_to=redirect[1] if redirect else "",
            **shared.values,
        )

    def _target(self, directive: Directive) -> tuple[str, str]:
        scheme, found, rest = directive.text.partition("://")
        if scheme != "http" or not found or "$" in rest or rest.startswith("unix:"):
            self._problems.wrong(directive, "http://UPSTREAM[/URI] without variables")
            return "", ""
        name, slash, uri = rest.partition("/")
        self._passed_to.add(name)
        return name, slash + uri

    def answer(self, directive: Directive) -> Return:
        """``return CODE [TEXT]``, ``return CODE URL`` or ``return URL``."""
        args = directive.args
        if args and args[0].isdigit() and 200 <= int(args[0]) <= 599:
            status, text = int(args[0]), self._problems.template(directive, args[1]) if len(args) > 1 else ""
        elif len(args) == 1 and args[0].startswith(("http://", "https://", "$scheme")):
            status, text = 302, args[0]
        else:
            self._problems.wrong(directive, "CODE [TEXT] or a URL")
            status, text = 500, ""
        redirects = status in (301, 302, 303, 307, 308)
        return Return(status=status, location=text if redirects else "", text="" if redirects else text)

    def _health_check(self, directive: Directive) -> HealthCheck:
        values: dict[str, Any] = {}
        for argument in directive.args:
            key, _, value = argument.partition("=")
            if key in ("interval", "jitter"):
                values[f"{key}_s"] = seconds(directive, self._problems, value)
            elif key in ("fails", "passes", "port") and value.isdigit():
                values[key] = int(value)
            elif key == "uri":
                values[key] = value
            elif argument in ("mandatory", "persistent"):
                values[argument] = True
            else:
                self._problems.add(directive, f"parameter {argument} is not supported")
        return HealthCheck(**values)
