"""Traffic that is out of the ordinary, behind a real nginx and behind the balancer: limits, retries, bodies, upgrades."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.balancer.support import Answer, Upstream, always, answer, eventually, fields_of, read_body, request
from tests.balancer.test_nginx_parity import Front, both, config
from tests.balancer.test_nginx_parity import directory as directory

Start = Callable[..., Awaitable[Upstream]]


async def hold(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    await up.release.wait()
    writer.write(answer(up.name.encode()))


async def slam(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    await read_body(up, reader, head)
    writer.transport.abort()


@pytest.mark.parametrize("method", ["", "least_conn;"])
async def test_full_servers_are_passed_over_alike(upstream: Start, directory: Path, method: str) -> None:
    servers = [await upstream(name, hold) for name in "abc"]
    text = config(servers, ["max_conns=1", "max_conns=2", "max_conns=1 backup"], method)
    async with both(directory, text) as fronts:
        seen: list[Any] = []
        for front in fronts:
            for server in servers:
                server.heads.clear()
                server.release.clear()
            clients = []
            for count in range(1, 5):
                clients.append(await front.client())
                clients[-1].send(request("GET", "/"))
                await eventually(lambda count=count: sum(len(server.heads) for server in servers) == count)
            refused = (await front.send(request("GET", "/"))).status
            for server in servers:
                server.release.set()
            seen.append(([(await client.answer()).body for client in clients], refused))
            for client in clients:
                client.writer.transport.abort()
        assert seen[0] == seen[1] and seen[0][1] == 502


@pytest.mark.parametrize(
    "proxy",
    ["", "proxy_next_upstream error timeout http_503 non_idempotent;", "proxy_next_upstream off;",
     "proxy_next_upstream http_503; proxy_next_upstream_tries 2;",
     "proxy_next_upstream error; proxy_next_upstream_tries 1;",
     "proxy_next_upstream error http_503 non_idempotent; proxy_next_upstream_tries 3;",
     "proxy_next_upstream timeout;", "proxy_next_upstream invalid_header non_idempotent;"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_attempts_are_made_alike(upstream: Start, directory: Path, proxy: str, method: str) -> None:
    ways = (slam, always(answer(b"!", "503 E")), always(b"HTTP/1.1 200 OK\r\nX\0: y\r\n\r\n", close=True), slam)
    servers = [await upstream(name, way) for name, way in zip("abcd", ways, strict=True)]
    async with both(directory, config(servers, ["max_fails=0"] * 4, proxy=proxy)) as fronts:
        seen: list[Any] = []
        for front in fronts:
            for server in servers:
                server.heads.clear()
            statuses = [(await front.send(request(method, "/", body=b"x"))).status for _ in range(5)]
            seen.append((statuses, [len(server.heads) for server in servers]))
        assert seen[0] == seen[1]


async def exchange(front: Front, *wires: bytes) -> list[tuple[int, bytes, str | None]]:
    """Answers on one connection: status, body, and whether the connection is to close."""
    client = await front.client()
    got: list[tuple[int, bytes, str | None]] = []
    try:
        for wire in wires:
            client.send(wire)
            told: Answer = await client.answer(bodiless=wire.startswith(b"HEAD"))
            got.append((told.status, told.body if told.status < 300 else b"", told.fields.get("connection", "keep-alive")))
            if got[-1][2] == "close":
                break
    finally:
        client.writer.transport.abort()
    return got


GET, HEAD = request("GET", "/"), request("HEAD", "/")
OLD = b"GET / HTTP/1.0\r\nHost: h\r\n\r\n"


@pytest.mark.parametrize(
    ("more", "wires"),
    [
        ("", [GET, HEAD, GET, request("POST", "/", body=b"x"), GET]),
        ("", [request("GET", "/", "Connection: close")]),
        ("", [OLD]),
        ("", [OLD.replace(b"\r\n\r\n", b"\r\nConnection: keep-alive\r\n\r\n"), GET]),
        ("keepalive_requests 2;", [GET, GET, GET]),
        ("keepalive_timeout 0;", [GET, GET]),
        ("client_max_body_size 2;", [GET, request("POST", "/", body=b"xyz")]),
        ("client_max_body_size 0;", [request("POST", "/", body=b"x" * 2_000_000), GET]),
        ("", [request("POST", "/", "Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\nT: y\r\n\r\n", GET]),
        ("", [request("OPTIONS", "/"), request("TRACE", "/"), request("PROPFIND", "/"), GET]),
        ("", [b"\r\n" + GET, b"\r\n\r\n" + GET]),
    ],
)
async def test_connections_stay_and_close_alike(upstream: Start, directory: Path, more: str, wires: list[bytes]) -> None:
    server = await upstream("a")
    async with both(directory, config([server], [""], more=more)) as (theirs, ours):
        assert await exchange(ours, *wires) == await exchange(theirs, *wires)


async def test_continue_is_said_alike(upstream: Start, directory: Path) -> None:
    server = await upstream("a")
    async with both(directory, config([server], [""])) as fronts:
        seen: list[Any] = []
        for front in fronts:
            server.heads.clear()
            client = await front.client()
            client.send(request("POST", "/", "Expect: 100-continue", "Content-Length: 3"))
            statuses = [(await client.answer()).status]
            client.send(b"abc")
            statuses.append((await client.answer()).status)
            client.writer.transport.abort()
            seen.append((statuses, server.bodies[-1], fields_of(server.heads[0]).get("expect")))
        assert seen[0] == seen[1]


async def test_upgrades_become_tunnels_alike(upstream: Start, directory: Path) -> None:
    async def shout(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        fields = fields_of(head)
        if fields.get("upgrade") != "websocket" or fields.get("connection", "").lower() != "upgrade":
            writer.write(answer(b"plain"))
            return
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        while data := await reader.read(100):
            writer.write(data.upper())
        writer.close()

    server = await upstream("a", shout)
    proxy = 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";'
    for more, expected in ((proxy, 101), ("proxy_http_version 1.1;", 200)):
        async with both(directory, config([server], [""], proxy=more)) as fronts:
            for front in fronts:
                client = await front.client()
                client.send(request("GET", "/", "Connection: Upgrade", "Upgrade: websocket"))
                got = await client.answer()
                assert got.status == expected
                if expected == 101:
                    client.send(b"hello")
                    assert await client.reader.readexactly(5) == b"HELLO"
                client.writer.transport.abort()


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHo", request("POST", "/", "Content-Length: 5") + b"ab", b""])
async def test_clients_that_fall_silent_are_told_alike(upstream: Start, directory: Path, sent: bytes) -> None:
    server = await upstream("a")
    more = "client_header_timeout 1s; client_body_timeout 1s; keepalive_timeout 1s;"
    async with both(directory, config([server], [""], more=more)) as fronts:
        seen: list[bytes] = []
        for front in fronts:
            client = await front.client()
            client.send(sent)
            seen.append((await client.rest())[:12])
            client.writer.transport.abort()
        # nginx only logs 408; who sent nothing at all is told nothing by either.
        assert seen == [b"", b"HTTP/1.1 408" if sent else b""]
