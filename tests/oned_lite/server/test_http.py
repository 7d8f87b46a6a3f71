"""HTTP as clients really speak it, and as some should not."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus

import pytest

from services.common.settings import Address
from services.oned_lite.server.http import Cancel, HttpAnswer, HttpLimits, HttpRequest, Respond
from services.oned_lite.server.listener import HttpServer, open_socket

from .raw import DEADLINE_S, RawClient, chunked, post, raw_client

QUICK = HttpLimits(head_s=0.5, stall_s=0.8, idle_s=0.8)


class Echo:
    """Answers with what it got: at once, or when `release` is called."""

    def __init__(self) -> None:
        self.held: list[Callable[[], None]] = []
        self.requests: list[HttpRequest] = []
        self.cancelled = 0

    def __call__(self, request: HttpRequest, respond: Respond) -> Cancel | None:
        self.requests.append(request)
        size = int(request.path[1:]) if request.path[1:].isdigit() else 0
        answer = HttpAnswer(HTTPStatus.OK, request.body or b"x" * size)
        if request.path != "/held":
            respond(answer)
            return None
        self.held.append(lambda: respond(answer))
        return self._cancel

    def _cancel(self) -> None:
        self.cancelled += 1


@asynccontextmanager
async def running(echo: Echo, limits: HttpLimits | None = None) -> AsyncIterator[tuple[HttpServer, int]]:
    """A server and its port."""
    listening = open_socket(Address("127.0.0.1", 0))
    server = HttpServer(listening, limits or HttpLimits())
    task = asyncio.create_task(server.run(echo))
    try:
        yield server, listening.getsockname()[1]
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await server.stop(0.0)


@asynccontextmanager
async def serving(echo: Echo, limits: HttpLimits | None = None) -> AsyncIterator[int]:
    async with running(echo, limits) as (_, port):
        yield port


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def client(echo: Echo) -> AsyncIterator[RawClient]:
    async with serving(echo) as port, raw_client(port) as client:
        yield client


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_a_body_of_known_length(client: RawClient) -> None:
    await client.send(post(b"hello"))

    answer = await client.answer()

    assert (answer.status, answer.body, answer.headers["connection"]) == (200, b"hello", "keep-alive")


async def test_a_chunked_body(client: RawClient) -> None:
    await client.send(chunked(b"hel", b"lo", b" you"))
    assert (await client.answer()).body == b"hello you"


async def test_a_body_byte_by_byte(client: RawClient) -> None:
    for byte in post(b"hello"):
        await client.send(bytes((byte,)))
    assert (await client.answer()).body == b"hello"


async def test_the_connection_is_kept(client: RawClient) -> None:
    for number in range(5):
        await client.send(post(b"%d" % number))
        assert (await client.answer()).body == b"%d" % number


async def test_requests_sent_ahead_are_answered_in_order(client: RawClient) -> None:
    await client.send(b"".join(post(b"%d" % number) for number in range(50)))
    assert [(await client.answer()).body for _ in range(50)] == [b"%d" % number for number in range(50)]


async def test_a_slow_answer_is_not_overtaken(client: RawClient, echo: Echo) -> None:
    await client.send(post(b"slow", path="/held") + post(b"quick"))
    await until(lambda: bool(echo.held))
    assert len(echo.requests) == 1

    echo.held[0]()

    assert [(await client.answer()).body for _ in range(2)] == [b"slow", b"quick"]


async def test_the_connection_closes_when_asked(client: RawClient) -> None:
    await client.send(post(b"a", "Connection: close"))
    assert (await client.answer()).headers["connection"] == "close"
    assert await client.closed()


async def test_http_1_0_closes_unless_asked_to_stay(client: RawClient) -> None:
    await client.send(post(b"a", "Connection: keep-alive", version="1.0"))
    first = await client.answer()
    await client.send(post(b"b", version="1.0"))
    second = await client.answer()

    assert (first.version, first.headers["connection"]) == ("HTTP/1.0", "keep-alive")
    assert (second.version, second.headers["connection"]) == ("HTTP/1.0", "close")
    assert await client.closed()


async def test_expect_100_continue_is_told_to_go_on(client: RawClient) -> None:
    request = post(b"hello", "Expect: 100-continue")
    await client.send(request[:-5])
    async with asyncio.timeout(DEADLINE_S):
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"

    await client.send(b"hello")

    assert (await client.answer()).body == b"hello"


async def test_expect_100_continue_with_too_large_a_body_is_refused_before_it_is_sent(client: RawClient) -> None:
    await client.send(b"POST /RPC2 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n")
    assert (await client.answer()).status == 413


async def test_a_client_that_closes_its_sending_side_gets_its_answer(client: RawClient, echo: Echo) -> None:
    await client.send(post(b"last words", path="/held"))
    client.writer.write_eof()
    await until(lambda: bool(echo.held))

    echo.held[0]()

    assert (await client.answer()).body == b"last words"
    assert await client.closed()


async def test_a_client_that_goes_away_is_reported(echo: Echo) -> None:
    async with serving(echo) as port:
        async with raw_client(port) as client:
            await client.send(post(b"", path="/held"))
            await until(lambda: bool(echo.held))
            connection = client.writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
        await until(lambda: echo.cancelled == 1)
        echo.held[0]()  # too late, and harmless


async def test_half_a_request_is_no_request(client: RawClient, echo: Echo) -> None:
    await client.send(post(b"hello")[:-2])
    client.writer.write_eof()

    assert await client.closed()
    assert echo.requests == []


@pytest.mark.parametrize(
    "junk",
    [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"HELLO\r\n\r\n", b"POST /RPC2 HTTP/9.9\r\n\r\n", b"\x00" * 100],
    ids=["tls", "words", "version", "zeros"],
)
async def test_what_is_not_http_is_refused(client: RawClient, junk: bytes) -> None:
    await client.send(junk)
    assert (await client.answer()).status == 400
    assert await client.closed()


async def test_contradictory_lengths_are_refused(client: RawClient) -> None:
    await client.send(b"POST /RPC2 HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    assert (await client.answer()).status == 400


async def test_a_body_that_is_announced_too_large_is_refused(client: RawClient) -> None:
    await client.send(b"POST /RPC2 HTTP/1.1\r\nContent-Length: 1073741824\r\n\r\n" + b"x" * 100_000)
    assert (await client.answer()).status == 413


async def test_a_chunked_body_that_grows_too_large_is_refused() -> None:
    async with serving(Echo(), HttpLimits(body=1000)) as port, raw_client(port) as client:
        await client.send(chunked(b"x" * 600, b"x" * 600))
        assert (await client.answer()).status == 413


async def test_too_many_large_bodies_at_once_are_refused_and_room_comes_back(echo: Echo) -> None:
    async with serving(echo, HttpLimits(bodies_total=1500)) as port, raw_client(port) as first:
        await first.send(post(b"x" * 1000, path="/held"))
        await until(lambda: bool(echo.held))
        async with raw_client(port) as second:
            await second.send(post(b"x" * 1000))
            assert (await second.answer()).status == 503
        echo.held[0]()
        await first.answer()
        async with raw_client(port) as third:
            await third.send(post(b"x" * 1000))
            assert (await third.answer()).status == 200


async def test_room_comes_back_from_clients_that_vanish(echo: Echo) -> None:
    async with serving(echo, HttpLimits(bodies_total=1500)) as port:
        for _ in range(5):
            async with raw_client(port) as client:
                await client.send(post(b"x" * 1000)[:-1])
                await asyncio.sleep(0.01)
        async with raw_client(port) as client:
            for _ in range(20):
                await client.send(post(b"x" * 1000))
                assert (await client.answer()).status == 200


async def test_a_head_without_end_is_refused() -> None:
    async with serving(Echo()) as port, raw_client(port) as client:
        await client.send(b"POST /RPC2 HTTP/1.1\r\nX: " + b"a" * 200_000)
        assert (await client.answer()).status == 431


async def test_trailers_without_end_are_refused(client: RawClient) -> None:
    await client.send(b"POST /RPC2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * (2 << 20))
    assert (await client.answer()).status in (400, 431)


@pytest.mark.parametrize(
    "beginning",
    [b"", b"POST /RP", b"POST /RPC2 HTTP/1.1\r\nContent-Length: 100\r\n\r\nabc"],
    ids=["nothing", "half a head", "half a body"],
)
async def test_a_client_that_stops_is_given_up(beginning: bytes) -> None:
    async with serving(Echo(), QUICK) as port, raw_client(port) as client:
        await client.send(beginning)
        assert await client.closed()


async def test_a_client_that_trickles_is_given_up() -> None:
    async with serving(Echo(), QUICK) as port, raw_client(port) as client:
        with pytest.raises(ConnectionError):
            for byte in b"POST /RPC2 HTTP/1.1\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000:
                await client.send(bytes((byte,)))
                await asyncio.sleep(0.05)


async def test_a_client_that_does_not_read_is_given_up(echo: Echo) -> None:
    async with running(echo, QUICK) as (server, port), raw_client(port) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(post(b"", path="/50000000", version="1.0"))
        await until(lambda: bool(echo.requests) and not server.connections)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.answer()


async def test_a_slow_reader_gets_everything() -> None:
    async with serving(Echo(), QUICK) as port, raw_client(port) as client:
        await client.send(post(b"", path="/8000000"))
        received = 0
        await client.reader.readuntil(b"\r\n\r\n")
        while received < 8_000_000:
            async with asyncio.timeout(DEADLINE_S):
                part = await client.reader.read(1 << 20)
            assert part, "cut off"
            received += len(part)
            await asyncio.sleep(0.05)
        assert received == 8_000_000


async def test_more_connections_than_allowed_wait_in_line() -> None:
    async with serving(Echo(), HttpLimits(connections=2)) as port:

        async def ask(number: int) -> bytes:
            async with raw_client(port) as client:
                await client.send(post(b"%d" % number))
                return (await client.answer()).body

        assert await asyncio.gather(*map(ask, range(20))) == [b"%d" % number for number in range(20)]


async def test_kept_connections_give_way_to_new_ones() -> None:
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serving(Echo(), HttpLimits(connections=2)))
        for _ in range(10):
            client = await stack.enter_async_context(raw_client(port))
            await client.send(post(b"hi"))
            assert (await client.answer()).body == b"hi"


async def test_stopping_waits_for_answers_under_way(echo: Echo) -> None:
    listening = open_socket(Address("127.0.0.1", 0))
    server = HttpServer(listening, HttpLimits())
    task = asyncio.create_task(server.run(echo))
    async with raw_client(listening.getsockname()[1]) as client, raw_client(listening.getsockname()[1]) as idle:
        await client.send(post(b"bye", path="/held"))
        await until(lambda: bool(echo.held) and server.connections == 2)
        task.cancel()
        stopping = asyncio.create_task(server.stop(DEADLINE_S))
        assert await idle.closed()

        echo.held[0]()

        assert (await client.answer()).body == b"bye"
        await stopping
    await asyncio.gather(task, return_exceptions=True)


async def test_head_gets_no_body(client: RawClient) -> None:
    await client.send(b"HEAD /12 HTTP/1.1\r\n\r\n")
    assert (await client.answer(head_only=True)).headers["content-length"] == "12"
    await client.send(post(b"next"))
    assert (await client.answer()).body == b"next"
