"""Sockets of the file system, towards clients and upstreams: as a real nginx has them, over upgrades and after crashes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from services.balancer.server import Balancer
from services.balancer.site import build
from services.common import logs
from tests.balancer.programs import program
from tests.balancer.support import (
    Answer,
    RawClient,
    Upstream,
    always,
    answer,
    eventually,
    request,
    running,
    settings_for,
)
from tests.balancer.test_nginx_parity import balancer, nginx
from tests.balancer.test_nginx_parity import directory as directory
from tests.balancer.test_nginx_parity_rules import echo

Start = Callable[..., Awaitable[Upstream]]

SITES = """
log_format all '$remote_addr $server_addr $status $upstream_addr $upstream_status';
upstream app {{ server {address}; }}
upstream two {{ server {address} max_fails=0; server unix:{dir}/none.sock max_fails=0; }}
upstream hashed {{ ip_hash; server {address}; server unix:{dir}/b.sock; server unix:{dir}/c.sock weight=3; }}
server {{ listen LISTEN; listen unix:{dir}/KIND.sock; access_log {dir}/KIND.log all; proxy_http_version 1.1;
  proxy_set_header X-Addr $remote_addr:$remote_port; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
  proxy_set_header X-Here $server_port; proxy_set_header X-Proxy $proxy_host:$proxy_port; proxy_set_header X-Host $host;
  location / {{ proxy_pass http://app; }}
  location /named/ {{ proxy_pass http://{address}:/uri/; }}
  location /plain {{ proxy_pass http://{address}; }}
  location /colon {{ proxy_pass http://{address}:; }}
  location /retried {{ proxy_pass http://two; }}
  location /dead {{ proxy_pass http://unix:{dir}/none.sock; }}
  location /hashed {{ proxy_pass http://hashed; }}
  location /in {{ allow unix:; deny all; proxy_pass http://app; }}
  location /out {{ allow 127.0.0.1; deny all; proxy_pass http://app; }}
  location /free {{ deny unix:; deny 10.0.0.0/8; proxy_pass http://app; }}
}}
"""
PATHS = [
    "/x?y",
    "/named/x%20y",
    "/plain/z",
    "/colon/z",
    "/retried",
    "/retried",
    "/dead",
    "/hashed",
    "/in",
    "/out",
    "/free",
]


@contextlib.asynccontextmanager
async def served(directory: Path) -> AsyncIterator[Upstream]:
    servers = [await Upstream(name, echo).start_at(directory / f"{name}.sock") for name in "abc"]
    try:
        yield servers[0]
    finally:
        for server in servers:
            await server.stop()


async def over(path: Path, wire: bytes) -> Answer:
    client = RawClient(*await asyncio.open_unix_connection(path))
    try:
        client.send(wire)
        return await client.answer()
    finally:
        client.writer.transport.abort()


async def test_sockets_of_the_file_system_are_served_alike(directory: Path) -> None:
    seen, said = [], []
    async with served(directory) as server:
        text = SITES.format(address=server.address, dir=directory)
        for kind, front in (("theirs", nginx), ("ours", balancer)):
            async with front(directory, text.replace("KIND", kind)) as tcp:
                path, log = directory / f"{kind}.sock", directory / f"{kind}.log"
                assert path.stat().st_mode & 0o777 == 0o666
                answers = [await over(path, request("GET", asked)) for asked in PATHS]
                answers += [await tcp.send(request("GET", asked)) for asked in ("/in", "/out", "/free")]
                seen.append([(got.status, got.status >= 400 or told(got)) for got in answers])
                await eventually(lambda log=log: log.exists() and len(log.read_text().splitlines()) == len(PATHS) + 3)
                lines = log.read_text().splitlines()[: len(PATHS)]
                said.append([line.replace(f"{kind}.sock", "KIND.sock") for line in lines])
    assert seen[1] == seen[0]
    assert said[1] == said[0]


def told(got: Answer) -> list[bytes]:
    return [line for line in got.body.splitlines() if b"127.0.0.1" not in line and not line.startswith(b"x-here")]


def stale_socket(path: Path) -> None:
    """As a process leaves it that was killed."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()


async def test_a_dead_socket_file_is_replaced_and_nothing_else_is(upstream: Start, directory: Path) -> None:
    server, path = await upstream(), directory / "s.sock"
    plan = build(settings_for([server], listen=f"unix:{path}"))
    stale_socket(path)
    first, second = Balancer(plan, logs.get("balancer")), Balancer(plan, logs.get("balancer"))
    await first.start()
    try:
        assert (await over(path, request("GET", "/"))).body == b"a"
        with pytest.raises(OSError, match="cannot listen on unix:"):
            await second.start()
        assert (await over(path, request("GET", "/"))).body == b"a"
    finally:
        await first.stop(grace_s=0.1)
    path.unlink()
    path.write_text("not a socket")
    with pytest.raises(OSError, match="cannot listen on unix:"):
        await Balancer(plan, logs.get("balancer")).start()
    assert path.read_text() == "not a socket"


async def test_active_checks_reach_servers_on_sockets(directory: Path) -> None:
    good = await Upstream("good").start_at(directory / "good.sock")
    bad = await Upstream("bad", always(answer(b"", "500 E"))).start_at(directory / "bad.sock")
    check = {"interval_s": 0.05, "mandatory": True, "uri": "/ready"}
    try:
        async with running(settings_for([good, bad], group={"health_check": check})) as handle:
            await eventually(lambda: [handle.peer(n).verdict for n in (0, 1)] == ["healthy", "unhealthy"])
            assert (await handle.get()).body == b"good"
    finally:
        await good.stop()
        await bad.stop()


async def test_a_socket_survives_an_upgrade_and_goes_with_the_last_program(upstream: Start, directory: Path) -> None:
    path = directory / "s.sock"
    async with program(directory, [await upstream()], listen=[f"unix:{path}"], workers=2) as running:

        async def serves() -> bool:
            return [(await over(path, request("GET", "/"))).body for _ in range(8)] == [b"a"] * 8

        assert await serves()
        old = running.pid
        running.signal(signal.SIGUSR2)
        await running.until(lambda: running.pid not in (0, old))
        assert await serves()
        os.kill(old, signal.SIGQUIT)
        assert await running.ended() == 0
        assert await serves()
    assert not path.exists()


async def test_tls_is_spoken_on_sockets_on_both_sides(upstream: Start, directory: Path, certificates: Path) -> None:
    server, inside = await upstream(), f"unix:{directory}/inside.sock"
    pair = {"certificate": f"{certificates}/one.example.pem", "key": f"{certificates}/one.example.key"}
    told = [{"path": "/", "answer": {"status": 200, "text": "$remote_addr $scheme $host"}}]
    trust = {"verify": True, "trusted": pair["certificate"], "name": "one.example"}
    async with (
        running(settings_for([server], listen=inside, tls=pair, locations=told)),
        running(settings_for([], group={"servers": [{"address": inside}], "tls": trust})) as front,
    ):
        assert (await front.get()).body == b"unix: https example.org"
