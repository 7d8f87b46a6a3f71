"""Sites behind a real nginx and behind the balancer: rules, rewritten paths, error pages, limits, headers, logs."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.balancer.support import Answer, Upstream, always, answer, eventually, fields_of, read_body, request
from tests.balancer.test_nginx_parity import Front, balancer, both, nginx, upstream_block
from tests.balancer.test_nginx_parity import directory as directory

Start = Callable[..., Awaitable[Upstream]]
PAGES = range(300, 600)


async def echo(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    """Answer with the request line and the header fields that were sent."""
    await read_body(up, reader, head)
    fields = fields_of(head)
    shown = [f"{name}: {value}" for name, value in sorted(fields.items()) if name.startswith("x")]
    writer.write(answer("\n".join([head.split(b"\r\n")[0].decode("latin-1"), *shown]).encode("latin-1")))


def told(front: Front, got: Answer) -> tuple[Any, ...]:
    """What must be the same of two answers; pages of errors are each one's own unless the site has its own."""
    page = got.status in PAGES and b"<html" in got.body.lower()
    fields = {
        name: value.replace(str(front.port), "PORT")
        for name, value in got.fields.items()
        if name in ("location", "refresh", "set-cookie", "content-type") or name.startswith("x-")
    }
    if page:
        fields.pop("content-type", None)
    return got.status, "" if page else got.body, fields


SITES = {
    "returned texts have the default type": (
        "default_type text/html; location /a { return 200 '<b>$arg_x</b>'; } "
        "location /b { default_type text/csv; return 202 x; }",
        ["/a?x=1", "/b", "/c"]),
    "redirects are absolute": (
        "location /a { return 301 /new$is_args$args; } location /b { return 302 https://x.example$request_uri; } "
        "location /c { absolute_redirect off; return 307 /d; } location /e { return 308; }",
        ["/a", "/a?q=1", "/b/%20?x", "/c"]),
    "conditions": (
        "if ($arg_k = 1) { return 403; } if ($http_x_flag) { return 418 flag; } if ($request_method !~ ^(GET|HEAD)$) "
        "{ return 405; } location / { if ($args ~* ^SECRET=(\\w+)) { return 200 $1; } if ($arg_z != '') { return 404; } "
        "proxy_pass http://app; }",
        ["/", "/?k=1", "/?secret=abc", "/?SECRET=", "/?z=1", ("GET", "/", "X-Flag: 0"), ("GET", "/", "X-Flag: yes"),
         ("DELETE", "/")]),
    "rewrites": (
        "rewrite ^/old/(.*)$ /new/$1 permanent; rewrite ^/moved /there? redirect; rewrite ^/out/(.*) https://x.example/$1; "
        "location /v1/ { rewrite ^/v1/(.*)$ /$1 break; proxy_pass http://app; } "
        "location /v2/ { rewrite ^/v2/(\\w+)/(\\w+)$ /$2/$1?fixed=1? break; proxy_pass http://app/ignored/; } "
        "location / { proxy_pass http://app; }",
        ["/old/x?a=1", "/old/%41b%20c+d?a", "/moved?a=1", "/out/a/b?c=d", "/v1/a%20b%3Fc/d?x=1", "/v1/", "/v2/a/b?x=1",
         "/v2/a/b/c?x=1", "/old/a%0d%0aX:y"]),
    "captures": (
        "location ~ ^/u/(?<name>[a-z]+)/(\\d+) { proxy_pass http://app/people/$name/$2$is_args$args; "
        "proxy_set_header X-Name $name; add_header X-Seen $2; } "
        "location ~ ^/t/(.+) { return 200 $1; } location / { proxy_pass http://app$request_uri; }",
        ["/u/bob/12?x=1", "/u/bob/", "/t/a%20b", "/x%20y?z", "/"]),
    "escaping of changed paths": (
        "location /a/ { proxy_pass http://app/b/; }",
        ["/a/x%20y", "/a/%22%3C%3E%5B%5D%7B%7D%7C%5C%5E%60", "/a/!$&'()*+,;=:@~-._", "/a/%E4%C3%A4", "/a/%25%3F%23?%25"]),
    "maps": (
        "location / { proxy_pass http://app; proxy_set_header X-Kind $kind; proxy_set_header X-Up $connection_upgrade; }",
        [("GET", "/", "Host: WWW.Example.org"), ("GET", "/", "Host: shop.example.net:81"), ("GET", "/", "Host: other"),
         ("GET", "/", "Host: h", "Upgrade: websocket")]),
    "headers of answers": (
        "add_header X-Outer 1; location /a { proxy_pass http://app; } location /b { add_header X-Inner 2 always; "
        "add_header X-Empty $arg_none; return 404 gone; } location /c { add_header X-Inner 2; return 404 gone; } "
        "location /d { return 204; } location /e { return 301 /x; }",
        ["/a", "/b", "/c", "/d", "/e"]),
    "error pages": (
        "error_page 404 /missing; error_page 403 =200 /allowed; error_page 410 = /gone; "
        "error_page 402 https://pay.example/; location = /missing { return 200 nothing; } "
        "location = /allowed { return 200 fine; } location = /gone { return 203 g; } "
        "location /1 { return 404; } location /2 { return 403; } location /3 { return 410; } location /4 { return 402; } "
        "location /5 { deny all; proxy_pass http://app; } "
        "location /6 { allow 127.0.0.0/8; deny all; proxy_pass http://app; }",
        ["/1", "/2", "/3", "/4", "/5", "/6", "/missing"]),
    "methods that are limited": (
        "location / { limit_except GET { deny all; } proxy_pass http://app; } "
        "location /b { deny all; limit_except POST PUT { allow 127.0.0.0/8; deny all; } proxy_pass http://app; } "
        "location /c { limit_except GET { deny all; } return 200 c; } "
        "location /d { limit_except GET { allow all; } rewrite ^/d/(.*)$ /$1 break; proxy_pass http://app; }",
        ["/", ("HEAD", "/"), ("POST", "/"), "/b", ("POST", "/b"), ("DELETE", "/b"), "/c", ("POST", "/c"), "/d/x",
         ("PUT", "/d/x")]),
    "what redirects name": (
        "location /a { port_in_redirect off; return 301 /x; } location /b { server_name_in_redirect on; return 302 /x; } "
        "location /c { server_name_in_redirect on; port_in_redirect off; return 307 /x; }",
        ["/a", "/b", "/c"]),
    "locations that say nothing": (
        "location / { return 200; } location ~ /\\.ht { deny all; } location = /favicon.ico { log_not_found off; }",
        ["/", "/.htaccess", "/favicon.ico"]),
    "underscores": (
        "underscores_in_headers on; location / { proxy_pass http://app; }", [("GET", "/", "X_Under: 1", "X-Plain: 2")]),
}  # fmt: skip
MAPS = """
map $http_host $kind { default none; www.example.org exact; ~^shop\\. shop; }
map $http_upgrade $connection_upgrade { default upgrade; '' close; }
"""


@pytest.mark.parametrize("name", SITES)
async def test_sites_answer_alike(upstream: Start, directory: Path, name: str) -> None:
    site, requests = SITES[name]
    server = await upstream("a", echo)
    text = MAPS + upstream_block([server], [""])
    text += "server { listen LISTEN; server_name one.example; proxy_http_version 1.1; " + site + " }"
    async with both(directory, text) as (theirs, ours):
        for asked in requests:
            method, path, *lines = ("GET", asked) if isinstance(asked, str) else asked
            wire = request(method, path, *lines)
            if any(line.startswith("Host:") for line in lines):
                wire = wire.replace(b"Host: example.org\r\n", b"")
            if path == "/old/a%0d%0aX:y":
                assert (await ours.send(wire)).status == 400, "control characters go nowhere"
                continue
            seen = [told(front, await front.send(wire, bodiless=method == "HEAD")) for front in (ours, theirs)]
            assert seen[0] == seen[1], asked


NAMES = ("one.example", "One.Example.", "one.example.:80", ".two.example", "two.example", "deep.two.example.", "three.",
         "x..y", "", "_", "none", "four.org")  # fmt: skip


async def test_servers_are_found_by_their_names_alike(directory: Path) -> None:
    names = ("one.example", ".two.example", "three", "_", r"~^(?<who>\w+)\.org$", "*.one.example")
    text = " ".join(f"server {{ listen LISTEN; server_name {name}; return 200 $host:$server_name:$1; }}" for name in names)
    async with both(directory, "server { listen LISTEN default_server; return 200 $who$host; }" + text) as (theirs, ours):
        for host in NAMES:
            wire = request("GET", "/").replace(b"Host: example.org", b"Host: " + host.encode())
            assert told(ours, await ours.send(wire)) == told(theirs, await theirs.send(wire)), host


SORRY = "location = /sorry { return 200 sorry; }"
MOVED = b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n"
COOKIES = (b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b; Domain=.inside.example; Path=/app/x; Secure\r\nRefresh: 5; url=http://app/z\r\n"
           b"X-Accel-Expires: 0\r\nContent-Length: 2\r\n\r\nok")  # fmt: skip


@pytest.mark.parametrize(
    ("proxy", "wire"),
    [
        *[("", MOVED % place) for place in (b"http://app/x", b"/x", b"http://other/x", b"http://app", b"https://app/x")],
        *[("proxy_redirect off;", MOVED % place) for place in (b"http://app/x", b"/x")],
        ("proxy_redirect http://$host:81/ /there/;", MOVED % b"http://example.org:81/x"),
        ("proxy_redirect http://b/ /b/; proxy_redirect http://a/ http://c/;", MOVED % b"http://a/x?y"),
        ("proxy_redirect default; proxy_redirect http://a/ /;", MOVED % b"http://app/x"),
        ("proxy_redirect ~^https?://[^/]+(/.*)$ $1;", MOVED % b"http://anything:8080/x?y"),
        ("proxy_redirect ~^https?://[^/]+(/.*)$ $1;", COOKIES),
        ("proxy_redirect ~*^HTTP://B(?<rest>.*)$ http://new$rest;", MOVED % b"http://b/x"),
        ("proxy_redirect / /under/;", MOVED % b"/x"),
        ("proxy_cookie_domain inside.example outside.example; proxy_cookie_path /app/ /;", COOKIES),
        ("proxy_cookie_domain INSIDE.example out; proxy_cookie_path /other /;", COOKIES),
        ("proxy_cookie_domain off; proxy_cookie_path off;", COOKIES),
        ("proxy_hide_header X-Secret; add_header X-Status $upstream_status;",
         b"HTTP/1.1 200 OK\r\nX-Secret: 1\r\nX-Other: 2\r\nContent-Length: 0\r\n\r\n"),
        ("proxy_intercept_errors on; error_page 503 /sorry; error_page 404 =200 /sorry;", answer(b"x", "503 E")),
        ("proxy_intercept_errors on; error_page 503 /sorry; error_page 404 =200 /sorry;", answer(b"x", "404 E")),
        ("proxy_intercept_errors on; error_page 503 /sorry;", answer(b"x", "500 E")),
        ("error_page 503 /sorry;", answer(b"x", "503 E")),
        ("error_page 502 /sorry;", b""),
    ],
)  # fmt: skip
async def test_answers_are_edited_alike(upstream: Start, directory: Path, proxy: str, wire: bytes) -> None:
    server = await upstream("a", always(wire, close=True))
    text = upstream_block([server], ["max_fails=0"])
    text += f"server {{ listen LISTEN; location / {{ proxy_pass http://app; {proxy} }} {SORRY} }}"
    async with both(directory, text) as (theirs, ours):
        for path in ("/", "/deep/path?x=1"):
            wire_up = request("GET", path)
            assert told(ours, await ours.send(wire_up)) == told(theirs, await theirs.send(wire_up))


async def test_counters_are_told_alike(directory: Path) -> None:
    text = "server { listen LISTEN; location /s { stub_status; deny 10.0.0.0/8; } location /d { stub_status; deny all; } }"
    async with both(directory, text) as (theirs, ours):
        seen = [[await front.send(request("GET", path)) for path in ("/s", "/d")] for front in (ours, theirs)]
        shown = [(got.status, got.fields["content-type"], re.sub(rb"\d+", b"N", got.body)) for got, _ in seen]
        assert shown[0] == shown[1]
        assert [refused.status for _, refused in seen] == [403, 403]


LOGS = """
log_format all '$remote_addr [$request] $status $body_bytes_sent "$http_x_odd" $upstream_status $upstream_addr '
               '$request_method $uri $args $host $server_name $http_none [$mapped$is_args] [$empty] $remote_user '
               '$sent_http_content_type $request_length $cookie_c $http_cookie $http_x_twice $request_uri';
log_format js escape=json '{"odd": "$http_x_odd", "up": "$upstream_status", "status": $status}';
log_format bare escape=none '$http_x_odd';
map $status $loud { ~^2 0; default 1; }
map $arg_c $mapped { x y; }
"""


async def test_logs_are_written_alike(upstream: Start, directory: Path) -> None:
    server, dead = await upstream("a"), await upstream("dead")
    await dead.stop()
    text = LOGS + upstream_block([server], [""]) + f"upstream dead {{ server {dead.address}; }}" + """
      server { listen LISTEN; server_name one.example; set $empty '';
        access_log {dir}/KIND.log all; access_log {dir}/KIND.log js; access_log {dir}/KIND.log bare if=$http_x_odd;
        location / { proxy_pass http://app; }
        location /dead { proxy_pass http://dead; }
        location /said { return 200 said; }
        location /moved { return 301 http://x.example/; }
        location /quiet { access_log off; return 200 x; }
        location /loud { access_log {dir}/KIND.log all if=$loud; proxy_pass http://app; }
      }""".replace("{dir}", str(directory))  # fmt: skip
    wires = [request("GET", "/a%20b?c=d", 'X-Odd: a"b\\c\x80\te'), request("GET", "/said"), request("HEAD", "/said"),
             request("GET", "/quiet"), request("GET", "/loud"),
             request("GET", "/said#f", "Authorization: Basic dTpw", "Cookie: d=1; C=2", "Cookie: c=3", "X-Twice: 1",
                     "X-Twice: 2"),
             request("POST", "/up?a=b#f", "Host2: x", body=b"12345"), request("GET", "http://h.:80/x?y"),
             request("GET", "/dead"),
             b"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", b"nonsense\r\n\r\n",
             b"GET / HTTP/1.1\r\n\r\n", request("GET", "/a" * 5000)]  # fmt: skip

    async def lines(front: Front, log: Path) -> list[str]:
        for wire in wires:
            await front.send(wire, bodiless=wire.startswith(b"HEAD"))
        await eventually(lambda: len(_comparable(log)) >= 23)
        return _comparable(log)

    async with nginx(directory, text.replace("KIND", "theirs")) as theirs:
        said = await lines(theirs, directory / "theirs.log")
    async with balancer(directory, text.replace("KIND", "ours")) as ours:
        assert await lines(ours, directory / "ours.log") == said


def _comparable(log: Path) -> list[str]:
    """Sizes of error pages are each one's own, and of a request that was refused we know no more than its line."""
    lines = log.read_bytes().decode("latin-1").splitlines() if log.exists() else []
    lines = [line.replace("; charset=utf-8", "") for line in lines]
    lines = [re.sub(r"\] ([345]\d\d) \d+ ", r"] \1 SIZE ", line) for line in lines]
    return [line.partition(" SIZE ")[0][:100] if "] 4" in line else line for line in lines]


async def hold(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    await up.release.wait()
    writer.write(answer(up.name.encode()))


async def test_requests_in_progress_are_limited_alike(upstream: Start, directory: Path) -> None:
    server = await upstream("a", hold)
    text = "limit_conn_zone $arg_who zone=who:1m; " + upstream_block([server], [""])
    text += "server { listen LISTEN; location / { proxy_pass http://app; limit_conn who 2; limit_conn_status 429; } }"
    async with both(directory, text) as fronts:
        for front in fronts:
            server.release.clear()
            server.heads.clear()
            waiting = [await front.client() for _ in range(5)]
            for client, who in zip(waiting, ("x", "x", "y", "", ""), strict=True):
                client.send(request("GET", f"/?who={who}"))
            await eventually(lambda: len(server.heads) == 5)
            assert (await front.send(request("GET", "/?who=x"))).status == 429
            server.release.set()
            assert [(await client.answer()).status for client in waiting] == [200] * 5
            assert (await front.send(request("GET", "/?who=x"))).status == 200
            for client in waiting:
                client.writer.transport.abort()


@pytest.mark.parametrize("ignored", ["on", "off"])
async def test_an_upstream_is_heard_to_its_end_when_clients_leaving_are_ignored(
    upstream: Start, directory: Path, ignored: str
) -> None:
    ended: list[str] = []

    async def slow(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        left = asyncio.create_task(reader.read(1))
        released = asyncio.create_task(up.release.wait())
        await asyncio.wait((left, released), return_when=asyncio.FIRST_COMPLETED)
        ended.append("left" if left.done() else "answered")
        left.cancel()
        released.cancel()
        writer.write(answer(b"a"))
        writer.close()

    server = await upstream("a", slow)
    text = upstream_block([server], [""]) + "server { listen LISTEN; location / { proxy_pass http://app; "
    text += f"proxy_ignore_client_abort {ignored}; }} location /said {{ return 200 said; }} }}"
    async with both(directory, text) as fronts:
        for count, front in enumerate(fronts, 1):
            server.release.clear()
            client = await front.client()
            client.send(request("GET", "/"))
            await eventually(lambda count=count: len(server.heads) == count)
            client.writer.transport.abort()
            if ignored == "on":
                # Nothing to wait for but that nothing happens: meanwhile another request goes all the way.
                assert (await front.send(request("GET", "/said"))).body == b"said"
                server.release.set()
            await eventually(lambda count=count: len(ended) == count)
        assert ended == (["answered"] * 2 if ignored == "on" else ["left"] * 2)
