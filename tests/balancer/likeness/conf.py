"""A random but valid nginx.conf, as a tree that can be made smaller."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

GROUPS = ("one", "two", "three")
SERVERS = "abcd"
"""Upstream servers that answer; ``x`` is one that refuses connections."""


@dataclass(frozen=True, slots=True)
class Node:
    """A directive; with ``inside``, a block."""

    line: str
    inside: tuple[Node, ...] | None = None

    def __str__(self) -> str:
        if self.inside is None:
            return f"{self.line};"
        inner = "".join(f"\n{node}" for node in self.inside).replace("\n", "\n  ")
        return f"{self.line} {{{inner}\n}}"


Line = Callable[[random.Random], str]

LOG = (
    "log_format all '$http_x_number^^$request^^$status^^$request_method^^$uri^^$args^^$request_uri^^$document_uri^^"
    "$is_args^^$host^^$http_host^^$server_name^^$server_protocol^^$scheme^^$upstream_addr^^$upstream_status^^$body_bytes_sent^^"
    "$http_x_in^^$cookie_c^^$arg_a^^$content_length^^$content_type^^$sent_http_x_up^^$upstream_http_x_up^^$sent_http_location^^"
    "$sent_http_content_type^^$sent_http_content_length^^$s1^^$s2^^$m1^^$m2^^$m3^^"
    "$remote_addr^^$remote_user^^$query_string^^$request_length'"
)
WORDS = (
    "$host", "$uri", "$args", "$request_uri", "$http_x_in", "$arg_a", "$cookie_c", "$m1", "$m2", "$m3", "$s1", "$s2",
    "$scheme", "$remote_addr", "$request_method", "$server_name", "$is_args", "$content_type",
    "$document_uri", "$query_string", "$server_protocol", "$http_host", "$proxy_add_x_forwarded_for", "$name",
    "$http_user_agent", "$http_cookie", "$http_x_twice", "-plain", "-a b", "",
)  # fmt: skip
LATE = ("$status", "$upstream_status", "$upstream_http_x_up", "$sent_http_x_up", "$upstream_addr")
CONDITIONS = (
    "$arg_a", "$arg_a = x", "$arg_a != x", "$http_x_in", '$http_x_in ~ "^(.)(.*)$"', "$request_method = POST",
    "$request_method !~ ^(GET|HEAD|POST)$", "$uri ~* ^/A/(.*)$", '$args = ""', "$cookie_c ~ (?<name>b+)", "$m1 = y",
    "$http_x_in !~* ^y", "$s1", "$host = one.example", "$request_uri ~ //", "$query_string ~ a=(.)",
)  # fmt: skip
PATHS = ("/", "/a", "/a/", "/a/b", "/a/b/", "/b", "/b/", "/c.php", "/A/x", "/e/", "/page", "/a/12", "/%41", "/d e")
PATTERNS = (
    "^/a/(.*)$", r"^/(?<name>\w+)/(\d+)", r"\.php$", "^/b", "^/(.)/(.)", "/$", "^", "^/e/(.*)$", "b+", r"^/page(\d*)$",
)  # fmt: skip


def value(rng: random.Random, *more: str) -> str:
    text = rng.choice(("", "-")).join(rng.choices((*WORDS, *more), k=rng.choice((1, 1, 2, 3))))
    return f'"{text}"'


def target(rng: random.Random) -> str:
    """Where a rewrite or an error page leads."""
    paths = ("/a/$1", "/b/x", "/e/$1", "/page", "/c.php", "/$1/$2", "/a/b?k=v", "/b?k=$arg_a", "/x%20y", "/$name")
    return rng.choice(paths) + rng.choice(("", "", "?"))


# What may stand in http, server and location blocks alike


def set_header(rng: random.Random) -> str:
    names = ("Host", "X-Set", "X-Set", "X-Other", "X-In", "Accept", "Cookie", "Connection", "User-Agent", "Content-Type")
    name = rng.choice(names)
    text = {"Host": rng.choice(("$host", "$http_host", "fixed.example", "$proxy_host")), "Connection": '""'}.get(name)
    return f"proxy_set_header {name} {text or value(rng)}"


def add_header(rng: random.Random) -> str:
    name = rng.choice(("X-Added", "X-Added", "X-More", "Cache-Control"))
    return f"add_header {name} {value(rng, *LATE)}{rng.choice(('', ' always'))}"


def redirect(rng: random.Random) -> str:
    return "proxy_redirect " + rng.choice((
        "off", "http://one/ /", "http://two/x/ /y/", "/ /under/", "http://$host/ http://new.example/",
        "~^http://[^/]+(/.*)$ $1", "~*^/A(.*)$ https://$host/b$1", "http://one http://out.example:81", "/a /$arg_a/",
    ))  # fmt: skip


def cookie(rng: random.Random) -> str:
    return rng.choice((
        "proxy_cookie_domain inside.example outside.example", "proxy_cookie_domain .inside.example out.example",
        "proxy_cookie_domain off", "proxy_cookie_path /a/ /z/", "proxy_cookie_path / /all/", "proxy_cookie_path off",
    ))  # fmt: skip


def error_page(rng: random.Random) -> str:
    statuses = ("401", "403", "404", "410", "413", "418", "500", "502", "503", "504")
    codes = " ".join(sorted(rng.sample(statuses, rng.randint(1, 3))))
    status = rng.choice(("", "", "=", "=200", "=299", "=404", "=503"))
    place = rng.choice(("/page", "/a/b", "@first", "@second", "@first", "/b/x?why=$status", "http://x.example/$uri"))
    return " ".join(filter(None, ("error_page", codes, status, place)))


def next_upstream(rng: random.Random) -> str:
    return "proxy_next_upstream " + rng.choice((
        "off", "error timeout", "error", "error timeout http_502 http_503 http_404", "http_500 non_idempotent error",
        "error timeout invalid_header http_429 http_403",
    ))  # fmt: skip


def access(rng: random.Random) -> str:
    networks = (" 127.0.0.1", " 10.0.0.0/8", " all", " 127.0.0.0/8", " ::1")
    return rng.choice(("allow", "deny", "allow")) + rng.choice(networks)


def one_of(*lines: str) -> Line:
    return lambda rng: rng.choice(lines)


COMMON: tuple[tuple[int, Line], ...] = (
    (6, set_header),
    (6, add_header),
    (3, redirect),
    (2, cookie),
    (5, error_page),
    (3, next_upstream),
    (1, access),
    (2, one_of("proxy_intercept_errors on", "proxy_intercept_errors on", "proxy_intercept_errors off")),
    (2, one_of("recursive_error_pages on", "recursive_error_pages off")),
    (2, one_of("proxy_next_upstream_tries 1", "proxy_next_upstream_tries 2", "proxy_next_upstream_tries 3")),
    (2, one_of("proxy_hide_header X-Up", "proxy_hide_header X-Twice", "proxy_hide_header Content-Type")),
    (2, one_of("client_max_body_size 0", "client_max_body_size 3", "client_max_body_size 1k")),
    (1, one_of("default_type text/html", "default_type application/json", 'default_type ""')),
    (1, one_of("absolute_redirect off", "absolute_redirect on")),
    (1, one_of("port_in_redirect off", "server_name_in_redirect on")),
    (1, one_of("proxy_buffering off", "proxy_request_buffering off", "proxy_request_buffering on")),
    (1, one_of("keepalive_timeout 30s 20s", "keepalive_timeout 70s")),
)
ONCE = {
    "proxy_intercept_errors", "recursive_error_pages", "proxy_next_upstream", "proxy_next_upstream_tries",
    "client_max_body_size", "default_type", "absolute_redirect", "proxy_buffering", "proxy_request_buffering",
    "keepalive_timeout", "keepalive_requests", "underscores_in_headers", "port_in_redirect", "server_name_in_redirect",
}  # fmt: skip


def common(rng: random.Random, count: int) -> Iterator[Node]:
    """Some directives; those that may stand once, once; redirects turned off stand alone."""
    seen: set[str] = set()
    for _ in range(count):
        [make] = rng.choices([line for _, line in COMMON], [weight for weight, _ in COMMON])
        line = make(rng)
        name, text = line.split(" ", 1)
        alone = name in ONCE or text in ("off", "default")
        if f"{name} alone" in seen or (alone and name in seen):
            continue
        seen |= {name, f"{name} alone"} if alone else {name}
        yield Node(line)


# Rules


def answer(rng: random.Random) -> str:
    return "return " + rng.choice((
        f"200 {value(rng)}", "204", "403", "404", "410", f"404 {value(rng)}", "301 /moved$is_args$args", "444", "418",
        "302 http://x.example$request_uri", "307 $scheme://$host/new", "500", "503", "https://y.example/",
        f"201 {value(rng)}",
        "303 /x%20y", f"308 {value(rng)}", "400", "405", "200", "502 busy",
    ))  # fmt: skip


def rewrite(rng: random.Random) -> str:
    flag = rng.choice(("", " last", " break", " redirect", " permanent"))
    away = rng.choice(("http://x.example/$1", "https://y.example/$host?q"))
    place = target(rng) if rng.random() < 0.85 else away
    return f'rewrite "{rng.choice(PATTERNS)}" {place}{flag}'


def rules(rng: random.Random, count: int, *, depth: int = 0) -> Iterator[Node]:
    for _ in range(count):
        kind = rng.random()
        if kind < 0.3:
            yield Node(f"set ${rng.choice(('s1', 's2', 's1', 's2', 'args'))} {value(rng)}")
        elif kind < 0.55:
            yield Node(rewrite(rng))
        elif kind < 0.6:
            yield Node("break")
        elif kind < 0.68:
            yield Node(answer(rng))
        elif not depth:
            yield Node(f"if ({rng.choice(CONDITIONS)})", tuple(rules(rng, rng.randint(1, 2), depth=1)))


# Locations


def passing(rng: random.Random, *, bare: bool) -> str:
    group = rng.choice(GROUPS)
    uris = ("", "", "$uri", "$request_uri", "/x$uri$is_args$args", "/$1/$arg_a")
    more = () if bare else ("/", "/", "/p/q", "/p/", "/p?z=1")
    return f"proxy_pass http://{group}{rng.choice((*uris, *more))}"


def location(rng: random.Random, head: str, depth: int = 0) -> Node:
    bare = head.startswith(("~", "@"))
    inside = list(common(rng, rng.choice((0, 1, 2, 4))))
    inside += rules(rng, rng.choice((0, 0, 1, 2)))
    inside.append(Node(passing(rng, bare=bare) if rng.random() < 0.75 else answer(rng)))
    if rng.random() < 0.08:
        inside.append(Node("internal"))
    if rng.random() < 0.08 and not head.startswith("@"):
        methods = rng.choice(("GET", "POST PUT"))
        inside.append(Node(f"limit_except {methods}", (Node(access(rng)), Node("deny all"))))
    if depth == 0 and not head.startswith(("@", "=", "~")) and rng.random() < 0.3:
        path = head.removeprefix("^~ ").strip('"').rstrip("/")
        inner = rng.choice((f'"{path}/b/"', r"~ \.php$", f'= "{path}/b"', f'^~ "{path}/c"'))
        inside.append(location(rng, inner, 1))
    rng.shuffle(inside)
    return Node(f"location {head}", tuple(inside))


def heads(rng: random.Random) -> list[str]:
    """Kinds and paths of a server's locations."""
    found = {"/"}  # without it, nginx would look for files
    for _ in range(rng.randint(2, 6)):
        if rng.random() < 0.3:
            found.add(f'{rng.choice(("~", "~*"))} "{rng.choice(PATTERNS)}"')
        else:
            path = rng.choice(PATHS)
            found.add(f'{rng.choice(("", "", "= ", "^~ "))}"{path}"')
    kept: dict[str, str] = {}
    for head in sorted(found):
        # The same prefix with and without ^~ is one location
        kept[head.removeprefix("^~ ").strip('"') if not head.startswith(("~ ", "~*")) else head] = head
    listed = list(kept.values())
    rng.shuffle(listed)
    return listed


NAMES = (
    "one.example", "two.example www.one.example", "*.example", "one.*", r"~^\w+\.net$", ".three.example",
    "*.one.example", "two.*", '""', "_",
)  # fmt: skip


def server(rng: random.Random, names: str, *, default: bool) -> Node:
    listen = "listen LISTEN" + (" default_server" if default else "")
    inside = [Node(listen), Node(f"server_name {names}")]
    inside += common(rng, rng.choice((0, 1, 3, 5)))
    if rng.random() < 0.15:
        inside.append(Node("underscores_in_headers on"))
    inside += rules(rng, rng.choice((0, 0, 0, 1, 2)))
    inside += [location(rng, head) for head in (*heads(rng), "@first", "@second")]
    return Node("server", tuple(inside))


# Upstreams and the whole


def upstream(rng: random.Random, name: str) -> Node:
    methods = ("", "least_conn", "ip_hash", "hash $request_uri", "hash $arg_a consistent", "hash $uri consistent")
    method = rng.choice(methods)
    chosen = rng.sample(SERVERS, rng.randint(1, 3)) + (["x"] if rng.random() < 0.25 else [])
    lines = []
    for index, server in enumerate(chosen):
        more = [rng.choice(("", "", "weight=2", "weight=5")), rng.choice(("max_fails=0", "", "max_fails=2", "max_fails=3"))]
        if index and not method.startswith(("ip_hash", "hash")):
            more.append(rng.choice(("", "", "backup", "down")))
        elif index:
            more.append(rng.choice(("", "", "", "down")))
        lines.append(Node(" ".join(filter(None, (f"server ADDRESS_{server}", "fail_timeout=600s", *more)))))
    inside = [Node(method)] if method else []
    inside += lines
    return Node(f"upstream {name}", tuple(inside))


def maps(rng: random.Random) -> Iterator[Node]:
    for number, name in enumerate(("m1", "m2", "m3")):
        words = [word for word in WORDS if word not in ("$m1", "$m2", "$m3", "$name", "-a b", "")]
        words += [f"$m{other}" for other in range(1, number + 1)]
        sources = ("$arg_a", "$http_x_in", "$uri", "$host$uri", "$request_method", "$http_host", "$status", "$s1")
        source = rng.choice(sources)
        lines = [Node(f"default {rng.choice(words)}{rng.choice(words)}")] if rng.random() < 0.7 else []
        lines += [Node(line) for line in rng.sample(
            ("x y", "'' nothing", "~^/a tail", '"~*^Y" "[$uri]"', "GET got", "POST $uri", "200 fine",
             r"\default odd", '"~^[a-m]" early', "one.example $args", "404 lost"), rng.randint(1, 4))]  # fmt: skip
        yield Node(f"map {source} ${name}", tuple(lines))


def configuration(rng: random.Random) -> tuple[Node, ...]:
    """What stands in the http block."""
    chosen = rng.sample(NAMES, rng.randint(1, 4))
    default = rng.choice((-1, *range(len(chosen))))
    version = [Node("proxy_http_version 1.1" if rng.random() < 0.8 else "proxy_http_version 1.0")]
    return (
        *maps(rng),
        *[upstream(rng, name) for name in GROUPS],
        Node("root /nowhere"),
        Node(LOG),
        Node("access_log ACCESS_LOG all"),
        *version,
        *common(rng, rng.choice((0, 0, 2, 4))),
        *[server(rng, names, default=index == default) for index, names in enumerate(chosen)],
        DECLARED,
    )


DECLARED = Node(
    "server",
    (Node("listen LISTEN"), Node("server_name declared.invalid"), Node('set $s1 ""'), Node('set $s2 ""'),
     Node("location /", (Node("return 404"),)),
     Node("location ~ (?<name>never)", (Node("return 204"),)), Node("location @first", (Node("return 403"),)),
     Node("location @second", (Node("return 404"),))),
)  # fmt: skip
"""Variables have to be defined somewhere."""
