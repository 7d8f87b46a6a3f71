"""The shape of the settings file. The package ``nginx`` reads an nginx.conf into the same shape."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Positive = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0, le=86400)]
Percent = Annotated[int, Meta(ge=0, le=100)]
OneOrMore = str | list[str]
MAX_WORKERS = 32
MAX_CLIENTS = 1_000_000


class Server(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One server of an upstream (nginx ``server`` inside ``upstream``), at HOST:PORT or ``unix:/PATH``."""

    address: str
    weight: Positive = 1
    max_fails: Natural = 1
    fail_timeout_s: Natural = 10
    max_conns: Natural = 0
    slow_start_s: Seconds = 0
    backup: bool = False
    down: bool = False
    drain: bool = False


class HeaderMatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A condition on one header of a check's answer; without value and pattern: it is present."""

    name: str
    value: str | None = None
    pattern: str | None = None
    negate: bool = False


class HealthCheck(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An active check (nginx Plus ``health_check`` and ``match``)."""

    interval_s: Annotated[float, Meta(gt=0, le=86400)] = 5
    jitter_s: Seconds = 0
    timeout_s: Annotated[float, Meta(gt=0, le=3600)] = 5
    fails: Positive = 1
    passes: Positive = 1
    uri: str = "/"
    host: str = ""
    port: Annotated[int, Meta(ge=0, le=65535)] = 0
    status: list[int | str] = msgspec.field(default_factory=lambda: ["200-399"])
    headers: list[HeaderMatch] = []
    body: str = ""
    require: list[str] = []
    mandatory: bool = False
    persistent: bool = False


class KeepAlive(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Idle connections to an upstream (nginx ``keepalive`` and its companions)."""

    connections: Natural = 32
    idle_s: Seconds = 60
    life_s: Seconds = 3600
    requests: Positive = 1000


class Queue(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Requests that wait when every server is at ``max_conns`` (nginx Plus ``queue``)."""

    size: Positive
    timeout_s: Seconds = 60


TlsVersion = Literal["TLSv1.2", "TLSv1.3"]


class UpstreamTls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS to the servers of an upstream (nginx ``proxy_pass https://`` and ``proxy_ssl_…``).

    As in nginx, certificates are not verified and no name is sent unless asked for. ``name`` is the upstream's own by
    default; ``trusted`` the system's authorities. Verifying sends the name, too.
    """

    verify: bool = False
    trusted: str = ""
    name: str = ""
    send_name: bool = False
    protocols: tuple[TlsVersion, ...] = ("TLSv1.2", "TLSv1.3")
    ciphers: str = ""
    certificate: str = ""
    key: str = ""


class Upstream(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group of servers. ``zone``: workers share what they know of them (nginx ``zone``)."""

    servers: Annotated[list[Server], Meta(min_length=1, max_length=1000)]
    method: str = "round_robin"
    hash_key: str = ""
    keepalive: KeepAlive = KeepAlive()
    health_check: HealthCheck | list[HealthCheck] | None = None
    queue: Queue | None = None
    zone: bool = False
    tls: UpstreamTls | None = None
    panic_percent: Percent = 0
    max_ejected_percent: Percent = 0


class Return(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An answer of the balancer itself: a redirect when ``location`` is set (nginx ``return``).

    Status 444 closes the connection without an answer. ``file`` is read at the start and sent as it is.
    """

    status: Annotated[int, Meta(ge=200, le=599)]
    location: str = ""
    text: str = ""
    file: str = ""
    content_type: str = "text/plain; charset=utf-8"


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something done before a request goes to the upstream; rules are followed one after the other.

    ``when`` is one condition, ``[VARIABLE]`` or ``[VARIABLE, OPERATOR, VALUE]`` with ``=``, ``!=``, ``~``, ``~*``, ``!~``
    or ``!~*`` (nginx ``if``); ``pattern`` must match the path (nginx ``rewrite``); both may be left out. Then variables
    are ``set``, the path becomes ``uri``, where ``$1`` is what the pattern captured, the ``rules`` inside are followed, or
    ``answer`` is given. A ``?`` in the uri begins another query, and with nothing behind it there is none; with
    ``keep_query`` the request's own goes behind it.

    ``then`` says how it goes on: ``next`` with the next rule, ``break`` with no other rule, ``last`` in the location that
    the new path belongs to (where a request that changed its path arrives behind the last rule, too). By default a rule
    with a ``uri`` is a ``break``, any other one a ``next``. After ten changes of location the answer is 500.
    """

    when: list[str] = []
    pattern: str = ""
    set: dict[str, str] = {}
    uri: str = ""
    keep_query: bool = False
    rules: list[Rule] = []
    answer: Return | None = None
    then: Literal["", "next", "break", "last"] = ""


class Redirect(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How ``Location`` of an answer is rewritten: what begins with ``match``, or matches a pattern ``~…``."""

    match: str
    to: str


class ErrorPage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What clients get instead of an error (nginx ``error_page``): an answer, or what a location makes of the request.

    ``to`` is a path, which is asked for with GET, or the ``@name`` of a location, which gets the request as it is. Status
    0 keeps the error's own, ``answer`` takes that of what answers. An error on the way to a page is answered plainly,
    unless the location has ``recursive_error_pages``.
    """

    statuses: list[Annotated[int, Meta(ge=300, le=599)]]
    answer: Return | None = None
    to: str = ""
    status: Annotated[int, Meta(ge=0, le=599)] | Literal["answer"] = 0


class ConnLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most ``most`` requests in progress for each value of ``key`` (nginx ``limit_conn``); ``zone`` shares the count."""

    key: str
    most: Positive
    zone: str = ""


class RateLimit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """At most ``per_s`` requests a second for each value of ``key`` (nginx ``limit_req``).

    What comes faster waits for its turn, up to ``burst`` requests; more are refused. The first ``undelayed`` of the burst
    do not wait (nginx ``delay=``), with ``all`` none does (nginx ``nodelay``). ``zone`` shares the count; of its values of
    the key the ``keys`` that came last are remembered.
    """

    key: str
    per_s: Annotated[float, Meta(ge=0.001, le=1_000_000)]
    burst: Natural = 0
    undelayed: Natural | Literal["all"] = 0
    zone: str = ""
    keys: Positive = 8000


class AccessLog(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line per request, to a file or to ``stderr``; only those for which ``when`` is neither empty nor 0."""

    path: str
    format: str = "combined"
    escape: Literal["default", "json", "none"] = "default"
    when: str = ""


Timeout = Annotated[float, Meta(gt=0, le=3600)]
Lingering = Literal["off", "on", "always"]


class LocationClients(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What clients may do at one location; a key that is not given is as for its site."""

    body_timeout_s: Timeout | None = None
    send_timeout_s: Timeout | None = None
    keepalive_s: Seconds | None = None
    keepalive_header_s: Natural | None = None
    keepalive_requests: Positive | None = None
    keepalive_time_s: Seconds | None = None
    lingering: Lingering | None = None
    lingering_time_s: Seconds | None = None
    lingering_timeout_s: Seconds | None = None
    reset_timedout: bool | None = None


class SiteClients(LocationClients, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What clients may do at one site; a key that is not given is as for the whole file.

    Time and size of heads are those of the address's default site: which site is asked for stands in the head.
    """

    header_timeout_s: Timeout | None = None
    line_bytes: Annotated[int, Meta(ge=256, le=1 << 20)] | None = None
    head_bytes: Annotated[int, Meta(ge=1024, le=1 << 20)] | None = None


class Gzip(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Compress answers of upstreams for clients that accept it (nginx ``gzip on``).

    Those with status 200, 403 or 404 and one of ``types``, where ``*`` is all, unless they are compressed already.
    """

    types: list[str] = msgspec.field(default_factory=lambda: ["text/html"])
    min_bytes: Natural = 20
    level: Annotated[int, Meta(ge=1, le=9)] = 1
    vary: bool = False
    proxied: bool = False
    http_version: Literal["1.0", "1.1"] = "1.1"


class Location(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where requests of a path go, and how. Times in seconds, sizes in bytes.

    A location whose path is an ``@name`` is for error pages only; an ``internal`` one for error pages and changed paths.
    ``upstream_uri`` replaces the location's path; ``upstream_target``, a text with variables, the whole target.
    ``access`` lists ``allow NETWORK`` and ``deny NETWORK``, NETWORK may be ``all``; the first that fits decides. For
    methods that are not among ``free_methods``, ``other_methods`` takes its place, if there is one, and no rules hold.
    ``access_logs`` None means the log of the whole file. ``locations`` nested in a location are chosen from when that one
    is; they inherit nothing.
    """

    path: str = "/"
    internal: bool = False
    upstream: str = ""
    upstream_uri: str = ""
    upstream_target: str = ""
    answer: Return | None = None
    rules: list[Rule] = []
    access: list[str] = []
    free_methods: list[str] = []
    other_methods: list[str] = []
    set_headers: dict[str, OneOrMore] = {}
    add_headers: dict[str, OneOrMore] = {}
    add_headers_always: dict[str, OneOrMore] = {}
    hide_headers: list[str] = []
    gzip: Gzip | None = None
    underscores_in_headers: bool = False
    variables: dict[str, str] = {}
    next_upstream: list[str] = msgspec.field(default_factory=lambda: ["error", "timeout"])
    next_upstream_tries: Natural = 0
    next_upstream_timeout_s: Seconds = 0
    connect_timeout_s: Annotated[float, Meta(gt=0, le=3600)] = 60
    send_timeout_s: Annotated[float, Meta(gt=0, le=86400)] = 60
    read_timeout_s: Annotated[float, Meta(gt=0, le=86400)] = 60
    bind: str = ""
    clients: LocationClients = LocationClients()
    max_body_bytes: Natural = 1 << 20
    request_buffering: bool = True
    request_buffer_bytes: Annotated[int, Meta(ge=0, le=1 << 28)] = 1 << 20
    buffering: bool = True
    buffer_bytes: Annotated[int, Meta(ge=4096, le=1 << 28)] = 1 << 19
    websocket: bool = True
    http_version: str = "1.1"
    redirects: list[Redirect] = []
    absolute_redirects: bool = False
    redirects_name_port: bool = True
    redirects_name_server: bool = False
    cookie_domains: list[Redirect] = []
    cookie_paths: list[Redirect] = []
    ignore_client_abort: bool = False
    intercept_errors: bool = False
    error_pages: list[ErrorPage] = []
    recursive_error_pages: bool = False
    conn_limits: list[ConnLimit] = []
    conn_limit_status: Annotated[int, Meta(ge=400, le=599)] = 503
    rate_limits: list[RateLimit] = []
    rate_limit_status: Annotated[int, Meta(ge=400, le=599)] = 503
    rate_limit_dry_run: bool = False
    access_logs: list[AccessLog] | None = None
    locations: list[Location] = []


class Tls(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS termination of a listener; the first certificate is the default, the others are chosen by SNI."""

    certificate: str
    key: str
    protocols: tuple[TlsVersion, ...] = ("TLSv1.2", "TLSv1.3")
    ciphers: str = ""
    prefer_server_ciphers: bool = False
    tickets: bool = True


class Site(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One server block. Its ``rules`` are followed before a location is chosen; its ``variables`` are those of all
    locations that do not set them otherwise. ``outside`` says how requests are answered and logged for which no location
    has been found: by rules of the site, or because they cannot be read; by default as in the location ``/``.
    """

    listen: OneOrMore
    server_names: list[str] = []
    default: bool = False
    tls: Tls | None = None
    clients: SiteClients = SiteClients()
    variables: dict[str, str] = {}
    rules: list[Rule] = []
    outside: Location | None = None
    locations: Annotated[list[Location], Meta(min_length=1)]


class MapVariable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A variable computed from a text by lookup (nginx ``map``); keys that begin with ``~`` are patterns."""

    name: str
    source: str
    values: dict[str, str]
    default: str = ""


class ClientLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What clients may do; times in seconds, sizes in bytes. Sites and locations may have other values."""

    header_timeout_s: Timeout = 60
    body_timeout_s: Timeout = 60
    send_timeout_s: Timeout = 60
    keepalive_s: Seconds = 75
    keepalive_header_s: Natural = 0
    keepalive_requests: Positive = 1000
    keepalive_time_s: Seconds = 3600
    lingering: Lingering = "on"
    lingering_time_s: Seconds = 30
    lingering_timeout_s: Seconds = 5
    reset_timedout: bool = False
    line_bytes: Annotated[int, Meta(ge=256, le=1 << 20)] = 8192
    head_bytes: Annotated[int, Meta(ge=1024, le=1 << 20)] = 32768
    connections: Annotated[int, Meta(ge=1, le=MAX_CLIENTS)] = 16384
    connections_per_address: Natural = 0


class LogSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Log of the service itself."""

    level: Literal["debug", "info", "warning", "error", "critical"] = "info"
    style: Literal["text", "json"] = "text"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file. ``listen`` and ``locations`` at the top are a short form for one entry of ``sites``.

    ``quit_timeout_s`` bounds a graceful quit (nginx ``worker_shutdown_timeout``); 0 waits for the last client.
    """

    workers: Annotated[int, Meta(ge=1, le=MAX_WORKERS)] = 1
    worker_timeout_s: Annotated[float, Meta(ge=3, le=3600)] = 15
    pid_file: str = ""
    quit_timeout_s: Seconds = 0
    listen: OneOrMore = []
    tls: Tls | None = None
    locations: list[Location] = []
    sites: list[Site] = []
    upstreams: dict[str, Upstream] = {}
    status: str = ""
    status_allows_changes: bool = True
    state_file: str = ""
    maps: list[MapVariable] = []
    clients: ClientLimits = ClientLimits()
    access_log: AccessLog | None = None
    log: LogSettings = LogSettings()
