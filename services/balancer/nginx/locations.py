"""``location`` blocks of an nginx.conf, and the directives they inherit from the blocks around them."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from services.balancer.core.addresses import unix_path
from services.balancer.core.retry import CONFIGURABLE
from services.balancer.core.routing import parse_pattern
from services.balancer.core.rules import parse_access
from services.balancer.core.variables import BUILT_IN, Reach, references
from services.balancer.nginx.answers import RULES, AnswerReader
from services.balancer.nginx.checks import CheckReader
from services.balancer.nginx.directives import Directive, Problems, flag, number, one_of, seconds, size
from services.balancer.nginx.logs import LogReader
from services.balancer.nginx.rates import RateReader
from services.balancer.nginx.table import meant, permitted, refusal
from services.balancer.nginx.upstreams import with_port
from services.balancer.settings import (
    ConnLimit,
    ErrorPage,
    Gzip,
    HealthCheck,
    Location,
    LocationClients,
    OneOrMore,
    Redirect,
    Return,
    Rule,
    Server,
    Upstream,
    UpstreamTls,
)
from services.balancer.wire.fields import TOKEN

_Convert = Callable[[Directive, Problems], Any]
_PLAIN: dict[str, tuple[str, _Convert]] = {
    "proxy_connect_timeout": ("connect_timeout_s", seconds),
    "proxy_send_timeout": ("send_timeout_s", seconds),
    "proxy_read_timeout": ("read_timeout_s", seconds),
    "proxy_next_upstream_tries": ("next_upstream_tries", number),
    "proxy_next_upstream_timeout": ("next_upstream_timeout_s", seconds),
    "proxy_buffering": ("buffering", flag),
    "proxy_request_buffering": ("request_buffering", flag),
    "proxy_ignore_client_abort": ("ignore_client_abort", flag),
    "proxy_intercept_errors": ("intercept_errors", flag),
    "client_max_body_size": ("max_body_bytes", size),
    "client_body_buffer_size": ("request_buffer_bytes", size),
    "underscores_in_headers": ("underscores_in_headers", flag),
    "absolute_redirect": ("absolute_redirects", flag),
    "port_in_redirect": ("redirects_name_port", flag),
    "server_name_in_redirect": ("redirects_name_server", flag),
    "recursive_error_pages": ("recursive_error_pages", flag),
    "limit_conn_status": ("conn_limit_status", number),
    "limit_req_status": ("rate_limit_status", number),
    "limit_req_dry_run": ("rate_limit_dry_run", flag),
}
_TLS: dict[str, tuple[str, _Convert]] = {
    "proxy_ssl_verify": ("verify", flag),
    "proxy_ssl_server_name": ("send_name", flag),
    "proxy_ssl_trusted_certificate": ("trusted", lambda directive, problems: problems.file(directive)),
    "proxy_ssl_name": ("name", lambda directive, _: directive.text),
    "proxy_ssl_ciphers": ("ciphers", lambda directive, _: directive.text),
    "proxy_ssl_certificate": ("certificate", lambda directive, problems: problems.file(directive)),
    "proxy_ssl_certificate_key": ("key", lambda directive, problems: problems.file(directive)),
    "proxy_ssl_protocols": ("protocols", lambda directive, problems: tls_versions(directive, problems)),
}
_CLIENTS: dict[str, tuple[str, _Convert]] = {
    "client_body_timeout": ("body_timeout_s", seconds),
    "send_timeout": ("send_timeout_s", seconds),
    "keepalive_requests": ("keepalive_requests", number),
    "keepalive_time": ("keepalive_time_s", seconds),
    "lingering_close": ("lingering", lambda directive, problems: one_of(directive, problems, "off", "on", "always")),
    "lingering_time": ("lingering_time_s", seconds),
    "lingering_timeout": ("lingering_timeout_s", seconds),
    "reset_timedout_connection": ("reset_timedout", flag),
}
_GZIP: dict[str, tuple[str, _Convert]] = {
    "gzip_types": ("types", lambda directive, _: ["text/html", *directive.args]),
    "gzip_min_length": ("min_bytes", size),
    "gzip_comp_level": ("level", lambda directive, problems: int(one_of(directive, problems, *"123456789"))),
    "gzip_vary": ("vary", flag),
    "gzip_proxied": ("proxied", lambda directive, problems: one_of(directive, problems, "off", "any") == "any"),
    "gzip_http_version": ("http_version", lambda directive, problems: one_of(directive, problems, "1.0", "1.1")),
}
_OLD_TLS, _TLS_VERSIONS = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1"), ("TLSv1.2", "TLSv1.3")
_UPSTREAM_URL = re.compile(r"(https?)://(?:(unix:[^:$]+):?|([^/$]+))(.*)", re.DOTALL)

_ITS_OWN = ("free_methods", "other_methods")  # of a location, not of those in it


def tls_versions(directive: Directive, problems: Problems) -> tuple[str, ...]:
    """Versions of TLS. Those before 1.2 are left out, and it is a problem if there are no others."""
    unknown = [version for version in directive.args if version not in (*_OLD_TLS, *_TLS_VERSIONS)]
    known = tuple(version for version in directive.args if version in _TLS_VERSIONS)
    if unknown or not known:
        problems.add(directive, f"{', '.join(unknown or directive.args)} is not offered; use TLSv1.2 TLSv1.3")
    return known or _TLS_VERSIONS


class Inherited:
    """Settings on their way down. A level that has one entry of a list of its own begins that list anew, as in nginx."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {"absolute_redirects": True}
        self.heads: dict[str, Any] = {}  # what clients may do, before it is known what they ask for
        self.clients: dict[str, Any] = {}  # and afterwards
        self.tls: dict[str, Any] = {}  # towards upstreams
        self.listener_tls: dict[str, Any] = {}
        self.gzips = False
        self.gzip: dict[str, Any] = {}
        self.variables: dict[str, str] = {}
        self.names: frozenset[str] = frozenset()  # of named locations of the server
        self.content_type = "text/plain"
        self.root = ""
        self._lists: dict[str, list[Any]] = {}
        self._own: set[str] = set()

    def copy(self) -> Inherited:
        fresh = Inherited()
        fresh.values = {key: value for key, value in self.values.items() if key not in _ITS_OWN}
        fresh.heads = dict(self.heads)
        fresh.clients = dict(self.clients)
        fresh.tls = dict(self.tls)
        fresh.listener_tls = dict(self.listener_tls)
        fresh.gzips = self.gzips
        fresh.gzip = dict(self.gzip)
        fresh.names = self.names
        fresh.content_type = self.content_type
        fresh.root = self.root
        fresh._lists = {key: list(entries) for key, entries in self._lists.items()}
        return fresh

    def add(self, key: str, entry: Any) -> None:
        if key not in self._own:
            self._own.add(key)
            self._lists[key] = []
        self._lists[key].append(entry)

    def drop(self, key: str) -> None:
        self._lists.pop(key, None)

    def listed(self, key: str) -> list[Any]:
        return self._lists.get(key, [])


def typed(answer: Return, shared: Inherited) -> Return:
    """An answer of the type that holds where it stands."""
    return answer if answer.file else replace(answer, content_type=shared.content_type)


def typed_rules(rules: Iterable[Rule], shared: Inherited) -> list[Rule]:
    """Rules whose answers have the type that holds where they stand."""
    return [
        replace(rule, rules=typed_rules(rule.rules, shared), answer=rule.answer and typed(rule.answer, shared))
        for rule in rules
    ]


@dataclass(slots=True)
class _Passed:
    """Where a ``proxy_pass`` goes: the upstream and either a replacement of the path or a whole target."""

    upstream: str = ""
    uri: str = ""
    target: str = ""


class LocationReader:
    """Reads location blocks; upstreams named only in ``proxy_pass`` are collected on the way."""

    def __init__(self, problems: Problems, checks: CheckReader, logs: LogReader) -> None:
        self._problems = problems
        self._answers = AnswerReader(problems)
        self._checks = checks
        self._logs = logs
        self._passed_to: dict[str, tuple[Directive, UpstreamTls | None]] = {}
        self._checks_of: dict[str, list[HealthCheck]] = {}
        self.zones: dict[str, str] = {}
        self.rates = RateReader(problems)
        self.maps: dict[str, Directive] = {}

    def complete(self, upstreams: dict[str, Upstream]) -> dict[str, Upstream]:
        """The groups with their health checks and TLS, and those of ``proxy_pass http://HOST`` without a block."""
        made: dict[str, Upstream] = {}
        for name, (_, tls) in self._passed_to.items():
            if name not in upstreams:
                address = with_port(name, 443 if tls is not None else 80)
                upstreams[name] = Upstream(servers=[Server(address=address)])
            fields = {field: getattr(upstreams[name], field) for field in upstreams[name].__struct_fields__}
            checks = self._checks_of.get(name)
            made[name] = Upstream(**{**fields, "health_check": checks, "tls": tls})
        return {**upstreams, **made}

    def apply(self, directive: Directive, shared: Inherited) -> None:
        """Take a directive that inner levels inherit."""
        name, args = directive.name, directive.args
        if name in _PLAIN:
            key, convert = _PLAIN[name]
            shared.values[key] = convert(directive, self._problems)
        elif name in _CLIENTS:
            key, convert = _CLIENTS[name]
            shared.clients[key] = convert(directive, self._problems)
        elif name == "keepalive_timeout":
            shared.clients["keepalive_s"] = seconds(directive, self._problems)
            if len(args) > 1:  # else clients are told what a block around it says
                shared.clients["keepalive_header_s"] = int(seconds(directive, self._problems, args[1]))
        elif name == "gzip":
            shared.gzips = flag(directive, self._problems)
        elif name in _GZIP:
            key, convert = _GZIP[name]
            shared.gzip[key] = convert(directive, self._problems)
        elif name in _TLS:
            key, convert = _TLS[name]
            shared.tls[key] = convert(directive, self._problems)
        elif name in ("proxy_set_header", "add_header"):
            self._header(directive, shared)
        elif name in ("proxy_redirect", "proxy_cookie_domain", "proxy_cookie_path"):
            self._rewriting(directive, shared)
        elif name == "proxy_hide_header":
            shared.add(name, directive.text)
        elif name in ("allow", "deny"):
            self._access(directive, shared)
        elif name == "limit_conn":
            self._limit_conn(directive, shared)
        elif name == "limit_req":
            limit = self.rates.limit(directive)
            if limit is not None:
                shared.add(name, limit)
        elif name == "access_log":
            self._logs.log(directive, shared)
        elif name == "error_page":
            page = self._answers.error_page(directive)
            if page is not None:
                shared.add(name, (directive, page))
        elif name == "proxy_next_upstream":
            shared.values["next_upstream"] = self._conditions(directive)
        elif name == "proxy_http_version":
            shared.values["http_version"] = one_of(directive, self._problems, "1.1", "1.0")
        elif name == "proxy_bind":
            shared.values["bind"] = "" if directive.text == "off" else directive.text
        elif name == "root":
            shared.root = directive.text
        elif name == "proxy_buffers" and len(args) == 2:
            shared.values["buffer_bytes"] = max(4096, number(directive, self._problems) * size(
                directive, self._problems, args[1]))  # fmt: skip
        else:  # default_type
            shared.content_type = directive.text

    def _conditions(self, directive: Directive) -> list[str]:
        known = (*CONFIGURABLE, "off")
        for word in directive.args:
            if word not in known:
                self._problems.add(directive, f"{word} is none of {', '.join(known)}{meant(word, known)}")
        return [word for word in directive.args if word in known]

    def _header(self, directive: Directive, shared: Inherited) -> None:
        name, value, *more = directive.args
        if not name or name.encode().translate(None, TOKEN):
            self._problems.add(directive, f"{name!r} is not the name of a header")
            return
        if more not in ([], ["always"]):
            self._problems.wrong(directive, "NAME VALUE")
        shared.add(directive.name, (name, self._problems.template(directive, value), bool(more)))

    def _rewriting(self, directive: Directive, shared: Inherited) -> None:
        args = directive.args
        only_text = directive.name != "proxy_redirect"
        if args in (("off",), ("default",)) and not (only_text and args == ("default",)):
            shared.add(directive.name, args[0])
        elif len(args) == 2 and not (only_text and (args[0].startswith("~") or "$" in args[0] + args[1])):
            if args[0].startswith("~"):
                self._problems.pattern(directive, args[0].removeprefix("~").removeprefix("*"))
            else:
                self._problems.template(directive, args[0])
            shared.add(directive.name, Redirect(match=args[0], to=self._problems.template(directive, args[1])))
        else:
            self._problems.wrong(directive, "off, or two texts" if only_text else "off, default, or FROM TO")

    def _access(self, directive: Directive, shared: Inherited) -> None:
        line = f"{directive.name} {directive.text}"
        try:
            parse_access([line])
        except ValueError:
            self._problems.wrong(directive, "an address, a network or all")
        else:
            shared.add("access", line)

    def _limit_conn(self, directive: Directive, shared: Inherited) -> None:
        zone, most = directive.text, directive.args[1]
        if zone not in self.zones:
            self._problems.add(directive, f"there is no limit_conn_zone named {zone!r}")
        elif not most.isdigit() or not int(most):
            self._problems.wrong(directive, "a zone and a number")
        else:
            shared.add("limit_conn", ConnLimit(key=self.zones[zone], most=int(most), zone=zone))

    def rules(self, directives: Sequence[Directive], shared: Inherited) -> list[Rule]:
        """What a block's ``if``, ``rewrite``, ``set`` and ``break`` do, in their order.

        Values set once and for good need no rule: they belong to the location, and requests find them there.
        """
        rules: list[Rule] = []
        plain = "other_methods" not in shared.values and all(directive.name == "set" for directive in directives)
        seen: set[str] = set()
        for directive in directives:
            changed = directive.text in ("$args", *seen) or "$args" in seen
            if plain and not changed and self._is_for_good(directive):
                name, value = self._answers.setting(directive)
                shared.variables[name] = value
            else:
                rules += self._answers.rules(directive)
            seen.add(directive.text)
        return rules

    def _is_for_good(self, directive: Directive) -> bool:
        """Whether a value depends on nothing that rules or patterns could have said before."""
        return len(directive.args) == 2 and self._never_changes(directive.args[1])

    def _never_changes(self, text: str) -> bool:
        """Whether a text says the same from the beginning of a request to its end."""
        for name in references(text):
            entry = self.maps.get(name)
            if entry is not None:
                inside = [entry.args[0], *(value for each in entry.block or () for value in each.args)]
                if not all(map(self._never_changes, inside)):
                    return False
            elif name in BUILT_IN:
                if BUILT_IN[name].reach is Reach.REQUEST and name != "request_id":
                    return False
            elif not name.startswith(("http_", "cookie_", "arg_")):
                return False
        return True

    # One location

    def read_all(self, locations: Iterable[Directive], shared: Inherited) -> list[Location]:
        """Locations of one block; a path stands there once."""
        known: dict[str, Directive] = {}
        for location in locations:
            path = location.args[-1] if location.text == "^~" else " ".join(location.args)
            first = known.setdefault(path, location)
            if first is not location:
                self._problems.add(location, f"there is a location {path} already, in {first.file}:{first.line}")
            try:
                parse_pattern(" ".join(location.args))
            except ValueError:
                if location.text not in ("~", "~*"):
                    self._problems.wrong(location, "/path, = /path, ^~ /path, ~ regex, ~* regex or @name")
        return [self.read(location, shared) for location in locations]

    def read(self, location: Directive, outer: Inherited) -> Location:
        """A location with those nested in it."""
        shared = outer.copy()
        passed: Directive | None = None
        answer: Return | None = None
        status = False
        ruling: list[Directive] = []
        checks: list[Directive] = []
        nested: list[Directive] = []
        if location.text in ("~", "~*"):
            self._problems.pattern(location, location.args[-1])
        for directive in permitted(location.block or (), "location", self._problems):
            if directive.name == "proxy_pass":
                passed = directive
            elif directive.name == "return":
                answer = answer or self._answers.answer(directive)
            elif directive.name in RULES:
                # What stands behind an unconditional return is never reached.
                ruling += [directive] if answer is None else []
            elif directive.name == "root":
                answer = self._file(location, directive)
            elif directive.name == "limit_except":
                self._limit_except(directive, shared)
            elif directive.name == "stub_status":
                answer = Return(status=200, text="$stub_status")
                status = True
            elif directive.name == "health_check":
                checks.append(directive)
            elif directive.name == "location":
                nested.append(directive)
            elif directive.name == "internal":
                shared.values["internal"] = True
            else:
                self.apply(directive, shared)
        inner = self.read_all(nested, shared)
        rules = self.rules(ruling, shared)
        returns = answer is not None and not answer.file and not status
        if answer is not None and returns and (rules or "other_methods" in shared.values):
            rules, answer = [*rules, Rule(answer=answer)], None
        elif returns:
            shared.drop("access")  # which nginx looks at later
        if passed is None and answer is None:
            if not location.block:
                self._problems.add(location, "has neither proxy_pass nor return")
            answer = self._found_above(location, shared)
        read = self._location(location, shared, passed, answer, rules, checks)
        return replace(read, locations=inner)

    def answering(self, server: Directive, answer: Return, shared: Inherited, path: str = "/") -> Location:
        """What answers every request of a server that no location takes."""
        everything = Directive("location", (path,), server.file, server.line)
        return self._location(everything, shared, None, answer, [], [])

    def _location(
        self, location: Directive, shared: Inherited, passed: Directive | None, answer: Return | None,
        rules: list[Rule], checks: list[Directive],
    ) -> Location:  # fmt: skip
        if answer is not None and passed is not None:
            rules, answer = [*rules, Rule(answer=answer)], None
        target = self._target(passed, shared) if passed is not None else _Passed()
        if passed is not None and target.uri and location.text.startswith("@"):
            self._problems.add(passed, "in a named location there is no path that a URI could take the place of")
        for check in checks if target.upstream else ():
            timeout_s = min(3600, shared.values.get("read_timeout_s", 60))
            self._checks_of.setdefault(target.upstream, []).append(self._checks.check(check, timeout_s))
        path = " ".join(location.args)
        headers = [(name, value) for name, value, _ in shared.listed("proxy_set_header")]
        if all(name.lower() != "host" for name, _ in headers):
            headers.append(("Host", "$proxy_host"))
        connection = next((value for name, value in headers if name.lower() == "connection"), None)
        if connection == "":
            headers = [(name, value) for name, value in headers if name.lower() != "connection"]
        added = shared.listed("add_header")
        return Location(
            path=path,
            upstream=target.upstream,
            upstream_uri=target.uri,
            upstream_target=target.target,
            answer=typed(answer, shared) if answer is not None else None,
            rules=typed_rules(rules, shared),
            access=shared.listed("access"),
            set_headers=_by_name(headers) if target.upstream else {},
            add_headers=_by_name((name, value) for name, value, always in added if not always),
            add_headers_always=_by_name((name, value) for name, value, always in added if always),
            hide_headers=shared.listed("proxy_hide_header"),
            gzip=Gzip(**shared.gzip) if shared.gzips else None,
            variables=shared.variables,
            clients=LocationClients(**shared.clients),
            websocket=connection not in (None, "", "close"),
            redirects=self._redirects(location, shared, target) if target.upstream else [],
            cookie_domains=_pairs(shared.listed("proxy_cookie_domain")),
            cookie_paths=_pairs(shared.listed("proxy_cookie_path")),
            conn_limits=shared.listed("limit_conn"),
            rate_limits=shared.listed("limit_req"),
            access_logs=[log for log in shared.listed("access_log") if log is not None],
            error_pages=self._pages(shared),
            **shared.values,
        )  # fmt: skip

    def _pages(self, shared: Inherited) -> list[ErrorPage]:
        pages: list[ErrorPage] = []
        for directive, page in shared.listed("error_page"):
            pages.append(page)
            if page.to.startswith("@") and page.to not in shared.names:
                self._problems.add(directive, f"the server has no location {page.to}")
        return pages

    def _redirects(self, location: Directive, shared: Inherited, target: _Passed) -> list[Redirect]:
        redirects: list[Redirect] = []
        named = not target.target and not unix_path(target.upstream)
        for entry in shared.listed("proxy_redirect") or ["default"]:
            if isinstance(entry, Redirect):
                redirects.append(entry)
            elif entry == "default" and named:
                scheme = "http" if self._passed_to[target.upstream][1] is None else "https"
                url = f"{scheme}://{target.upstream}{target.uri or '/'}"
                redirects.append(Redirect(match=url, to=location.args[-1] if target.uri else "/"))
        return [] if "off" in shared.listed("proxy_redirect") else redirects

    def _target(self, directive: Directive, shared: Inherited) -> _Passed:
        found = _UPSTREAM_URL.fullmatch(directive.text)
        if found is None:
            self._problems.wrong(directive, "http:// or https:// with an upstream whose name has no variables")
            return _Passed()
        scheme, name, uri = found[1], found[2] or found[3], found[4]
        tls = UpstreamTls(**shared.tls) if scheme == "https" else None
        if tls is not None and "$" in tls.name:
            self._problems.add(directive, "proxy_ssl_name cannot have variables")
        first = self._passed_to.setdefault(name, (directive, tls))
        if first[1] != tls:
            self._problems.add(directive, f"{name} is reached in another way from {first[0].file}:{first[0].line}; "
                                          "give it a second upstream block")  # fmt: skip
        if "$" in uri:
            return _Passed(name, target=self._problems.template(directive, uri))
        return _Passed(name, uri)

    def _limit_except(self, directive: Directive, shared: Inherited) -> None:
        """Access for all other methods; GET stands for HEAD, too."""
        methods = [*directive.args, "HEAD"] if "GET" in directive.args else list(directive.args)
        others = Inherited()
        for inner in permitted(directive.block or (), "limit_except", self._problems):
            self._access(inner, others)
        if others.listed("access"):
            shared.values |= {"free_methods": methods, "other_methods": others.listed("access")}

    def _found_above(self, location: Directive, shared: Inherited) -> Return:
        """What answers in a location that says nothing: the one file it is for, if there is a root, else an error."""
        path = Path(shared.root + location.args[-1])
        if shared.root and location.text == "=" and path.is_file():
            return _sent(path)
        return Return(status=404)

    def _file(self, location: Directive, directive: Directive) -> Return | None:
        if len(location.args) != 2 or location.text != "=":
            self._problems.add(directive, refusal("root"))
            return None
        path = Path(directive.text + location.args[1])
        if not path.is_file():
            self._problems.add(directive, f"there is no file {path}")
        return _sent(path)


def _sent(path: Path) -> Return:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return Return(status=200, file=str(path), content_type=kind)


def _by_name(headers: Iterable[tuple[str, str]]) -> dict[str, OneOrMore]:
    """Headers by their names, of which one may come several times."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    return dict(values)


def _pairs(entries: list[Any]) -> list[Redirect]:
    return [] if "off" in entries else [entry for entry in entries if isinstance(entry, Redirect)]
