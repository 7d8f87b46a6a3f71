"""Rules, error pages and named locations behind a real nginx and behind the balancer: where requests end, and as what.

All sites of a table are servers of one nginx, told apart by their names.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from tests.balancer.support import Upstream, answer, eventually, fields_of, read_body, request
from tests.balancer.test_nginx_parity import Front, balancer, both, nginx
from tests.balancer.test_nginx_parity import directory as directory
from tests.balancer.test_nginx_parity_sites import told

Start = Callable[..., Awaitable[Upstream]]
Asked = str | tuple[str, ...]

SHOWN = 'add_header X-Seen "$uri|$args|$request_uri|$request_method|$document_uri$is_args" always;'
APP = "proxy_pass http://app; proxy_set_header X-Uri $uri; proxy_set_header X-Args $args;"


async def echo(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    """Answer with name, request line, fields of interest and body; with the status that ``/status/N`` asks for."""
    bodies = len(up.bodies)
    await read_body(up, reader, head)
    line = head.split(b"\r\n")[0].decode("latin-1")
    fields = fields_of(head)
    shown = [f"{name}: {value}" for name, value in sorted(fields.items()) if name.startswith("x-") or name == "host"]
    body = up.bodies[-1] if len(up.bodies) > bodies else b""
    path = line.split(" ")[1]
    status = path[8:11] if path.startswith("/status/") else "200"
    said = "\n".join([up.name, line, *shown]).encode("latin-1") + b"\n" + body
    bodiless = status in ("204", "304")
    writer.write(f"HTTP/1.1 {status} E\r\n\r\n".encode() if bodiless else answer(said, f"{status} E"))


def servers(sites: Mapping[str, tuple[str, list[Asked]]]) -> str:
    return " ".join(
        f"server {{ listen LISTEN; server_name s{index}.example; proxy_http_version 1.1; {site} }}"
        for index, (site, _) in enumerate(sites.values())
    )


async def differences(ours: Front, theirs: Front, sites: Mapping[str, tuple[str, list[Asked]]]) -> list[object]:
    """What is not the same: the site, what it was asked, our answer and nginx's."""
    found: list[object] = []
    for index, (name, (_, requests)) in enumerate(sites.items()):
        for asked in requests:
            method, path, *more = ("GET", asked) if isinstance(asked, str) else asked
            body = next((text for text in more if ":" not in text), "").encode()
            wire = request(method, path, *[text for text in more if ":" in text], body=body)
            wire = wire.replace(b"Host: example.org", b"Host: s%d.example" % index)
            seen = [told(front, await front.send(wire, bodiless=method == "HEAD")) for front in (ours, theirs)]
            if seen[0] != seen[1]:
                found.append((name, asked, *seen))
    return found


RULES: dict[str, tuple[str, list[Asked]]] = {
    "last chooses a location anew": (
        f"{SHOWN} location /old/ {{ rewrite ^/old/(.*)$ /new/$1 last; return 410; }} "
        "location /new/ { return 200 new:$uri:$args; } location / { return 404 none; }",
        ["/old/x", "/old/a%20b?c=d", "/old/", "/new/y", "/other"]),
    "last leads to upstreams": (
        f"{SHOWN} location /a/ {{ rewrite ^/a/(.*)$ /b/$1?from=a last; }} location /b/ {{ {APP} }} "
        "location /c/ { rewrite ^/c/(.*)$ /d/$1 last; } location /d/ { proxy_pass http://app/under/; } "
        "location /e/ { rewrite ^/e/(.*)$ /f/$1 last; } "
        "location ~ ^/f/(?<rest>.*)$ { proxy_pass http://app/$rest$is_args$args; }",
        ["/a/x", "/a/x?y=1", "/a/%41%2fb%20?y=%20", "/c/x%20y?z", "/e/1/2?q", "/a/x//y/../z"]),
    "without a flag the next rule goes on": (
        f"{SHOWN} location / {{ rewrite ^/one(.*)$ /two$1; rewrite ^/two(.*)$ /three$1; "
        f"rewrite ^/three/stop(.*)$ /stopped$1 break; {APP} }} location /three {{ return 200 three:$uri; }} "
        "location /stopped { return 200 never; }",
        ["/one", "/one/stop/x?y", "/two/x", "/four"]),
    "too many changes of location": (
        "location / { rewrite ^/(.*)$ /x$1 last; } location /ten/ { rewrite ^/ten/(x*)$ /ten/x$1; } "
        "location /ten/xxxxxxxxxx { return 200 $uri; } location = /ten/xxxxxxxxxxx { return 200 eleven; } "
        "location /err { error_page 500 /50x; rewrite ^ /err last; } location /50x { return 200 sorry; }",
        ["/", "/ten/", "/ten/x", "/err"]),
    "rules of the server": (
        f"{SHOWN} rewrite ^/api/v1/(.*)$ /api/$1; rewrite ^/api/(.*)$ /v2/$1 last; rewrite ^/v2/(.*) /never/$1; "
        f"location /v2/ {{ {APP} }} location /never/ {{ return 200 never; }} location / {{ {APP} }}",
        ["/api/v1/x?y=1", "/api/x", "/v2/x", "/z"]),
    "break in the server": (
        f"if ($arg_stop) {{ break; }} rewrite ^/x/(.*)$ /y/$1 break; rewrite ^/y/(.*)$ /z/$1; {SHOWN} "
        f"location /x/ {{ {APP} }} location /y/ {{ proxy_pass http://app/p/; }} location /z/ {{ return 200 z; }}",
        ["/x/1", "/y/1", "/x/1?stop=1", "/y/2?stop=1"]),
    "conditions that nothing follows from": (
        "location / { if ($http_x_id ~ ^(?<id>.)(.)) { } return 200 $id:$2; } "
        "location /old { if ($path_kind) { } proxy_pass http://dead; error_page 502 =200 /new; } "
        "location /new { return 200 $path_kind; }",
        [("GET", "/", "X-Id: ab"), "/", "/old", "/new"]),
    "variables set in conditions": (
        "set $mode plain; set $deny ''; if ($arg_m = a) { set $mode alpha; } if ($arg_m ~ ^b(.*)$) { set $mode beta-$1; } "
        "if ($http_x_flag) { set $deny 1; } if ($arg_d) { set $deny \"${deny}2\"; } if ($deny = 12) { return 403 $deny; } "
        f"location / {{ add_header X-Mode $mode; {APP} proxy_set_header X-Mode $mode; }} "
        "location /more { set $mode \"$mode-more\"; if ($arg_m) { set $mode \"$mode!\"; } return 200 $mode; }",
        ["/", "/?m=a", "/?m=b42", ("GET", "/", "X-Flag: 1"), ("GET", "/?d=1", "X-Flag: 1"), "/?d=1", "/more", "/more?m=a"]),
    "several steps in a condition": (
        f"location / {{ if ($arg_to) {{ set $to $arg_to; rewrite ^/(.*)$ /went/$to/$1? last; }} "
        f"if ($request_method = POST) {{ rewrite ^ /posted break; }} "
        f"if ($arg_k) {{ break; }} rewrite ^/x /y break; {APP} }} "
        "location /went/ { return 200 $uri:$args:$to; }",
        ["/a?to=b", ("POST", "/q", "hello"), "/x/1", "/x/1?k=1", "/z?k=1"]),
    "arguments are set": (
        f"{SHOWN} location /a {{ set $args \"$args&more=1\"; {APP} }} location /b {{ set $args ''; {APP} }} "
        "location /c { set $args x=2; proxy_pass http://app/c2; } location /d { set $args q; rewrite ^ /e last; } "
        "location /e { return 200 $uri?$args:$arg_q; } "
        "location /f { if ($arg_n) { set $args n=$arg_n; } proxy_pass http://app; }",
        ["/a?b=1", "/a", "/b?x=1", "/c/y%20z?old", "/d?zz", "/f?a=1&n=2", "/f%20?a=1"]),
    "arguments are set before they are asked for": (
        "location / { set $args a=$host; set $seen $args:$arg_a; set $other $host; return 200 $seen:$other; }", ["/?b=1"]),
    "queries of replacements": (
        f"location /a {{ rewrite ^/a/(.*)$ /t?one=$1 break; {APP} }} "
        f"location /b {{ rewrite ^/b/(.*)$ /t?one=$1? break; {APP} }} "
        f"location /c {{ rewrite ^ /t? break; {APP} }} location /d {{ rewrite ^/d/(.*)$ /t?p=$1 redirect; }} "
        f"location /e {{ rewrite ^/e/(.*)$ /t?p=$1? permanent; }}",
        ["/a/x", "/a/x?q=1", "/a/%20y?q", "/b/x?q=1", "/c?q=1", "/d/x?q=1", "/d/x", "/e/x?q=1"]),
    "captures of the latest pattern": (
        f"location ~ ^/u/(?<who>\\w+)/(\\d+)$ {{ rewrite ^ /x/$who/n$2 break; {APP} }} "
        "location ~ ^/w/(\\w+)$ { if ($arg_q ~ ^(.)(.)$) { return 200 $1-$2; } return 200; }",
        ["/u/bob/12", "/w/abc", "/w/abc?q=xy"]),
    "captures are those of the latest pattern, wherever it stood": (
        f"location /a/ {{ rewrite ^/a/(\\w+)/(.*)$ /$2 break; {APP} proxy_set_header X-Tenant $1; "
        "add_header X-Tenant $1; } "
        "location /b/ { if ($http_x_kind ~ (?<kind>k.)) { set $found 1; } return 200 $kind-$1-$found; } "
        f"location ~ ^/c/(.)(.*)$ {{ rewrite ^/none /x; {APP} proxy_set_header X-None [$1]; }} "
        "location /d/ { rewrite ^/d/(.)/(.)$ /e/$2; rewrite ^/e/(.)$ /f/$1$2 break; proxy_pass http://app/$1/$2; }",
        ["/a/t1/x/y?z", "/a/t1", ("GET", "/b/", "X-Kind: k1"), "/b/", "/c/xyz", "/d/1/2", "/d/12"]),
    "a break hides what stands behind it": (
        f"{SHOWN} location /a {{ break; return 403; }} location /b {{ if ($arg_x) {{ break; }} {APP} return 410; }} "
        "location /c { rewrite ^/c/(.*)$ /d/$1 break; return 410; }",
        ["/a", "/b?x=1", "/b", "/c/x", "/c"]),
    "a break hides what the server returns": (
        f"{SHOWN} error_page 404 /page; if ($uri ~ ^/well/) {{ break; }} rewrite ^/old/(.*)$ /new/$1 last; deny all; "
        f"return 404; location / {{ {APP} }} location /well/ {{ allow all; return 200 well; }} "
        "location /new/ { allow all; return 200 $uri; } location /page { allow all; return 200 page; }",
        ["/well/x", "/old/y", "/z", ("POST", "/z", "body"), "/page"]),
    "a break is all that a server says": (
        f"break; return 404; location / {{ {APP} }}", ["/", "/x"]),
    "what a map has said first stands": (
        f"set $early $path_kind; location / {{ rewrite ^/old /new break; {APP} proxy_set_header X-Kind $path_kind; }}",
        ["/old", "/new", "/other"]),
    "what a map has said first stands, even of what is known later": (
        "add_header X-Late $how; location /early { proxy_pass http://app; proxy_set_header X-How $how; } "
        f"location /late {{ {APP} }} location /set {{ set $was $how; {APP} }} "
        "location /error { proxy_pass http://dead; proxy_set_header X-How $how; error_page 502 =200 /late; }",
        ["/early", "/late", "/set", "/error"]),
    "upstreams are asked as it stood at the beginning": (
        "location / { proxy_pass http://app; proxy_set_header X-Before [$upstream_addr$upstream_status$status]; } "
        "location /$ { proxy_pass http://app/[$upstream_status]; }",
        ["/", ("POST", "/", "body"), "/$"]),
    "variables are set in their order": (
        "location / { set $a \"$b-1\"; set $b \"$a-2\"; set $a 3; return 200 $a:$b; }", ["/"]),
    "a return comes before access and after the size": (
        "location /a { deny all; return 301 /x; } location /b { client_max_body_size 1; return 200 b; } "
        f"location /c {{ client_max_body_size 1; deny all; {APP} }}",
        ["/a", "/b", ("POST", "/b", "xy"), ("POST", "/c", "xy")]),
    "locations in locations": (
        f"{SHOWN} location /a/ {{ location ~ x$ {{ return 200 inner; }} location /a/b/ {{ {APP} }} return 200 outer; }} "
        "location ~ x$ { return 200 regex; } location ~ ^/a/b/r { return 200 later; } "
        f"location /h/ {{ internal; location /h/i/ {{ {APP} }} }} "
        f"location /j/ {{ limit_except GET {{ deny all; }} location /j/k/ {{ {APP} }} }} "
        "location ^~ /c/ { location /c/d/ { return 200 d; } return 200 c; } location = /e/ { return 200 e; } "
        "location /f/ { location ^~ /f/g/ { return 200 g; } location = /f/h { return 200 h; } return 200 f; }",
        ["/a/x", "/a/y", "/a/b/x", "/a/b/y", "/a/b/r", "/a/b", "/x", "/c/x", "/c/d/x", "/e/", "/f/g/x", "/f/h", "/f/h/x",
         "/h/x", "/h/i/x", ("POST", "/j/x", "a"), ("POST", "/j/k/x", "a")]),
    "a slash is put behind the name of a location of an upstream": (
        f"location /a/ {{ deny all; {APP} }} location = /b/ {{ {APP} }} location /c/ {{ {APP} }} "
        f"location /c {{ return 200 c; }} location /d/ {{ return 200 d; }} location '/e f/' {{ {APP} }} "
        f"location /g/ {{ location /g/h/ {{ {APP} }} {APP} }} "
        "location ~ . { return 200 regex; }",
        ["/a", "/a?x=%20y", "/a/", "/b", "/c", "/d", "/e%20f", "/g/h", "/a/../g/./h?q", ("POST", "/a", "x")]),
    "headers that come several times": (
        "location /a { add_header X-Many 1; add_header X-Many 2 always; add_header X-One 1; proxy_pass http://app; "
        "proxy_set_header host lower.example; proxy_set_header X-Sent 1; proxy_set_header X-Sent 2; }", ["/a",
        "/a/status"]),
    "internal locations": (
        "error_page 404 /nowhere; location = /nowhere { internal; return 200 nowhere; } "
        "location /in/ { internal; proxy_pass http://app; } location /out/ { rewrite ^/out/(.*)$ /in/$1 last; } "
        "location /plain { return 404; }",
        ["/in/x", "/out/x?y", "/plain", "/nowhere", "/none"]),
    "targets with variables stay what they say": (
        "location /a { rewrite ^/a/(.*)$ /b/$1 break; proxy_pass http://app$request_uri; } "
        "location /c { rewrite ^/c/(.*)$ /d/$1 break; proxy_pass http://app$uri?n=$arg_n; }",
        ["/a/x?y", "/c/xy?n=1"]),
    "a return behind rules of a location": (
        "location /a { set $x 1; if ($arg_b) { set $x 2; } return 200 $x; } "
        "location /only { if ($arg_r) { return 200 r; } }",
        ["/a", "/a?b=1", "/only?r=1", "/only"]),
}  # fmt: skip

PAGES: dict[str, tuple[str, list[Asked]]] = {
    "an error leads to another upstream": (
        f"{SHOWN} error_page 502 503 504 = @fallback; location / {{ proxy_pass http://dead; }} "
        f"location /said {{ return 503; }} location @fallback {{ {APP} }}",
        ["/", "/a%20b/../c?d=e", ("POST", "/x?y", "a body"), ("HEAD", "/"), "/said/x", ("PUT", "/said", "put")]),
    "forms of the status": (
        f"error_page 401 /page; error_page 402 = /page; error_page 403 =202 /page; error_page 404 @up; "
        f"error_page 405 = @up; error_page 406 =299 @up; error_page 407 =204 @up; error_page 409 =204 /page; "
        "location /page { return 200 page; } "
        f"location @up {{ {APP} add_header X-Added 1; }} location /1 {{ return 401; }} location /2 {{ return 402; }} "
        "location /3 { return 403; } location /4 { return 404; } location /5 { return 405; } location /6 { return 406; } "
        "location /7 { return 407; } location /9 { return 409; }",
        ["/1", "/2", "/3", "/4", "/5", "/6", "/7", "/9", ("HEAD", "/4"),
         ("HEAD", "/3"), ("POST", "/1", "x"), ("POST", "/4", "x")]),
    "pages that upstreams make": (
        f"{SHOWN} error_page 502 /errors/502?why=$status; error_page 404 /errors/404; "
        f"location / {{ proxy_pass http://dead; }} "
        f"location /errors/ {{ internal; {APP} }} location /none {{ return 404; }}",
        ["/x?y=1", ("POST", "/x", "a body"), "/none?q", ("HEAD", "/none")]),
    "intercepted answers": (
        "proxy_intercept_errors on; error_page 404 = @up; error_page 500 /page; error_page 503 =200 @status; "
        f"location / {{ proxy_pass http://app; }} location @up {{ {APP} }} location /page {{ return 200 page; }} "
        "location @status { proxy_pass http://app; }",
        ["/status/404", "/status/500?x", "/status/503", "/status/418", ("POST", "/status/500", "body"), "/fine"]),
    "errors on the way to a page": (
        "error_page 404 /a; error_page 410 /b; error_page 502 /dead; location /a { return 410; } "
        "location /b { return 200 b; } location /1 { return 404; } location /dead { proxy_pass http://dead; } "
        "location /c { return 410; }",
        ["/1", "/c", "/dead"]),
    "recursive pages": (
        "recursive_error_pages on; error_page 404 /a; error_page 410 /b; error_page 502 /dead; location /a { return 410; } "
        "location /b { return 200 b; } location /1 { return 404; } location /dead { proxy_pass http://dead; }",
        ["/1", "/dead"]),
    "named locations have rules, too": (
        f"error_page 404 @a; location / {{ return 404; }} location @a {{ rewrite ^/x/(.*)$ /y/$1 break; "
        f"if ($arg_last) {{ rewrite ^ /z last; }} if ($arg_no) {{ return 403; }} {APP} }} "
        f"location /z {{ return 200 $uri; }}",
        ["/x/1?q", "/w", "/w?last=1", "/w?no=1"]),
    "variables go along": (
        "error_page 404 @a; set $where server; location / { set $who root; return 404; } "
        "location /b { set $where b; set $who $uri; return 404; } location @a { return 200 $where-$who; }",
        ["/", "/b", "/b/c"]),
    "redirects as pages": (
        "error_page 404 https://x.example/$arg_n; error_page 403 =301 http://y.example/; "
        "error_page 405 =200 http://z.example/; "
        "location /1 { return 404; } location /2 { return 403; } location /3 { return 405; }",
        ["/1?n=2", "/2", "/3"]),
    "denied and too large": (
        f"error_page 403 413 = @up; location / {{ deny all; proxy_pass http://app; }} location @up {{ {APP} }} "
        "location /large { client_max_body_size 2; proxy_pass http://app; } "
        "location /page { client_max_body_size 2; error_page 413 /sorry; proxy_pass http://app; } "
        "location /sorry { return 200 sorry; }",
        ["/x", ("POST", "/y", "body"), ("POST", "/page", "abc")]),
    "the status in the target of a page": (
        "error_page 404 /p?why=$status; error_page 410 = /p?why=$status; error_page 405 =299 /p?why=$status; "
        "location /p { return 200 $arg_why; } location /4 { return 404; } location /1 { return 410; } "
        "location /5 { return 405; }",
        ["/4", "/1", "/5"]),
    "the length of a body that is not wanted any more": (
        "client_max_body_size 2; error_page 413 /page; location / { proxy_pass http://app; } "
        "location /page { proxy_pass http://app; proxy_set_header X-Length $content_length; "
        "add_header X-Length $http_content_length; }",
        [("POST", "/x", "body"), ("PUT", "/x", "no")]),
    "what a location sets is not known to who does not get in": (
        "set $a server; error_page 404 413 /page; location /page { return 200 $a:$b; } "
        "location /in { internal; set $a in; set $b in; proxy_pass http://app; } "
        "location /small { client_max_body_size 1; set $a small; set $b small; proxy_pass http://app; }",
        ["/in", ("POST", "/small", "body"), "/page"]),
    "access in a named location": (
        f"error_page 404 @a; location / {{ return 404; }} location @a {{ deny all; {APP} }}", ["/"]),
}  # fmt: skip


MAP = """
map $uri $path_kind { /old old; /new new; default $tail; }
map $request_method $tail { default tail-$request_method; }
map $status $how { default none; 200 fine; 502 bad; }
"""


@contextlib.asynccontextmanager
async def upstreams(upstream: Start) -> AsyncIterator[str]:
    app, dead = await upstream("app", echo), await upstream("dead")
    await dead.stop()
    yield MAP + f"upstream app {{ server {app.address}; }} upstream dead {{ server {dead.address} max_fails=0; }}"


@pytest.mark.parametrize("sites", [RULES, PAGES], ids=["rules", "pages"])
async def test_requests_are_led_alike(
    upstream: Start, directory: Path, sites: dict[str, tuple[str, list[Asked]]]
) -> None:
    async with upstreams(upstream) as text, both(directory, text + servers(sites)) as (theirs, ours):
        assert not await differences(ours, theirs, sites)


LOGGED = """
log_format all '$status $upstream_addr $upstream_status "$request" $uri $args $request_method';
server { listen LISTEN; access_log {dir}/KIND.log all;
  error_page 502 = @fallback; error_page 404 /page; error_page 403 @named;
  location / { proxy_pass http://dead; }
  location @fallback { proxy_pass http://app; access_log {dir}/KIND.log all; }
  location @named { proxy_pass http://app; }
  location /page { return 200 page; }
  location /none { return 404; }
  location /no { return 403; }
  location /off { rewrite ^ /quiet last; }
  location /quiet { access_log off; return 204; }
}
"""


async def test_where_requests_went_is_logged_alike(upstream: Start, directory: Path) -> None:
    wires = [request("GET", "/a?b"), request("POST", "/none?c", body=b"x"), request("GET", "/no"), request("GET", "/off"),
             request("POST", "/x", body=b"body")]  # fmt: skip

    def lines(log: Path) -> list[str]:
        return log.read_text().splitlines() if log.exists() else []

    async with upstreams(upstream) as text:
        text += LOGGED.replace("{dir}", str(directory))
        said = []
        for kind, front in (("theirs", nginx), ("ours", balancer)):
            async with front(directory, text.replace("KIND", kind)) as server:
                for wire in wires:
                    await server.send(wire)
                log = directory / f"{kind}.log"
                await eventually(lambda log=log: len(lines(log)) >= 4)
                said.append(lines(log))
        assert said[1] == said[0]
