"""Variables in headers, log formats and redirects: ``$host``, ``$remote_addr``, ``$http_…`` and friends.

A template is compiled once. Each variable has a *reach*: what its value depends on. What depends only on the fields of a
request is filled in when such fields are first seen, so that the next request with the same fields costs one join.
"""

from __future__ import annotations

import base64
import enum
import os
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from services.balancer.core.course import Course, chosen_by, uri_of
from services.balancer.core.paths import query_argument
from services.balancer.core.patterns import MAX_NUMBERED, capture_names
from services.balancer.wire.request import RequestHead, host_name, origin_form


class Reach(enum.IntEnum):
    """What a value depends on, from the request's fields to the moment; the greater includes the lesser."""

    FIELDS = 0
    CONNECTION = 1
    LINE = 2
    REQUEST = 3


@dataclass(frozen=True, slots=True)
class Client:
    """Facts of one client connection."""

    remote_addr: bytes
    remote_port: bytes
    server_addr: bytes
    server_port: bytes
    scheme: bytes
    packed_addr: bytes
    serial: int
    tls_protocol: bytes = b""
    tls_cipher: bytes = b""
    tls_server_name: bytes = b""


@dataclass(frozen=True, slots=True)
class Names:
    """Facts of the route a request took; ``own`` are names of ``settings`` that are the location's, not the server's;
    ``captured`` is what the patterns of the server's name and of the location capture.
    """

    server_name: bytes
    proxy_host: bytes
    proxy_port: bytes
    settings: Mapping[str, Template]
    own: frozenset[str]
    captured: Mapping[str, Variable] = field(default_factory=dict)


class Outcome(Protocol):
    """What is known when a request is under way or over; times in seconds, ``started_at`` since the epoch."""

    @property
    def status(self) -> int: ...
    @property
    def body_bytes(self) -> int: ...
    @property
    def head_bytes(self) -> int: ...
    @property
    def request_bytes(self) -> int: ...
    @property
    def request_id(self) -> bytes: ...
    @property
    def elapsed_s(self) -> float: ...
    @property
    def epoch_s(self) -> float: ...
    @property
    def requests_on_connection(self) -> int: ...
    def attempts(self) -> Iterable[Try]: ...
    @property
    def content_length(self) -> bytes: ...
    @property
    def retold(self) -> bytes: ...
    @property
    def connections(self) -> tuple[int, int, int, int]: ...
    @property
    def looked_up(self) -> dict[str, bytes]: ...
    def answer_field(self, name: bytes) -> bytes: ...
    def sent_field(self, name: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt at a peer, for logs; a time is None when it was not reached.

    Without an address it stands between the attempts at one upstream and at the next, where an error has led.
    """

    address: str
    status: int
    connect_s: float | None
    header_s: float | None
    total_s: float | None


class Scope(Protocol):
    """What a variable may look at."""

    @property
    def request(self) -> RequestHead: ...
    @property
    def client(self) -> Client: ...
    @property
    def names(self) -> Names: ...
    @property
    def outcome(self) -> Outcome: ...


Reader = Callable[[Scope], bytes]
Part = bytes | Reader


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable's reader and its reach. ``always_set``: it may be empty, but it is never missing, as logs tell."""

    read: Reader
    reach: Reach = Reach.FIELDS
    never_empty: bool = False
    always_set: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """Text with variables, compiled."""

    parts: tuple[bytes | Variable, ...]

    def render(self, scope: Scope) -> bytes:
        return b"".join([part if isinstance(part, bytes) else part.read(scope) for part in self.parts])

    def specialise(self, scope: Scope) -> list[Part]:
        """Parts with everything filled in that depends on the request's fields alone."""
        parts: list[Part] = []
        for part in self.parts:
            if isinstance(part, bytes):
                parts.append(part)
            else:
                parts.append(part.read(scope) if part.reach is Reach.FIELDS else part.read)
        return parts

    @property
    def never_empty(self) -> bool:
        """Whether the text has something in it whatever the request is."""
        return any(isinstance(part, bytes) or part.never_empty for part in self.parts)

    @property
    def reach(self) -> Reach:
        return max((part.reach for part in self.parts if isinstance(part, Variable)), default=Reach.FIELDS)


def join_parts(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Merge neighbouring constants."""
    merged: list[Part] = []
    for part in parts:
        if merged and isinstance(part, bytes) and isinstance(merged[-1], bytes):
            merged[-1] += part
        else:
            merged.append(part)
    return tuple(merged)


_REFERENCE = re.compile(r"\$(?:\{(\w+)\}|([1-9]|[A-Za-z_]\w*))")


def compile_template(text: str, more: Mapping[str, Variable] | None = None) -> Template:
    """Compile text; raises ValueError that names an unknown variable. ``more`` are variables of the configuration."""
    parts: list[bytes | Variable] = []
    position = 0
    for found in _REFERENCE.finditer(text):
        parts.append(text[position : found.start()].encode())
        parts.append(lookup(found[1] or found[2], more or {}))
        position = found.end()
    parts.append(text[position:].encode())
    return Template(tuple(part for part in parts if part != b""))


def references(text: str) -> list[str]:
    """Names of the variables in a text."""
    return [found[1] or found[2] for found in _REFERENCE.finditer(text)]


def lookup(name: str, more: Mapping[str, Variable]) -> Variable:
    """The variable of a name (without the dollar sign); raises ValueError."""
    known = more.get(name) or BUILT_IN.get(name)
    if known is not None:
        return known
    for prefix, make in FAMILIES.items():
        if name.startswith(prefix) and len(name) > len(prefix):
            return make(name[len(prefix) :])
    raise ValueError(f"unknown variable ${name}")


# Readers


def _host(scope: Scope) -> bytes:
    return _asked_host(scope) or scope.names.server_name


def _asked_host(scope: Scope) -> bytes:
    return host_name(scope.request.host)


def _forwarded_for(scope: Scope) -> bytes:
    before = scope.request.get(b"x-forwarded-for")
    return before + b", " + scope.client.remote_addr if before else scope.client.remote_addr


def _request_line(scope: Scope) -> bytes:
    request = scope.request
    if not request.method:  # a line that could not be understood
        return request.target
    method = request.first_method if isinstance(request, Course) else request.method
    return b"%b %b HTTP/1.%d" % (method, request.target, request.minor)


def _number(value: float) -> bytes:
    return b"%.3f" % value


def _upstream(read: Callable[[Try], str]) -> Variable:
    def joined(scope: Scope) -> bytes:
        upstreams: list[list[str]] = [[]]
        for attempt in scope.outcome.attempts():
            if attempt.address:
                upstreams[-1].append(read(attempt))
            else:
                upstreams.append([])
        return " : ".join(map(", ".join, upstreams)).encode()

    return Variable(joined, Reach.REQUEST)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _time(form: str) -> Variable:
    def read(scope: Scope) -> bytes:
        return datetime.fromtimestamp(scope.outcome.epoch_s, UTC).strftime(form).encode()

    return Variable(read, Reach.REQUEST)


def _cookie(name: str) -> Variable:
    wanted = re.compile(rb"(?:^|[;,] *)%b *= *([^;]*)" % re.escape(name.encode()), re.IGNORECASE)

    def read(scope: Scope) -> bytes:
        cookies = [field.value for field in scope.request.fields if field.name == b"cookie"]
        return next((found[1] for cookie in cookies if (found := wanted.search(cookie))), b"")

    return Variable(read)


def _header_name(name: str) -> bytes:
    return name.lower().replace("_", "-").encode()


def _header(name: str) -> Variable:
    wanted = _header_name(name)
    separator = _JOINED.get(wanted)

    def read(scope: Scope) -> bytes:
        values = [field.value for field in scope.request.fields if field.name == wanted]
        return separator.join(values) if separator else values[0] if values else b""

    return Variable(read)


def _user(scope: Scope) -> bytes:
    """The name in ``Authorization: Basic``, whose password nobody has checked here."""
    scheme, _, text = scope.request.get(b"authorization").partition(b" ")
    if scheme.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(text.strip(), validate=True).partition(b":")[0]
    except ValueError:
        return b""


def _answer_header(name: str) -> Variable:
    wanted = _header_name(name)
    return Variable(lambda scope: scope.outcome.answer_field(wanted), Reach.REQUEST)


def _sent_header(name: str) -> Variable:
    wanted = _header_name(name)
    return Variable(lambda scope: scope.outcome.sent_field(wanted), Reach.REQUEST)


def _stub_status(scope: Scope) -> bytes:
    active, waiting, accepted, requests = scope.outcome.connections
    return (
        b"Active connections: %d \nserver accepts handled requests\n %d %d %d \nReading: 0 Writing: %d Waiting: %d \n"
        % (active, accepted, accepted, requests, active - waiting, waiting)
    )


_HOSTNAME = socket.gethostname().encode()
_JOINED = {b"cookie": b"; ", b"x-forwarded-for": b", "}
"""Fields of requests that may come several times; of others the first one counts (as in nginx before 1.23)."""

FAMILIES: dict[str, Callable[[str], Variable]] = {
    "http_": _header,
    "cookie_": _cookie,
    "arg_": lambda name: Variable(lambda scope: query_argument(scope.request.query, name.encode()), Reach.LINE),
    "upstream_http_": _answer_header,
    "sent_http_": _sent_header,
}

_NEVER_EMPTY = frozenset((
    "remote_addr", "remote_port", "server_addr", "server_port", "scheme", "connection", "proxy_add_x_forwarded_for",
    "msec", "request_id", "request_uri", "request_method", "uri", "request",
))  # fmt: skip

_ALWAYS_SET = frozenset(("is_args", "host", "server_name"))

_CONNECTION: dict[str, Reader] = {
    "remote_addr": lambda scope: scope.client.remote_addr,
    "remote_port": lambda scope: scope.client.remote_port,
    "binary_remote_addr": lambda scope: scope.client.packed_addr,
    "server_addr": lambda scope: scope.client.server_addr,
    "server_port": lambda scope: scope.client.server_port,
    "scheme": lambda scope: scope.client.scheme,
    "https": lambda scope: b"on" if scope.client.scheme == b"https" else b"",
    "connection": lambda scope: b"%d" % scope.client.serial,
    "proxy_add_x_forwarded_for": _forwarded_for,
    "ssl_protocol": lambda scope: scope.client.tls_protocol,
    "ssl_cipher": lambda scope: scope.client.tls_cipher,
    "ssl_server_name": lambda scope: scope.client.tls_server_name,
}

_LINE: dict[str, Reader] = {
    "request_method": lambda scope: scope.request.method,
    "request_uri": lambda scope: origin_form(scope.request),
    "request": _request_line,
    "uri": lambda scope: uri_of(scope.request),
    "document_uri": lambda scope: uri_of(scope.request),
    "args": lambda scope: scope.request.query,
    "query_string": lambda scope: scope.request.query,
    "is_args": lambda scope: b"?" if scope.request.query else b"",
}

_FIELDS: dict[str, Reader] = {
    "host": _host,  # an absolute target can name another; such requests are composed on their own
    "server_protocol": lambda scope: b"HTTP/1.%d" % scope.request.minor,
    "content_type": lambda scope: scope.request.get(b"content-type"),
    "server_name": lambda scope: scope.names.server_name,
    "proxy_host": lambda scope: scope.names.proxy_host,
    "proxy_port": lambda scope: scope.names.proxy_port,
    "remote_user": _user,
    "gzip_ratio": lambda scope: b"",
    "upstream_cache_status": lambda scope: b"",
    "ssl_session_reused": lambda scope: b"",
    "pipe": lambda scope: b".",
    "hostname": lambda scope: _HOSTNAME,
    "pid": lambda scope: b"%d" % os.getpid(),
}

_REQUEST: dict[str, Reader] = {
    "content_length": lambda scope: scope.outcome.content_length,
    "status": lambda scope: b"%03d" % scope.outcome.status,
    "body_bytes_sent": lambda scope: b"%d" % scope.outcome.body_bytes,
    "bytes_sent": lambda scope: b"%d" % (scope.outcome.body_bytes + scope.outcome.head_bytes),
    "request_length": lambda scope: b"%d" % scope.outcome.request_bytes,
    "request_time": lambda scope: _number(scope.outcome.elapsed_s),
    "request_id": lambda scope: scope.outcome.request_id,
    "connection_requests": lambda scope: b"%d" % scope.outcome.requests_on_connection,
    "msec": lambda scope: _number(scope.outcome.epoch_s),
    "connections_active": lambda scope: b"%d" % scope.outcome.connections[0],
    "connections_waiting": lambda scope: b"%d" % scope.outcome.connections[1],
    "stub_status": _stub_status,
}

BUILT_IN: dict[str, Variable] = {
    **{
        name: Variable(read, reach, name in _NEVER_EMPTY, name in _ALWAYS_SET)
        for reach, readers in (
            (Reach.FIELDS, _FIELDS),
            (Reach.LINE, _LINE),
            (Reach.CONNECTION, _CONNECTION),
            (Reach.REQUEST, _REQUEST),
        )
        for name, read in readers.items()
    },
    "time_iso8601": _time("%Y-%m-%dT%H:%M:%S+00:00"),
    "time_local": _time("%d/%b/%Y:%H:%M:%S +0000"),
    "upstream_addr": _upstream(lambda attempt: attempt.address),
    "upstream_status": _upstream(lambda attempt: str(attempt.status or "-")),
    "upstream_connect_time": _upstream(lambda attempt: _seconds(attempt.connect_s)),
    "upstream_header_time": _upstream(lambda attempt: _seconds(attempt.header_s)),
    "upstream_response_time": _upstream(lambda attempt: _seconds(attempt.total_s)),
}


CHOSEN_BY = Variable(lambda scope: chosen_by(scope.request), Reach.LINE)
"""What the pattern of a location was matched with."""


def _numbered(number: int) -> Variable:
    def read(scope: Scope) -> bytes:
        found = scope.request.captured if isinstance(scope.request, Course) else None
        if found is not None:
            return (found[number] or b"") if number <= found.re.groups else b""
        variable = scope.names.captured.get(str(number))
        return variable.read(scope) if variable is not None else b""

    return Variable(read, Reach.LINE)


NUMBERED = {str(number): _numbered(number) for number in range(1, MAX_NUMBERED + 1)}
"""``$1`` to ``$9``: what the latest pattern has captured on the way of a request, or the one that led it here at once."""


def escaping(variable: Variable, form: Callable[[bytes], bytes]) -> Variable:
    """What a ``rewrite`` captured, for a redirect or a query: escaped anew only when the path came with escapes."""

    def read(scope: Scope) -> bytes:
        value, path = variable.read(scope), scope.request.path
        return form(value) if b"%" in path or b"+" in path else value

    return Variable(read, variable.reach)


def setting(name: str) -> Variable:
    """A variable of ``set`` or of a group's name: what a rule has set, or the value that belongs to the route taken."""

    def read(scope: Scope) -> bytes:
        if isinstance(scope.request, Course) and name in scope.request.values:
            return scope.request.values[name]
        template = scope.names.settings.get(name)
        if template is not None:
            return template.render(scope)
        variable = scope.names.captured.get(name)
        return variable.read(scope) if variable is not None else b""

    return Variable(read, Reach.REQUEST, always_set=True)


def captures(pattern: re.Pattern[bytes], subject: Variable) -> dict[str, Variable]:
    """Variables of what a pattern captures from a subject: ``$1`` to ``$9`` and named ones; empty without a match."""

    def reader(group: int | str) -> Reader:
        def read(scope: Scope) -> bytes:
            found = pattern.search(subject.read(scope))
            return (found[group] or b"") if found is not None else b""

        return read

    names = capture_names(pattern)
    return {name: Variable(reader(int(name) if name.isdigit() else name), subject.reach) for name in names}


def origin(scope: Scope, *, name_port: bool, name_server: bool) -> bytes:
    """Scheme, host and port by which a client can come back (nginx ``absolute_redirect`` and its companions)."""
    client = scope.client
    usual = b"443" if client.scheme == b"https" else b"80"
    port = b":" + client.server_port if name_port and client.server_port != usual else b""
    host = scope.names.server_name if name_server else _asked_host(scope)
    return client.scheme + b"://" + (host or client.server_addr) + port


@dataclass(frozen=True, slots=True)
class MapTable:
    """nginx ``map``: exact values first, then patterns in order, then the default."""

    name: str
    source: Template
    exact: Mapping[bytes, Template]
    patterns: tuple[tuple[re.Pattern[bytes], Template], ...]
    default: Template

    def read(self, scope: Scope) -> bytes:
        """Of a request that changes on its way, what was found first stands."""
        return self._first(scope.request.looked_up, scope) if isinstance(scope.request, Course) else self._look_up(scope)

    def read_late(self, scope: Scope) -> bytes:
        """The same of any request, where the value depends on how far it is."""
        return self._first(scope.outcome.looked_up, scope)

    def _first(self, found: dict[str, bytes], scope: Scope) -> bytes:
        if self.name not in found:
            found[self.name] = self._look_up(scope)
        return found[self.name]

    def _look_up(self, scope: Scope) -> bytes:
        value = self.source.render(scope)
        found = self.exact.get(value.lower())
        if found is None:
            found = next((result for pattern, result in self.patterns if pattern.search(value)), self.default)
        return found.render(scope)

    def variable(self) -> Variable:
        results = (*self.exact.values(), *(result for _, result in self.patterns), self.default)
        reach = max(self.source.reach, *(result.reach for result in results))
        return Variable(self.read_late if reach is Reach.REQUEST else self.read, reach, always_set=True)
