"""Clients and upstreams that misbehave: bounded, refused, and never at the cost of others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.balancer.core.paths import BadPath, normalise
from services.balancer.wire.fields import FramingError
from services.balancer.wire.request import HeadLimits, RequestParser, find_head
from services.balancer.wire.response import ResponseParser, find_response_head
from tests.balancer.beside import stubborn
from tests.balancer.support import Handler, Upstream, always, answer, eventually, request, running, settings_for

pytestmark = pytest.mark.interpreted_too

Start = Callable[..., Awaitable[Upstream]]
LIMITS = HeadLimits()
SEED = (
    b"POST http://h:1/a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n"
    b"X : y\r\n z\r\n\r\n"
)


@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 3), st.binary(max_size=3)), max_size=8))
def test_mutated_heads_are_understood_or_refused(edits: list[tuple[int, int, bytes]]) -> None:
    wire = SEED
    for at, cut, put in edits:
        wire = wire[:at] + put + wire[at + cut :]
    try:
        size = find_head(wire, LIMITS)
        if size:
            head = RequestParser(LIMITS).parse(wire[:size])
            assert not (head.chunked and head.length is not None)
            normalise(head.path)
        if size := find_response_head(wire):
            ResponseParser().parse(wire[:size])
    except (FramingError, BadPath):
        pass


@given(st.binary(max_size=200))
def test_normalised_paths_never_leave_the_root(path: bytes) -> None:
    try:
        done = normalise(b"/" + path)
    except BadPath:
        return
    assert done.startswith(b"/") and b"/../" not in done and not done.endswith(b"/..")


@pytest.mark.parametrize(
    "smuggled",
    [
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\nG",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-encoding: identity\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n Transfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\nab\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1_0\r\n",
    ],
)
async def test_smuggling_attempts_never_reach_an_upstream(upstream: Start, smuggled: bytes) -> None:
    server = await upstream()
    async with running(settings_for([server])) as balancer:
        client = await balancer.client()
        client.send(smuggled + b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await client.answer()).status in (400, 501)
        await client.rest()
    assert server.heads == []


async def test_a_client_that_pipelines_but_does_not_read_is_held_back(upstream: Start) -> None:
    server = await upstream("a", always(answer(b"x" * 100_000)))
    async with running(settings_for([server])) as balancer:
        client = await balancer.client()
        client.writer.transport.pause_reading()
        client.send(b"".join([request("GET", "/")] * 400))
        seen = -1
        while seen != len(server.heads):
            seen = len(server.heads)
            await asyncio.sleep(0.2)
        assert 0 < seen < 200
        client.writer.transport.resume_reading()
        for _ in range(400):
            assert len((await client.answer()).body) == 100_000


async def test_a_client_that_stops_reading_is_dropped_after_the_send_timeout(upstream: Start) -> None:
    server = await upstream("a", always(answer(b"x" * 30_000_000)))
    async with running(settings_for([server], clients={"send_timeout_s": 0.3})) as balancer:
        client = await balancer.client()
        client.writer.transport.pause_reading()
        client.send(request("GET", "/"))
        await eventually(lambda: server.heads)
        await eventually(lambda: not balancer.balancer.engine.clients)
        assert balancer.peer(0).conns == 0


async def test_an_upstream_that_never_stops_its_interim_answers_is_given_up(upstream: Start) -> None:
    server = await upstream("a", always(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000))
    async with running(settings_for([server])) as balancer:
        client = await balancer.client()
        client.send(request("GET", "/"))
        while (got := await client.answer()).status == 103:
            pass
        assert got.status == 502


async def test_interim_answers_are_counted_for_each_request(upstream: Start) -> None:
    server = await upstream("a", always(b"HTTP/1.1 103 Early Hints\r\n\r\n" + answer(b"x")))
    async with running(settings_for([server])) as balancer:
        client = await balancer.client()
        for _ in range(40):
            assert (await client.get()).status == 103
            assert (await client.answer()).status == 200
    assert server.connections == 1


async def test_an_endless_head_of_an_upstream_is_502(upstream: Start) -> None:
    server = await upstream("a", always(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000))
    async with running(settings_for([server])) as balancer:
        assert (await balancer.get()).status == 502


async def test_a_body_waits_with_its_client_while_its_upstream_takes_no_more(upstream: Start) -> None:
    """And it is the upstream that is given up for it: the client could not go on."""

    async def deaf(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.transport.pause_reading()
        await up.release.wait()

    server = await upstream("a", deaf)
    location = {"max_body_bytes": 0, "request_buffer_bytes": 8 << 20, "send_timeout_s": 1.0}
    settings = settings_for([server], location=location, clients={"body_timeout_s": 0.5})
    async with running(settings) as balancer:
        client = await balancer.client()
        client.send(request("POST", "/", "Transfer-Encoding: chunked"))
        sent, piece = 0, b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"

        async def go_on() -> None:
            nonlocal sent
            while sent < 200:
                client.send(piece)
                await client.writer.drain()
                sent += 1

        going_on = asyncio.create_task(go_on())
        assert (await client.answer()).status == 504
        assert sent < 60, "MB"
        going_on.cancel()
        server.release.set()


async def test_a_large_early_answer_reaches_a_slow_reader_whole(upstream: Start) -> None:
    """It is after the answer that a client may linger for a while, not during it."""
    size = 16_000_000
    server = await upstream("a", early(answer(b"x" * size)))
    location = {"request_buffering": False, "buffer_bytes": 1 << 25}
    settings = settings_for([server], location=location, clients={"lingering_timeout_s": 0.3, "lingering_time_s": 0.5})
    async with running(settings) as balancer:
        client = stubborn(balancer)
        loop, got = asyncio.get_running_loop(), 0
        await loop.sock_sendall(client, request("POST", "/", "Content-Length: 1000000") + b"a beginning")
        while data := await asyncio.wait_for(loop.sock_recv(client, 1 << 16), 5):
            got += len(data)
            await asyncio.sleep(0.004)  # so it takes longer than lingering
        client.close()
        assert got > size


def early(wire: bytes) -> Handler:
    """A handler that answers before there is a body."""

    async def handler(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        writer.write(wire)
        await up.release.wait()

    return handler


async def test_who_says_no_more_is_answered_and_let_go(upstream: Start) -> None:
    """A client that closes its side, where a request goes on without it: nothing else can come."""

    async def slow(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
        await up.release.wait()
        writer.write(answer(b"x"))

    server = await upstream("a", slow)
    async with running(settings_for([server], location={"ignore_client_abort": True})) as balancer:
        client = await balancer.client()
        client.send(request("GET", "/") * 2)
        client.writer.write_eof()
        await eventually(lambda: server.heads)
        server.release.set()
        assert [(await client.answer()).body for _ in range(2)] == [b"x", b"x"]
        assert await client.rest() == b""


async def test_garbage_on_one_connection_leaves_others_alone(upstream: Start) -> None:
    server = await upstream("a")
    async with running(settings_for([server])) as balancer:
        good = await balancer.client()
        for n in range(50):
            bad = await balancer.client()
            bad.send(bytes((n * 7 + k * 13) % 256 for k in range(300)))
            if n % 2:
                bad.writer.transport.abort()
            assert (await good.get()).body == b"a"


async def test_idle_connections_cost_little_memory(upstream: Start) -> None:
    import tracemalloc

    async with running(settings_for([await upstream("a")], clients={"connections": 5000})) as balancer:
        for _ in range(20):
            await balancer.get()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        pairs = [await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", balancer.port)
                 for _ in range(300)]  # fmt: skip
        await eventually(lambda: len(balancer.balancer.engine.clients) >= 300)
        each = (tracemalloc.get_traced_memory()[0] - before) / 300
        tracemalloc.stop()
        assert each < 10_000, "both ends together"
        for transport, _ in pairs:
            transport.abort()
