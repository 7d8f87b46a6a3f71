"""The same nginx.conf behind a real nginx and behind the balancer: same answers, same peers chosen."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from services.balancer.config import read_plan
from services.balancer.server import Balancer
from services.common import logs
from tests.balancer.support import Answer, RawClient, Upstream, always, answer, eventually, fields_of, request
from tests.support.ports import free_port
from tests.support.programs import real_part

Start = Callable[..., Awaitable[Upstream]]

TOP = """
worker_processes 1; pid {dir}/pid; error_log {dir}/error.log; daemon off;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2;
  fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
  {http}
}}
"""


class Front:
    """One of the two in front of the same upstreams; what is logged to ACCESS_LOG can be read in ``log``."""

    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self.log = log

    async def client(self) -> RawClient:
        return RawClient(*await asyncio.open_connection("127.0.0.1", self.port))

    async def send(self, wire: bytes, *, bodiless: bool = False) -> Answer:
        client = await self.client()
        try:
            client.send(wire)
            return await client.answer(bodiless=bodiless)
        finally:
            client.writer.transport.abort()

    async def bodies(self, count: int, path: str = "/") -> str:
        return "".join([(await self.send(request("GET", path))).body.decode() for _ in range(count)])


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nginx-parity-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@contextlib.asynccontextmanager
async def nginx(directory: Path, text: str, top: str = TOP, port: int = 0) -> AsyncIterator[Front]:
    port = port or free_port()
    path = directory / "nginx.conf"
    log = directory / "theirs.log"
    http = text.replace("LISTEN", f"127.0.0.1:{port}").replace("ACCESS_LOG", str(log))
    path.write_text(top.format(dir=directory, http=http))
    program = real_part("nginx", package="nginx-light")
    command = (program, "-e", str(directory / "error.log"), "-c", str(path))
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(5):
            while True:
                assert process.returncode is None, (directory / "error.log").read_text()
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.transport.abort()
                    break
                await asyncio.sleep(0.02)
        yield Front(port, log)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def balancer(directory: Path, text: str, top: str = TOP) -> AsyncIterator[Front]:
    path = directory / "ours.conf"
    log = directory / "ours.log"
    http = text.replace("LISTEN", "127.0.0.1:0").replace("ACCESS_LOG", str(log))
    path.write_text(top.format(dir=directory, http=http))
    running = Balancer(read_plan(path), logs.get("balancer"))
    await running.start()
    try:
        yield Front(next(iter(running.ports.values())), log)
    finally:
        await running.stop(grace_s=0.2)


@contextlib.asynccontextmanager
async def both(directory: Path, text: str, top: str = TOP, port: int = 0) -> AsyncIterator[tuple[Front, Front]]:
    async with nginx(directory, text, top, port) as theirs, balancer(directory, text, top) as ours:
        yield theirs, ours


def upstream_block(servers: list[Upstream], parameters: list[str], method: str = "") -> str:
    lines = [f"server {server.address} {more};" for server, more in zip(servers, parameters, strict=True)]
    return f"upstream app {{ {method} {' '.join(lines)} }}"


SERVER = "server {{ listen LISTEN; {more} location / {{ proxy_pass http://app; {proxy} }} }}"


def config(servers: list[Upstream], parameters: list[str], method: str = "", more: str = "", proxy: str = "") -> str:
    return upstream_block(servers, parameters, method) + SERVER.format(more=more, proxy=proxy)


@pytest.mark.parametrize("method", ["", "least_conn;"])
@pytest.mark.parametrize("weights", [(1, 1, 1), (5, 1, 1), (3, 2, 1), (2, 7, 4)])
async def test_idle_selection(upstream: Start, directory: Path, method: str, weights: tuple[int, ...]) -> None:
    servers = [await upstream(name) for name in "abc"]
    text = config(servers, [f"weight={weight}" for weight in weights], method)
    async with both(directory, text) as (theirs, ours):
        count = 3 * sum(weights)
        assert await ours.bodies(count) == await theirs.bodies(count)


@pytest.mark.parametrize("weights", [(1, 1, 1), (2, 1, 1), (3, 2, 1)])
async def test_selection_with_requests_held_open(upstream: Start, directory: Path, weights: tuple[int, ...]) -> None:
    async def hold(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await up.release.wait()
        writer.write(answer(up.name.encode()))

    servers = [await upstream(name, hold) for name in "abc"]
    text = config(servers, [f"weight={weight}" for weight in weights], "least_conn;")

    async def order(front: Front) -> str:
        picked, clients = "", []
        for server in servers:
            server.heads.clear()
        for count in range(1, 13):
            clients.append(await front.client())
            clients[-1].send(request("GET", "/"))
            before = [picked.count(server.name) for server in servers]
            await eventually(lambda count=count: sum(len(server.heads) for server in servers) == count)
            now = [len(server.heads) for server in servers]
            picked += next(s.name for s, old, new in zip(servers, before, now, strict=True) if new > old)
        for client in clients:
            client.writer.transport.abort()
        return picked

    async with both(directory, text) as (theirs, ours):
        assert await order(ours) == await order(theirs)


@pytest.mark.parametrize("ring", ["", "consistent"])
@pytest.mark.parametrize("key", ["$request_uri", "$arg_k"])
async def test_hashed_selection(upstream: Start, directory: Path, key: str, ring: str) -> None:
    servers = [await upstream(name) for name in "abcd"]
    text = config(servers, ["weight=1", "weight=3", "", "weight=2"], f"hash {key} {ring};")
    paths = [f"/page/{n}?k={n * 7}" for n in range(60)] + ["/none", "/k?k"] * 5
    async with both(directory, text) as (theirs, ours):
        assert [await ours.bodies(1, p) for p in paths] == [await theirs.bodies(1, p) for p in paths]


@pytest.mark.parametrize("method", ["hash $request_uri;", "hash $request_uri consistent;", "ip_hash;"])
async def test_hashed_selection_around_a_server_that_is_down(upstream: Start, directory: Path, method: str) -> None:
    servers = [await upstream(name) for name in "abc"]
    text = config(servers, ["", "down", "weight=2"], method)
    paths = [f"/page/{n}" for n in range(40)]
    async with both(directory, text) as (theirs, ours):
        assert [await ours.bodies(1, p) for p in paths] == [await theirs.bodies(1, p) for p in paths]


async def test_ip_hash(upstream: Start, directory: Path) -> None:
    servers = [await upstream(name) for name in "abcde"]
    async with both(directory, config(servers, ["weight=2", "", "", "weight=3", ""], "ip_hash;")) as (theirs, ours):
        assert await ours.bodies(5) == await theirs.bodies(5)


async def test_a_dead_server_is_left_out_and_others_serve(upstream: Start, directory: Path) -> None:
    servers = [await upstream(name) for name in "abc"]
    await servers[1].stop()
    text = config(servers, ["max_fails=2 fail_timeout=30", "max_fails=2 fail_timeout=30 weight=2", ""], "least_conn;")
    async with both(directory, text) as (theirs, ours):
        assert await ours.bodies(20) == await theirs.bodies(20)


async def test_after_the_quiet_period_one_request_probes(upstream: Start, directory: Path) -> None:
    servers = [await upstream("a"), await upstream("b")]
    text = config(servers, ["max_fails=1 fail_timeout=1", "max_fails=1 fail_timeout=1"])
    async with both(directory, text) as (theirs, ours):
        port = servers[0].port
        await servers[0].stop()
        assert await ours.bodies(4) == await theirs.bodies(4) == "bbbb"
        revived = await Upstream("a").start(port)
        await asyncio.sleep(2.2)  # fail_timeout is real time, in nginx too
        seen = await ours.bodies(4), await theirs.bodies(4)
        await revived.stop()
        assert seen[0] == seen[1] and "a" in seen[0]


async def test_backups_serve_when_primaries_are_gone(upstream: Start, directory: Path) -> None:
    servers = [await upstream(name) for name in "abc"]
    await servers[0].stop()
    async with both(directory, config(servers, ["", "backup", "backup weight=2"])) as (theirs, ours):
        assert await ours.bodies(8) == await theirs.bodies(8)


@pytest.mark.parametrize("status", ["500 E", "502 E", "503 E", "504 E", "404 E", "403 E", "429 E"])
@pytest.mark.parametrize("listed", ["", "proxy_next_upstream error timeout http_500 http_503 http_404 http_429;"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_statuses_are_retried_and_counted_alike(
    upstream: Start, directory: Path, status: str, listed: str, method: str
) -> None:
    servers = [await upstream("a", always(answer(b"!", status))), await upstream("b")]
    text = config(servers, ["max_fails=2 fail_timeout=30"] * 2, proxy=listed)
    body = b"x" if method == "POST" else b""
    async with both(directory, text) as (theirs, ours):
        seen = []
        for front in (theirs, ours):
            answers = [await front.send(request(method, "/", body=body)) for _ in range(6)]
            seen.append([(got.status, got.body) for got in answers])
        assert seen[0] == seen[1]


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "PATCH"])
async def test_broken_connections_are_retried_alike(upstream: Start, directory: Path, method: str) -> None:
    async def slam(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.transport.abort()

    servers = [await upstream("a", slam), await upstream("b")]
    async with both(directory, config(servers, ["max_fails=0"] * 2)) as (theirs, ours):
        for _ in range(2):
            wire = request(method, "/", body=b"x")
            first, second = await theirs.send(wire), await ours.send(wire)
            assert (second.status, second.status == 502 or second.body) == (
                first.status,
                first.status == 502 or first.body,
            )


async def test_timeouts_and_dead_groups_answer_alike(upstream: Start, directory: Path) -> None:
    async def hang(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await up.release.wait()

    servers = [await upstream("a", hang), await upstream("b", hang)]
    text = config(servers, ["max_fails=1 fail_timeout=60"] * 2, proxy="proxy_read_timeout 300ms;")
    async with both(directory, text) as (theirs, ours):
        for expected in (504, 502, 502):
            assert [(await front.send(request("GET", "/"))).status for front in (theirs, ours)] == [expected] * 2
    for server in servers:
        server.release.set()


async def test_headers_reach_the_upstream_alike(upstream: Start, directory: Path) -> None:
    server = await upstream("a")
    proxy = """
      proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Uri $uri; proxy_set_header X-Args $args;
      proxy_set_header X-Request-Uri $request_uri; proxy_set_header X-Cookie $cookie_k; proxy_set_header X-Arg $arg_x;
      proxy_set_header X-Method $request_method; proxy_set_header X-Nothing $http_nothing; proxy_set_header Accept "";
    """
    wire = request("GET", "/a%20b/../c//d?x=1&y=2", "X-Forwarded-For: 10.0.0.1", "Cookie: j=1; k=2", "Accept: */*",
                   "TE: trailers", "Connection: keep-alive, X-Hop", "X_Under: dropped", "X-Plain: kept")  # fmt: skip
    async with both(directory, config([server], [""], proxy=proxy)) as fronts:
        seen = []
        for front in fronts:
            server.heads.clear()
            assert (await front.send(wire)).status == 200
            line, fields = server.heads[0].split(b"\r\n")[0], fields_of(server.heads[0])
            fields.pop("x-hop", None)
            seen.append((line, fields))
        assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "location",
    ["location /app/ { proxy_pass http://app/; }", "location /app/ { proxy_pass http://app/other/; }",
     "location /app { proxy_pass http://app; }", "location = /app/x { proxy_pass http://app/exact; }",
     r"location ~ ^/app/(\w+)$ { proxy_pass http://app; }", "location /app/x { return 204; }",
     "location /app/x { return 301 https://$host$request_uri; }", "location /app/x { return 403; }",
     "location /app/x { return 200 hello; }", "location ^~ /app/ { return 410; } location ~ x { return 411; }",
     "location /app/ { return 412; } location ~ x { return 413; } location ~ X { return 414; }",
     "location / { proxy_pass http://app; } location /none { return 404; }"],
)  # fmt: skip
async def test_locations(upstream: Start, directory: Path, location: str) -> None:
    async def echo(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(answer(head.split(b"\r\n")[0].split(b" ")[1]))

    server = await upstream("a", echo)
    text = upstream_block([server], [""]) + "server { listen LISTEN; " + location + " }"
    async with both(directory, text) as fronts:
        for path in ("/app/x", "/app/x?q=1", "/app/y", "/other", "/app//x", "/app/z/../x"):
            got = [await front.send(request("GET", path)) for front in fronts]
            assert got[0].status == got[1].status, path
            assert got[0].fields.get("location") == got[1].fields.get("location"), path
            if got[0].status == 200:
                assert got[0].body == got[1].body, path


@pytest.mark.parametrize(
    ("wire", "same"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", True),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", True),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", True),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n", True),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"GET /../x HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"GET x HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", True),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", True),
        # stricter, or clearer, than nginx 1.22 on purpose: 431 for its 400, and no lone LF
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 40000 + b"\r\n\r\n", False),
        (b"GET / HTTP/1.1\nHost: a\n\n", False),
    ],
)
async def test_bad_requests_get_the_same_status(upstream: Start, directory: Path, wire: bytes, same: bool) -> None:
    server = await upstream("a")
    async with both(directory, config([server], [""])) as (theirs, ours):
        first, second = await theirs.send(wire), await ours.send(wire)
        assert (first.status == second.status) is same, (first.status, second.status)


@pytest.mark.parametrize(
    "wire",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"HTTP/1.0 200 OK\r\n\r\nabc",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
     b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n",
     b"HTTP/1.1 302 Found\r\nLocation: http://app/new\r\nContent-Length: 0\r\n\r\n",
     b"HTTP/1.1 302 Found\r\nLocation: /rel\r\nContent-Length: 0\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", b"",
     b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"],
)  # fmt: skip
async def test_answers_arrive_alike(upstream: Start, directory: Path, wire: bytes) -> None:
    server = await upstream("a", always(wire, close=True))
    text = config([server], [""], proxy="proxy_http_version 1.1; add_header X-Added $upstream_addr;")
    async with both(directory, text) as fronts:
        seen = []
        for front in fronts:
            got = await front.send(request("GET", "/x"))
            location = got.fields.get("location", "").replace(str(front.port), "PORT")
            seen.append((got.status, got.status == 502 or got.body, location, *map(got.fields.get, ("etag", "x-added"))))
        if b"\r\nContent-Length: 3\r\nContent-Length: 3" in wire:  # nginx 1.22 takes the last one
            seen[0] = seen[1]
        assert seen[0] == seen[1]
