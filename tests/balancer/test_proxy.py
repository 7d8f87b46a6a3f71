"""The data plane with real sockets: relaying, keep-alive, retries, error statuses, streams, tunnels."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

import pytest

from tests.balancer.support import (
    RawClient,
    Upstream,
    always,
    answer,
    eventually,
    fields_of,
    read_body,
    request,
    running,
    settings_for,
)

pytestmark = pytest.mark.interpreted_too

Start = Callable[..., Awaitable[Upstream]]


async def never(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    """Hang until released, then answer."""
    await up.release.wait()
    writer.write(answer(up.name.encode()))


async def slam(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    """Reset the connection instead of answering."""
    writer.transport.abort()


async def test_requests_spread_and_carry_the_client_address(upstream: Start) -> None:
    servers = [await upstream(name) for name in "abc"]
    location = {"set_headers": {"X-Real-IP": "$remote_addr", "X-Forwarded-For": "$proxy_add_x_forwarded_for"}}
    async with running(settings_for(servers, location=location)) as balancer:
        client = await balancer.client()
        bodies = [(await client.get("/x", "X-Forwarded-For: 10.1.1.1")).body for _ in range(6)]
        client.close()
    assert bodies == [b"a", b"b", b"c"] * 2
    fields = fields_of(servers[0].heads[0])
    assert fields["x-real-ip"] == "127.0.0.1"
    assert fields["x-forwarded-for"] == "10.1.1.1, 127.0.0.1"
    assert fields["host"] == "example.org"


async def test_connections_to_upstreams_are_reused(upstream: Start) -> None:
    server = await upstream()
    async with running(settings_for([server])) as balancer:
        for _ in range(5):
            assert (await balancer.get()).status == 200
        assert server.connections == 1


async def test_at_most_the_configured_idle_connections_are_kept(upstream: Start) -> None:
    server = await upstream("a", never)
    async with running(settings_for([server], group={"keepalive": {"connections": 2}})) as balancer:
        clients = [await balancer.client() for _ in range(5)]
        for client in clients:
            client.send(request("GET", "/"))
        await eventually(lambda: len(server.heads) == 5)
        server.release.set()
        for client in clients:
            assert (await client.answer()).body == b"a"
            client.close()
        assert balancer.balancer.engine.pools["app"].idle == 2


async def test_a_refused_connection_goes_to_the_next_peer_and_is_charged(upstream: Start) -> None:
    dead, alive = await upstream("dead"), await upstream("alive")
    await dead.stop()
    async with running(settings_for([dead, alive], server={"max_fails": 1, "fail_timeout_s": 10})) as balancer:
        assert [(await balancer.get()).body for _ in range(4)] == [b"alive"] * 4
        assert balancer.peer(0).fails == 1 and balancer.peer(0).stats.unavail == 1


async def test_a_post_is_repeated_only_if_it_was_not_sent(upstream: Start) -> None:
    slammer, alive = await upstream("slammer", slam), await upstream("alive")
    async with running(settings_for([slammer, alive])) as balancer:
        client = await balancer.client()
        client.send(request("POST", "/", body=b"pay"))
        assert (await client.answer()).status == 502
        assert alive.bodies == []
        client.send(request("PUT", "/", body=b"put"))
        assert (await client.answer()).body == b"alive"
        assert alive.bodies == [b"put"]
        client.close()


async def test_no_live_peer_is_502_and_a_timeout_504(upstream: Start) -> None:
    hanging = [await upstream("a", never), await upstream("b", never)]
    settings = settings_for(hanging, location={"read_timeout_s": 0.2}, server={"fail_timeout_s": 60})
    async with running(settings) as balancer:
        assert (await balancer.get()).status == 504
        assert (await balancer.get()).status == 502
        assert balancer.balancer.engine.totals.no_live == 1


async def test_a_listed_status_is_retried_and_the_last_one_passes(upstream: Start) -> None:
    failing = always(answer(b"no", "503 Service Unavailable"))
    servers = [await upstream("a", failing), await upstream("b")]
    location = {"next_upstream": ["error", "timeout", "http_503"]}
    async with running(settings_for(servers, location=location, server={"max_fails": 5})) as balancer:
        assert [(await balancer.get()).body for _ in range(3)] == [b"b"] * 3
        assert balancer.peer(0).fails > 0
    servers = [await upstream("a", failing), await upstream("b", failing)]
    async with running(settings_for(servers, location=location, server={"max_fails": 5})) as balancer:
        got = await balancer.get()
        assert (got.status, got.body) == (503, b"no")
        assert sorted(balancer.peer(n).fails for n in (0, 1)) == [0, 1]


async def test_chunked_answers_with_trailers_pass_unchanged(upstream: Start) -> None:
    wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    wire += b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 5\r\n\r\n"
    server = await upstream("a", always(wire))
    async with running(settings_for([server])) as balancer:
        client = await balancer.client()
        client.send(request("GET", "/"))
        assert await client.reader.readexactly(len(wire)) == wire
        assert (await client.get()).body == b"abcde"
        client.close()
        assert server.connections == 1


async def test_an_answer_without_length_is_chunked_for_http_1_1(upstream: Start) -> None:
    server = await upstream("a", always(b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nhello", close=True))
    async with running(settings_for([server])) as balancer:
        client = await balancer.client()
        for _ in range(2):
            got = await client.get()
            assert (got.body, got.fields["transfer-encoding"]) == (b"hello", "chunked")
        client.close()


async def test_http_1_0_clients_get_no_chunks_and_a_close(upstream: Start) -> None:
    server = await upstream("a", always(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"))
    async with running(settings_for([server])) as balancer:
        client = await balancer.client()
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        got = await client.answer()
        assert got.body == b"abc" and "transfer-encoding" not in got.fields
        assert await client.rest() == b""


async def test_a_client_that_names_no_host_is_passed_on_under_the_name_of_the_group(upstream: Start) -> None:
    server = await upstream("a")
    async with running(settings_for([server])) as balancer:
        client = await balancer.client()
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert (await client.answer()).body == b"a"
    assert fields_of(server.heads[0])["host"] == "app"


async def test_head_204_and_304_have_no_body_and_keep_the_connection(upstream: Start) -> None:
    server = await upstream("a", always(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n"))
    async with running(settings_for([server])) as balancer:
        client = await balancer.client()
        for method in ("GET", "HEAD", "GET"):
            client.send(request(method, "/"))
            assert (await client.answer(bodiless=True)).status == 304
        client.close()
        assert server.connections == 1


async def test_pipelined_requests_are_answered_in_order(upstream: Start) -> None:
    server = await upstream()

    async def path(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(answer(head.split(b" ")[1]))

    server = await upstream("a", path)
    async with running(settings_for([server])) as balancer:
        client = await balancer.client()
        client.send(b"".join(request("GET", f"/{n}") for n in range(20)))
        assert [(await client.answer()).body for _ in range(20)] == [b"/%d" % n for n in range(20)]
        client.close()


async def test_bodies_are_reframed_so_that_only_our_framing_goes_up(upstream: Start) -> None:
    server = await upstream()
    async with running(settings_for([server])) as balancer:
        client = await balancer.client()
        client.send(
            request("POST", "/", "Transfer-Encoding: chunked") + b"3;ext=1\r\nabc\r\n4\r\ndefg\r\n0\r\nT: x\r\n\r\n"
        )
        assert (await client.answer()).status == 200
        client.close()
    assert server.bodies == [b"abcdefg"]
    assert fields_of(server.heads[0])["content-length"] == "7" and "transfer-encoding" not in fields_of(server.heads[0])


@pytest.mark.parametrize("chunked", [False, True])
async def test_large_bodies_stream_both_ways_with_bounded_memory(upstream: Start, chunked: bool) -> None:
    async def echo_hash(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await read_body(up, reader, head)
        writer.write(answer(up.bodies[-1]))

    server = await upstream("a", echo_hash)
    body = bytes(range(256)) * 40_000
    async with running(settings_for([server], location={"max_body_bytes": 0})) as balancer:
        client = await balancer.client()
        if chunked:
            pieces = [body[n : n + 70_000] for n in range(0, len(body), 70_000)]
            wire = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
            client.send(request("PUT", "/", "Transfer-Encoding: chunked") + wire)
        else:
            client.send(request("PUT", "/", body=body))
        got = await client.answer()
        assert hashlib.sha256(got.body).digest() == hashlib.sha256(body).digest()
        client.close()


async def test_a_slow_reader_stops_the_upstream(upstream: Start) -> None:
    total = 64 << 20
    progress = []

    async def flood(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        for n in range(total >> 16):
            writer.write(bytes(1 << 16))
            await writer.drain()
            progress.append(n)

    server = await upstream("a", flood)
    async with running(settings_for([server])) as balancer:
        client = await balancer.client()
        client.send(request("GET", "/"))
        await client.reader.readuntil(b"\r\n\r\n")
        seen = -1
        while seen != len(progress):
            seen = len(progress)
            await asyncio.sleep(0.3)
        assert seen < (total >> 16) // 2
        left = total
        while left:
            left -= len(await client.reader.read(1 << 20))
        client.close()


async def test_too_large_a_body_is_413(upstream: Start) -> None:
    server = await upstream()
    async with running(settings_for([server], location={"max_body_bytes": 10})) as balancer:
        client = await balancer.client()
        client.send(request("POST", "/", body=b"x" * 11))
        assert (await client.answer()).status == 413
        client = await balancer.client()
        client.send(request("POST", "/", "Transfer-Encoding: chunked") + b"b\r\nxxxxxxxxxxx\r\n")
        assert (await client.answer()).status == 413
        assert await client.rest() == b""
    assert server.bodies == []


async def test_expect_is_answered_by_the_balancer(upstream: Start) -> None:
    server = await upstream()
    async with running(settings_for([server])) as balancer:
        client = await balancer.client()
        client.send(request("POST", "/", "Expect: 100-continue", "Content-Length: 3"))
        assert (await client.answer()).status == 100
        client.send(b"abc")
        assert (await client.answer()).status == 200
        client.close()
    assert server.bodies == [b"abc"] and "expect" not in fields_of(server.heads[0])


async def test_early_hints_pass_and_the_answer_follows(upstream: Start) -> None:
    server = await upstream("a", always(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + answer(b"ok")))
    async with running(settings_for([server])) as balancer:
        client = await balancer.client()
        client.send(request("GET", "/"))
        assert (await client.answer()).status == 103
        assert (await client.answer()).body == b"ok"
        client.close()


async def test_a_websocket_becomes_a_tunnel(upstream: Start) -> None:
    async def shout(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        assert fields_of(head)["upgrade"] == "websocket"
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
        while data := await reader.read(100):
            writer.write(data.upper())
        writer.close()

    server = await upstream("a", shout)
    async with running(settings_for([server])) as balancer:
        client = await balancer.client()
        client.send(request("GET", "/", "Connection: keep-alive, Upgrade", "Upgrade: websocket") + b"early")
        got = await client.answer()
        assert got.status == 101 and got.fields["upgrade"] == "websocket" and got.fields["connection"] == "upgrade"
        assert await client.reader.readexactly(10) == b"helloEARLY"
        client.send(b"more")
        assert await client.reader.readexactly(4) == b"MORE"
        assert balancer.peer(0).conns == 1
        client.close()
        await eventually(lambda: balancer.peer(0).conns == 0)


async def test_events_arrive_as_they_are_sent(upstream: Start) -> None:
    async def events(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await up.release.wait()
        writer.write(b"data: 2\n\n")
        await writer.drain()
        writer.close()

    server = await upstream("a", events)
    async with running(settings_for([server])) as balancer:
        client = await balancer.client()
        client.send(request("GET", "/events"))
        await client.reader.readuntil(b"\r\n\r\n")
        assert b"data: 1" in await client.reader.readuntil(b"\n\n\r\n")
        server.release.set()
        assert b"data: 2" in await client.reader.readuntil(b"\n\n\r\n")
        client.close()


async def test_an_answer_that_breaks_off_is_never_taken_for_complete(upstream: Start) -> None:
    for wire in (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nabc",
                 b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"):  # fmt: skip
        server = await upstream("a", always(wire, close=True))
        async with running(settings_for([server])) as balancer:
            client = await balancer.client()
            client.send(request("GET", "/"))
            got = await client.rest()
            assert got.endswith((b"abc", b"abc\r\n")) and b"0\r\n\r\n" not in got[-8:]
            assert balancer.peer(0).conns == 0 and balancer.peer(0).fails == 0


async def test_bytes_after_an_answer_never_reach_the_next_client(upstream: Start) -> None:
    server = await upstream("a", always(answer(b"one") + answer(b"STOLEN")))
    async with running(settings_for([server])) as balancer:
        for _ in range(3):
            assert (await balancer.get()).body == b"one"
        assert server.connections == 3


async def test_a_client_that_leaves_frees_the_peer(upstream: Start) -> None:
    server = await upstream("a", never)
    async with running(settings_for([server, await upstream("b", never)])) as balancer:
        client = await balancer.client()
        client.send(request("GET", "/"))
        await eventually(lambda: server.heads)
        client.close()
        await eventually(lambda: balancer.peer(0).conns == 0)
        assert balancer.peer(0).fails == 0 and balancer.balancer.engine.totals.client_aborts == 1


async def test_an_early_answer_to_a_long_upload_arrives(upstream: Start) -> None:
    async def refuse(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(answer(b"too much", "403 Forbidden"))

    server = await upstream("a", refuse)
    async with running(settings_for([server], location={"max_body_bytes": 0, "request_buffering": False})) as balancer:
        client = await balancer.client()
        client.send(request("PUT", "/", "Content-Length: 5000000") + b"x" * 100_000)
        got = await client.answer()
        assert (got.status, got.fields["connection"]) == (403, "close")
        client.close()


async def test_half_a_head_times_out_with_408(upstream: Start) -> None:
    settings = settings_for([await upstream()], clients={"header_timeout_s": 0.2, "body_timeout_s": 0.2})
    async with running(settings) as balancer:
        client = await balancer.client()
        client.send(b"GET / HTTP/1.1\r\nHo")
        assert (await client.answer()).status == 408
        client = await balancer.client()
        client.send(request("POST", "/", "Content-Length: 5") + b"ab")
        assert (await client.answer()).status == 408


@pytest.mark.parametrize(
    ("wire", "status"),
    [(b"GET / HTTP/1.1\nHost: h\n\n", 400), (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n", 414),
     (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 40_000, 431), (b"\x16\x03\x01\x02\x00\x01\n", 400),
     (b"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", 400), (b"GET /../x HTTP/1.1\r\nHost: h\r\n\r\n", 400)],
)  # fmt: skip
async def test_refused_bytes_get_an_answer_and_a_close(upstream: Start, wire: bytes, status: int) -> None:
    server = await upstream()
    async with running(settings_for([server])) as balancer:
        client = await balancer.client()
        client.send(wire)
        assert (await client.answer()).status == status
        assert await client.rest() == b""
    assert server.heads == []


async def test_connections_over_the_limit_are_refused(upstream: Start) -> None:
    settings = settings_for([await upstream()], clients={"connections_per_address": 2})
    async with running(settings) as balancer:
        held: list[RawClient] = []
        for _ in range(2):
            held.append(await balancer.client())
            assert (await held[-1].get()).status == 200
        refused = await balancer.client()
        assert (await refused.answer()).status == 503
        refused.close()
        held[0].close()
        await eventually(lambda: len(balancer.balancer.engine.clients) == 1)
        assert (await balancer.get()).status == 200


async def test_requests_wait_in_the_queue_for_a_free_slot(upstream: Start) -> None:
    server = await upstream("a", never)
    settings = settings_for([server], server={"max_conns": 1}, group={"queue": {"size": 1, "timeout_s": 5}})
    async with running(settings) as balancer:
        clients = [await balancer.client() for _ in range(3)]
        clients[0].send(request("GET", "/"))
        await eventually(lambda: server.heads)
        clients[1].send(request("GET", "/"))
        await eventually(lambda: balancer.balancer.engine.pools["app"].waiting)
        assert (await clients[2].get()).status == 502
        server.release.set()
        assert [(await client.answer()).status for client in clients[:2]] == [200, 200]


async def test_a_graceful_stop_finishes_what_is_in_progress(upstream: Start) -> None:
    server = await upstream("a", never)
    async with running(settings_for([server])) as balancer:
        idle, busy = await balancer.client(), await balancer.client()
        busy.send(request("GET", "/"))
        await eventually(lambda: server.heads)
        stopping = asyncio.create_task(balancer.balancer.stop(grace_s=5))
        assert await idle.rest() == b""
        server.release.set()
        got = await busy.answer()
        assert (got.body, got.fields["connection"]) == (b"a", "close")
        await stopping
