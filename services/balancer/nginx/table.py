"""The directives we know: where they may stand, and what they mean here.

Readers ask the table, and docs/nginx-conf.md is made of it.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from crossplane.analyzer import DIRECTIVES as NGINX

from services.balancer.nginx.directives import Block, Directive, Problems


class Effect(enum.Enum):
    """What becomes of a directive."""

    DONE = "carried out"
    NONE = "accepted without effect"
    ONLY = "accepted only when it asks for nothing"


@dataclass(frozen=True, slots=True)
class Row:
    """One directive. ``example`` is valid; for ``ONLY`` it is the whole of what is accepted.

    ``note`` says what differs from nginx, or why there is nothing to do. ``since``: the nginx that has it, when that is
    not the one we compare with (1.22).
    """

    name: str
    where: tuple[str, ...]
    example: str = ""
    note: str = ""
    effect: Effect = Effect.DONE
    since: str = ""


TOP, EVENTS, HTTP, UPSTREAM, MATCH = ("main",), ("events",), ("http",), ("upstream",), ("match",)
SERVER, LOCATION, INNER = ("server",), ("location",), ("server", "location")
RULED = (*INNER, "if")
WIDE, SITES = ("http", "server", "location"), ("http", "server")
NONE, ONLY = Effect.NONE, Effect.ONLY

_ONE_PROCESS = "processes are arranged by what starts the balancer"
_MEMORY = "nothing is written to temporary files; what is waiting is bounded in memory"
_TABLES = "tables grow as they need to"
_KERNEL = "the event loop does what is best"
_OPENSSL = "OpenSSL does what is best"
_CLIENT_CERTIFICATES = "certificates of clients are not asked for"
_PASSWORDS = "passwords are not checked here"
_NO_CACHE = "nothing is cached"
_NO_FILE = "no files are served"
_CHARSET = "our own answers are in UTF-8, and upstreams tell their own"
_HTTP2 = (("max_concurrent_streams", "128"), ("chunk_size", "8k"), ("body_preread_size", "64k"))
_NO_EXPIRY = "caching is not told of here; add_header Cache-Control says it in so many words"
_REAL_IP = "clients have the addresses of their connections; $http_x_forwarded_for is what others say of them"
_CACHE = (
    ("bypass", "$http_upgrade"), ("no_cache", "$cookie_session"), ("valid", "200 1m"), ("key", "$uri"), ("min_uses", "2"),
    ("lock", "on"), ("use_stale", "error timeout"), ("methods", "GET"), ("revalidate", "on"), ("background_update", "on"),
    ("lock_timeout", "5s"), ("lock_age", "5s"), ("convert_head", "on"),
)  # fmt: skip

ROWS: tuple[Row, ...] = (
    # The top of the file
    Row("http", TOP, "{ … }"),
    Row("events", TOP, "{ … }"),
    Row("include", ("main", "events", "http", "upstream", "server", "location"), "conf.d/*.conf"),
    Row("worker_connections", EVENTS, "1024", "counts clients, not connections to upstreams; one more is answered 503"),
    Row("worker_processes", TOP, "auto"),
    Row("worker_shutdown_timeout", TOP, "30s"),
    Row("user", TOP, "www-data", "it runs as the user who starts it", NONE),
    Row("pid", TOP, "/run/nginx.pid"),
    Row("daemon", TOP, "off", _ONE_PROCESS, NONE),
    Row("master_process", TOP, "off", _ONE_PROCESS, NONE),
    Row("worker_rlimit_nofile", TOP, "8192", _ONE_PROCESS, NONE),
    Row("worker_priority", TOP, "0", _ONE_PROCESS, NONE),
    Row("worker_cpu_affinity", TOP, "auto", _ONE_PROCESS, NONE),
    Row("load_module", TOP, "modules/x.so", "directives of modules are known or refused like others", NONE),
    Row("pcre_jit", TOP, "on", "patterns are Python's", NONE),
    Row("use", EVENTS, "epoll", _KERNEL, NONE),
    Row("multi_accept", EVENTS, "on", _KERNEL, NONE),
    Row("accept_mutex", EVENTS, "off", _KERNEL, NONE),
    Row("error_log", ("main", *WIDE), "/var/log/nginx/error.log warn", "our own log goes to standard error", NONE),
    # Upstreams
    Row("upstream", HTTP, "other { … }"),
    Row("server", UPSTREAM, "10.0.0.1:80 weight=2 max_fails=3 fail_timeout=10s max_conns=100 backup",
        "also drain, slow_start and resolve; a name is looked up at every connect; not route and service"),
    Row("least_conn", UPSTREAM),
    Row("ip_hash", UPSTREAM),
    Row("hash", UPSTREAM, "$request_uri consistent"),
    Row("random", UPSTREAM, "two least_conn", "not least_time"),
    Row("keepalive", UPSTREAM, "32", "on by default, as in nginx from 1.29.7 on; 0 switches it off"),
    Row("keepalive_requests", UPSTREAM, "1000"),
    Row("keepalive_timeout", UPSTREAM, "60s"),
    Row("keepalive_time", UPSTREAM, "1h"),
    Row("queue", UPSTREAM, "100 timeout=70s", since="Plus"),
    Row("zone", UPSTREAM, "app 64k", "workers share a zone of its own, whatever name and size say"),
    Row("state", UPSTREAM, "/var/lib/balancer/state.json",
        "stands beside server lines: keeps what the API changed; one file for all upstreams", since="Plus"),
    # Servers
    Row("server", HTTP, "{ … }"),
    Row("listen", SERVER, "443 ssl default_server",
        "addresses with ports, and unix:/path; with http2, HTTP/1.1 is spoken all the same; not quic and proxy_protocol"),
    Row("server_name", SERVER, "example.org *.example.org www.example.* ~^(?<sub>\\w+)\\.example\\.net$"),
    Row("location", INNER, "~ \\.php$ { … }", "all kinds, nested too"),
    Row("ssl_certificate", SITES, "/etc/ssl/site.pem", "one per server, without variables"),
    Row("ssl_certificate_key", SITES, "/etc/ssl/site.key"),
    Row("ssl_protocols", SITES, "TLSv1.2 TLSv1.3", "older ones are left out"),
    Row("ssl_ciphers", SITES, "HIGH:!aNULL:!MD5"),
    Row("ssl_prefer_server_ciphers", SITES, "on"),
    Row("ssl_session_cache", SITES, "shared:SSL:10m", "sessions are resumed by tickets", NONE),
    Row("ssl_session_timeout", SITES, "10m", "sessions are resumed by tickets", NONE),
    Row("ssl_session_tickets", SITES, "on"),
    Row("ssl_dhparam", SITES, "/etc/ssl/dhparam.pem", _OPENSSL, NONE),
    Row("ssl_ecdh_curve", SITES, "auto", _OPENSSL, NONE),
    Row("ssl_conf_command", SITES, "Options PrioritizeChaCha", _OPENSSL, NONE),
    Row("ssl_early_data", SITES, "off", "", ONLY),
    Row("ssl_verify_client", SITES, "off", _CLIENT_CERTIFICATES, ONLY),
    Row("ssl_stapling", SITES, "on", "no stapled answers are sent; clients ask by themselves", NONE),
    Row("ssl_stapling_verify", SITES, "on", "no stapled answers are sent", NONE),
    Row("ssl_trusted_certificate", SITES, "/etc/ssl/chain.pem", "of use for stapling only", NONE),
    Row("ssl_buffer_size", SITES, "16k", _KERNEL, NONE),
    Row("http2", SITES, "on", "HTTP/1.1 is spoken all the same", NONE, since="1.25.1"),
    *[Row(f"http2_{name}", SITES, example, "HTTP/2 is not offered", NONE) for name, example in _HTTP2],
    Row("gzip", WIDE, "on", "answers of upstreams, but for HEAD; not those of the balancer itself"),
    Row("gzip_types", WIDE, "text/css application/json"),
    Row("gzip_min_length", WIDE, "1000"),
    Row("gzip_comp_level", WIDE, "5"),
    Row("gzip_vary", WIDE, "on"),
    Row("gzip_proxied", WIDE, "any", "off or any"),
    Row("gzip_http_version", WIDE, "1.0"),
    Row("gzip_buffers", WIDE, "16 8k", _MEMORY, NONE),
    Row("gzip_disable", WIDE, "msie6", "what a client accepts it says itself", NONE),
    Row("gzip_static", WIDE, "off", "no files are served", ONLY),
    Row("gunzip", WIDE, "off", "", ONLY),
    Row("api", LOCATION, "write=on",
        "makes the address of its server block the status listener: dashboard, /api/status, /metrics, /healthz; nothing "
        "else may stand in that block", since="Plus"),
    # Clients
    Row("client_header_timeout", SITES, "60s", "that of the address's default server holds"),
    Row("client_body_timeout", WIDE, "60s"),
    Row("send_timeout", WIDE, "60s"),
    Row("keepalive_timeout", WIDE, "75s 60s"),
    Row("keepalive_requests", WIDE, "1000"),
    Row("keepalive_time", WIDE, "1h"),
    Row("lingering_close", WIDE, "always", "clients that speak TLS are not waited for"),
    Row("lingering_time", WIDE, "30s"),
    Row("lingering_timeout", WIDE, "5s"),
    Row("reset_timedout_connection", WIDE, "on"),
    Row("large_client_header_buffers", SITES, "4 8k",
        "those of the address's default server hold; too large a field is answered 431 instead of 400"),
    Row("client_max_body_size", WIDE, "1m"),
    Row("client_body_buffer_size", WIDE, "1m", "a longer body is passed on as it comes; nginx writes it to a file"),
    Row("underscores_in_headers", SITES, "on"),
    Row("limit_conn_zone", HTTP, "$binary_remote_addr zone=per_address:10m", _TABLES),
    Row("limit_conn", WIDE, "per_client 20"),
    Row("limit_conn_status", WIDE, "429"),
    Row("limit_conn_log_level", WIDE, "warn", "", NONE),
    Row("limit_req_zone", HTTP, "$binary_remote_addr zone=per_address:10m rate=10r/s",
        "the size says how many keys are remembered, 128 bytes for each"),
    Row("limit_req", WIDE, "zone=rates burst=20 nodelay", "also delay=; looked at after allow and deny"),
    Row("limit_req_status", WIDE, "429"),
    Row("limit_req_dry_run", WIDE, "on", "what would be done is logged"),
    Row("limit_req_log_level", WIDE, "warn", "refused requests are in the access log", NONE),
    Row("limit_except", LOCATION, "GET { … }", "with allow and deny inside"),
    Row("allow", (*WIDE, "limit_except"), "10.0.0.0/8", "also unix: for the clients of such sockets"),
    Row("deny", (*WIDE, "limit_except"), "all"),
    # Answers of its own
    Row("return", ("server", "location", "if"), "301 https://$host$request_uri",
        "control characters never get into an answer; 444 closes the connection"),
    Row("if", INNER, "($request_method = TRACE) { … }", "with return, rewrite, set and break inside; no tests of files"),
    Row("rewrite", RULED, "^/old/(.*)$ /new/$1?from=old last", "a location without proxy_pass and return answers 404"),
    Row("break", RULED),
    Row("error_page", WIDE, "502 503 504 = /50x.html",
        "to a URL, a path or a named location; a body that was passed on as it came cannot be sent once more: then a "
        "path is asked for without it, and a named location is not asked"),
    Row("recursive_error_pages", WIDE, "on"),
    Row("root", LOCATION, "/usr/share/nginx/html", "in a location = /file only: that one file is read at the start"),
    Row("root", SITES, "/usr/share/nginx/html", "for locations = /file that say nothing themselves"),
    Row("stub_status", LOCATION, "", "one worker tells of itself; Reading is always 0"),
    Row("absolute_redirect", WIDE, "off"),
    Row("internal", LOCATION),
    # Variables and logs
    Row("map", HTTP, "$http_upgrade $connection_upgrade { default upgrade; '' close; }", "not hostnames"),
    Row("set", RULED, "$backend app", "also $args; no other variable of nginx's own"),
    Row("rewrite_log", ("http", *RULED), "on", "", NONE),
    Row("uninitialized_variable_warn", ("http", *RULED), "off", "", NONE),
    Row("log_format", HTTP, "short escape=json '$remote_addr $status'"),
    Row("access_log", WIDE, "/var/log/nginx/access.log main if=$status", "not syslog: and gzip; written twice a second"),
    Row("open_log_file_cache", WIDE, "off", "", ONLY),
    Row("log_not_found", WIDE, "off", "", NONE),
    Row("log_subrequest", WIDE, "off", "there are no subrequests", NONE),
    # Proxying
    Row("proxy_pass", LOCATION, "http://app/path",
        "http and https; variables in the path only"),
    Row("proxy_set_header", WIDE, "X-Real-IP $remote_addr"),
    Row("proxy_http_version", WIDE, "1.1", "1.1 by default, as in nginx from 1.29.7 on"),
    Row("proxy_connect_timeout", WIDE, "5s"),
    Row("proxy_send_timeout", WIDE, "60s"),
    Row("proxy_read_timeout", WIDE, "60s"),
    Row("proxy_next_upstream", WIDE, "error timeout http_502 http_503 non_idempotent"),
    Row("proxy_next_upstream_tries", WIDE, "3"),
    Row("proxy_next_upstream_timeout", WIDE, "10s"),
    Row("proxy_buffering", WIDE, "off", "what comes is passed on at once in either case; buffering says how much may wait"),
    Row("proxy_buffers", WIDE, "8 64k", "how much of an answer may wait for a slow client, in memory"),
    Row("proxy_request_buffering", WIDE, "off"),
    Row("proxy_redirect", WIDE, "http://app/ /", "texts and patterns"),
    Row("proxy_cookie_domain", WIDE, "backend.local example.org", "texts only"),
    Row("proxy_cookie_path", WIDE, "/app/ /", "texts only"),
    Row("proxy_hide_header", WIDE, "X-Powered-By"),
    Row("proxy_pass_header", WIDE, "Server", "all fields are passed on, Date and Server too; X-Accel-* never", NONE),
    Row("proxy_ignore_headers", WIDE, "X-Accel-Expires Cache-Control", "nothing is cached; X-Accel-* has no effect", NONE),
    Row("add_header", WIDE, "Strict-Transport-Security max-age=31536000 always"),
    Row("proxy_ignore_client_abort", WIDE, "on"),
    Row("proxy_intercept_errors", WIDE, "on"),
    Row("proxy_bind", WIDE, "10.0.0.9", "an address without port and variables, or off"),
    Row("proxy_ssl_verify", WIDE, "on", "proxy_ssl_*: one set per upstream; verification sends the name (SNI) as well"),
    Row("proxy_ssl_verify_depth", WIDE, "2", "OpenSSL's limit", NONE),
    Row("proxy_ssl_trusted_certificate", WIDE, "/etc/ssl/ca.pem"),
    Row("proxy_ssl_name", WIDE, "app.internal", "without variables"),
    Row("proxy_ssl_server_name", WIDE, "on"),
    Row("proxy_ssl_protocols", WIDE, "TLSv1.2 TLSv1.3"),
    Row("proxy_ssl_ciphers", WIDE, "HIGH:!aNULL"),
    Row("proxy_ssl_certificate", WIDE, "/etc/ssl/client.pem"),
    Row("proxy_ssl_certificate_key", WIDE, "/etc/ssl/client.key"),
    Row("proxy_ssl_session_reuse", WIDE, "on", "every connection begins with a full handshake", NONE),
    Row("proxy_cache", WIDE, "off", "nothing is cached", ONLY),
    *[Row("proxy_no_cache" if name == "no_cache" else f"proxy_cache_{name}", WIDE, example, _NO_CACHE, NONE)
      for name, example in _CACHE],
    Row("proxy_cache_path", HTTP, "/tmp/cache keys_zone=pages:10m", _NO_CACHE, NONE),
    Row("proxy_store", WIDE, "off", "nothing is stored", ONLY),
    Row("proxy_limit_rate", WIDE, "0", "the rate of answers is not limited", ONLY),
    Row("proxy_force_ranges", WIDE, "off", "", ONLY),
    Row("proxy_pass_request_headers", WIDE, "on", "", ONLY),
    Row("proxy_pass_request_body", WIDE, "on", "", ONLY),
    Row("proxy_socket_keepalive", WIDE, "on", _KERNEL, NONE),
    Row("proxy_buffer_size", WIDE, "8k", "a head may have 32 KB", NONE),
    Row("proxy_busy_buffers_size", WIDE, "16k", _MEMORY, NONE),
    Row("proxy_max_temp_file_size", WIDE, "0", _MEMORY, NONE),
    Row("proxy_temp_file_write_size", WIDE, "16k", _MEMORY, NONE),
    Row("proxy_temp_path", WIDE, "/tmp/proxy", _MEMORY, NONE),
    Row("client_body_temp_path", WIDE, "/tmp/body", _MEMORY, NONE),
    Row("client_body_in_single_buffer", WIDE, "on", _MEMORY, NONE),
    Row("client_header_buffer_size", SITES, "1k", "heads are bounded by large_client_header_buffers", NONE),
    Row("fastcgi_temp_path", WIDE, "/tmp/fastcgi", _MEMORY, NONE),
    Row("uwsgi_temp_path", WIDE, "/tmp/uwsgi", _MEMORY, NONE),
    Row("scgi_temp_path", WIDE, "/tmp/scgi", _MEMORY, NONE),
    # Active checks
    Row("health_check", LOCATION, "interval=5s jitter=1s fails=3 passes=2 uri=/healthz match=ok mandatory",
        "its time limit is proxy_read_timeout; not type=grpc", since="Plus"),
    Row("match", HTTP, "ok { … }", since="Plus"),
    Row("status", MATCH, "200-299 304", since="Plus"),
    Row("header", MATCH, "Content-Type ~ json", since="Plus"),
    Row("require", MATCH, "$upstream_http_x_ready", since="Plus"),
    Row("body", MATCH, "~ \"healthy\"", "looks at the first 256 KB", since="Plus"),
    # What means nothing here
    Row("sendfile", WIDE, "on", _KERNEL, NONE),
    Row("tcp_nopush", WIDE, "on", _KERNEL, NONE),
    Row("tcp_nodelay", WIDE, "on", _KERNEL, NONE),
    Row("aio", WIDE, "threads", _KERNEL, NONE),
    Row("keepalive_disable", WIDE, "msie6", "", NONE),
    Row("default_type", WIDE, "text/html", "the type of what return answers"),
    Row("types", WIDE, "{ … }", "no files are served", NONE),
    Row("index", WIDE, "index.html", "no files are served", NONE),
    Row("charset", WIDE, "utf-8", _CHARSET, NONE),
    Row("server_tokens", WIDE, "off", "no Server field is added", NONE),
    Row("etag", WIDE, "on", "no files are served", NONE),
    Row("resolver", WIDE, "127.0.0.53 valid=30s", "names are looked up as the system does", NONE),
    Row("resolver_timeout", WIDE, "5s", "names are looked up as the system does", NONE),
    Row("satisfy", WIDE, "any", "access lists are all there is to satisfy", NONE),
    Row("auth_basic", WIDE, "off", _PASSWORDS, ONLY),
    Row("expires", WIDE, "off", _NO_EXPIRY, ONLY),
    Row("limit_rate", WIDE, "0", "the rate of answers is not limited", ONLY),
    Row("limit_rate_after", WIDE, "1m", "the rate of answers is not limited", NONE),
    Row("chunked_transfer_encoding", WIDE, "on", "", ONLY),
    Row("client_body_in_file_only", WIDE, "off", "", ONLY),
    Row("if_modified_since", WIDE, "exact", _NO_FILE, NONE),
    Row("max_ranges", WIDE, "1", _NO_FILE, NONE),
    Row("open_file_cache", WIDE, "off", _NO_FILE, NONE),
    Row("open_file_cache_valid", WIDE, "60s", _NO_FILE, NONE),
    Row("open_file_cache_min_uses", WIDE, "2", _NO_FILE, NONE),
    Row("open_file_cache_errors", WIDE, "on", _NO_FILE, NONE),
    Row("disable_symlinks", WIDE, "off", _NO_FILE, NONE),
    Row("directio", WIDE, "off", _NO_FILE, NONE),
    Row("sendfile_max_chunk", WIDE, "1m", _KERNEL, NONE),
    Row("read_ahead", WIDE, "1m", _KERNEL, NONE),
    Row("send_lowat", WIDE, "0", _KERNEL, NONE),
    Row("postpone_output", WIDE, "1460", _KERNEL, NONE),
    Row("output_buffers", WIDE, "2 32k", _KERNEL, NONE),
    Row("connection_pool_size", SITES, "512", _TABLES, NONE),
    Row("request_pool_size", SITES, "4k", _TABLES, NONE),
    Row("subrequest_output_buffer_size", WIDE, "8k", "there are no subrequests", NONE),
    Row("msie_padding", WIDE, "off", "", NONE),
    Row("override_charset", WIDE, "on", _CHARSET, NONE),
    Row("status_zone", INNER, "site", "the status tells of all of them", NONE, since="Plus"),
    Row("port_in_redirect", WIDE, "off"),
    Row("server_name_in_redirect", WIDE, "on"),
    Row("merge_slashes", SITES, "on", "", ONLY),
    Row("ignore_invalid_headers", SITES, "on", "", ONLY),
    Row("types_hash_max_size", WIDE, "2048", _TABLES, NONE),
    Row("types_hash_bucket_size", WIDE, "64", _TABLES, NONE),
    Row("server_names_hash_max_size", HTTP, "512", _TABLES, NONE),
    Row("server_names_hash_bucket_size", HTTP, "64", _TABLES, NONE),
    Row("map_hash_max_size", HTTP, "2048", _TABLES, NONE),
    Row("map_hash_bucket_size", HTTP, "64", _TABLES, NONE),
    Row("variables_hash_max_size", HTTP, "1024", _TABLES, NONE),
    Row("variables_hash_bucket_size", HTTP, "64", _TABLES, NONE),
    Row("proxy_headers_hash_max_size", WIDE, "512", _TABLES, NONE),
    Row("proxy_headers_hash_bucket_size", WIDE, "64", _TABLES, NONE),
)  # fmt: skip

TABLE = {(row.name, place): row for row in ROWS for place in row.where}
_PLACES = {row.name: sorted({place for other in ROWS if other.name == row.name for place in other.where}) for row in ROWS}
_NO_FILES = "files are not served; let a web server do it that is an upstream here, on a unix: socket maybe"
_REASONS = {
    "try_files": f"{_NO_FILES}, and write proxy_pass in the place of the location that try_files ends with",
    "alias": _NO_FILES,
    "autoindex": _NO_FILES,
    "auth_basic_user_file": _PASSWORDS,
    "auth_request": "nobody else is asked who may; allow and deny, and if with return, can say it",
    "ssl_client_certificate": _CLIENT_CERTIFICATES,
    "set_real_ip_from": _REAL_IP,
    "real_ip_header": _REAL_IP,
    "real_ip_recursive": _REAL_IP,
    "geo": "write a map of $remote_addr with patterns, or allow and deny",
    "split_clients": "write an upstream with weights",
    "least_time": "least_conn is what comes close",
    "sticky": "hash $cookie_NAME keeps sessions at their servers, ip_hash clients",
    "ntlm": "connections to upstreams belong to nobody",
    "hostnames": "write patterns such as ~\\.example\\.org$",
    "volatile": "leave it out: what a map has said first stands while the request is on its way",
    "sub_filter": "bodies of answers are passed on as they are",
    "more_set_headers": "add_header … always says the same, proxy_hide_header takes away what is there",
    "proxy_cookie_flags": "proxy_cookie_path / \"/; Secure; HttpOnly\" says the same",
    "http3": "HTTP/3 is not offered",
    "mirror": "requests go to one upstream",
    "ssl_engine": _OPENSSL,
    "fastcgi_pass": "only HTTP upstreams are supported",
    "uwsgi_pass": "only HTTP upstreams are supported",
    "grpc_pass": "only HTTP/1 upstreams are supported",
    "stream": "only HTTP is balanced",
    "mail": "only HTTP is balanced",
}


def permitted(block: Block, place: str, problems: Problems) -> Iterator[Directive]:
    """The directives of a block that are to be carried out; the others are noted as problems or mean nothing."""
    for directive in block:
        row = TABLE.get((directive.name, place))
        if directive.name == "include":
            continue  # crossplane has put the directives of the file in its place, or there was no such file
        if row is None:
            problems.add(directive, refusal(directive.name))
        elif row.effect is Effect.ONLY and " ".join(directive.args) != row.example:
            problems.add(directive, f"only {row.example!r} is supported" + (f": {row.note}" if row.note else ""))
        elif row.effect is Effect.DONE:
            yield directive


def refusal(name: str) -> str:
    """Why a directive is not accepted where it stands, and what to do instead."""
    if name == "root":
        return _NO_FILES + "; a single one can be, by root in a location = /file"
    if name in _PLACES:
        return f"this directive is supported only in {', '.join(_PLACES[name])}"
    if name in _REASONS:
        return _REASONS[name]
    return "this directive is not supported" + meant(name, _PLACES)


def meant(word: str, known: Iterable[str]) -> str:
    """What somebody may have wanted to write, to be put behind a refusal; nothing if it is not close to anything known."""
    close = [] if word in NGINX else difflib.get_close_matches(word, known, n=1, cutoff=0.8)
    return f"; is it {close[0]}?" if close else ""
