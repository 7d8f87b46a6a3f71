"""Whatever passes means the same on both sides: requests and answers of every shape, judged by another parser (h11).

A request that reaches the upstream must be the one that h11 reads from the client's bytes, with the same body; an answer
that reaches a client whole must be the one that h11 reads from the upstream's bytes. Refusing more than h11 is fine.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

import h11
import pytest
import uvloop
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from services.balancer.server import Balancer
from services.balancer.site import build
from services.common import logs
from tests.balancer.support import eventually, settings_for

T = TypeVar("T")
Request = tuple[bytes, bytes, frozenset[tuple[bytes, bytes]], bytes]
OUR_OWN = {b"connection", b"content-length", b"transfer-encoding"}
EXAMPLES = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
TEMPTATION_S = 0.002  # for what no request is meant by: time to take it for one
PATIENCE_S = 5.0


class Upstream:
    """Notes what it is sent; answers with ``wire``, by default a good answer to each request that h11 sees."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.wire: bytes | None = None
        self.closes = False
        self.ended = 0

    async def start(self) -> Upstream:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        mine = len(self.received)
        self.received.append(b"")
        answered = 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                self.received[mine] += data
                complete = len(requests_in(self.received[mine]))
                if complete > answered:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" * (complete - answered)
                                 if self.wire is None else self.wire)  # fmt: skip
                    answered = complete
                    if self.closes:
                        break
        writer.close()
        self.ended += 1


def requests_in(data: bytes) -> list[Request]:
    """The complete requests at the start of some bytes, up to the first thing h11 does not take."""
    found: list[Request] = []
    while True:
        while data.startswith(b"\r\n"):  # to be ignored before a request: RFC 9112 section 2.2, which h11 does not do
            data = data[2:]
        request, data = first_request(data)
        if request is None:
            return found
        found.append(request)


def first_request(data: bytes) -> tuple[Request | None, bytes]:
    """A complete request, and what follows it on a connection that stays; None where h11 sees none."""
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(data)
    head: h11.Request | None = None
    body = b""
    with contextlib.suppress(h11.RemoteProtocolError):
        while True:
            event = parser.next_event()
            if isinstance(event, h11.Request):
                head, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                fields = frozenset((name, value) for name, value in head.headers if name not in OUR_OWN)
                parser.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
                parser.send(h11.EndOfMessage())
                stays = parser.our_state is h11.DONE and parser.their_state is h11.DONE
                rest = bytes(parser.trailing_data[0]) if stays else b""
                return (head.method, head.target, fields, body), rest
            else:
                break
    return None, b""


class World:
    """A balancer and its upstream on a loop of their own, kept over all examples."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.upstream = self.do(Upstream().start())
        self.balancer = self.do(self._start())

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    async def _start(self) -> Balancer:
        # A connection for each request, so that bytes that pose as another one stand out.
        group = {"keepalive": {"connections": 0}}
        settings = settings_for([self.upstream], server={"max_fails": 0}, group=group)  # type: ignore[list-item]
        balancer = Balancer(build(settings), logs.get("balancer"))
        await balancer.start()
        self.port = next(iter(balancer.ports.values()))
        return balancer

    def close(self) -> None:
        self.do(self.balancer.stop(grace_s=0.1))
        self.upstream.server.close()
        self._runner.close()

    async def talk(self, wire: bytes, answers: int) -> bytes:
        """Send bytes on a new connection and read until so many answers came, or the end of the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        said = b""
        try:
            writer.write(wire)
            async with asyncio.timeout(PATIENCE_S):
                while said.count(b"HTTP/1.1 ") - said.count(b"HTTP/1.1 100 ") < answers:
                    piece = await reader.read(1 << 16)
                    if not piece:
                        break
                    said += piece
            await asyncio.sleep(0 if answers else TEMPTATION_S)
        finally:
            writer.transport.abort()
            await self._settle()
        return said

    async def _settle(self) -> None:
        """Wait until nothing of it is left, so that the next example sees nothing but its own."""
        upstream, peer = self.upstream, self.balancer.engine.pools["app"].group.peers[0]
        await eventually(lambda: not self.balancer.engine.clients and upstream.ended >= peer.stats.connects)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


LINES = [
    b"Host: h", b"Host: h", b"Host: h", b"Host: other", b"Host : h", b"Content-Length: 3", b"Content-Length: 3",
    b"Content-Length: 0", b"Content-Length: 03", b"Content-Length: +3", b"Content-Length: -3",
    b"Content-Length: 3, 3", b"Content-Length: 3,4", b"Content-Length: 3 3", b"Content-Length: 0x3",
    b"Content-Length:", b"Content-Length : 3", b"Content-Length: 99999999999999999999", b"Content_Length: 3",
    b"content-length:3", b"X: y\r\n Content-Length: 3", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked",
    b"transfer-encoding:chunked ", b"Transfer-Encoding: CHUNKED", b"Transfer-Encoding: chunked, chunked",
    b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: \"chunked\"", b"Transfer-Encoding : chunked",
    b" Transfer-Encoding: chunked", b"Transfer-Encoding: x\r\n chunked", b"Transfer_Encoding: chunked",
    b"Transfer-Encoding: chunked;q=1", b"Transfer-Encoding\x00: chunked", b"X: a\x00b", b"X: a\rb",
    b"X: a\nContent-Length: 3", b"X: \xff\xfe", b": empty", b"no colon", b"Connection: close",
    b"Connection: keep-alive, X-Hop", b"X-Hop: secret", b"Connection: content-length",
    b"Connection: transfer-encoding, host", b"Expect: 100-continue", b"Upgrade: h2c", b"Connection: upgrade",
    b"TE: trailers", b"Trailer: Content-Length", b"X-Plain: value",
]  # fmt: skip
BODIES = [
    b"", b"", b"abc", b"abcGET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n", b"0\r\n\r\n",
    b"03\r\nabc\r\n00\r\n\r\n", b"3;ext=\"a;b\"\r\nabc\r\n0;x\r\n\r\n", b"3 \r\nabc\r\n0\r\n\r\n", b"3\nabc\n0\n\n",
    b"3\r\nabc\n0\r\n\r\n", b"3\rabc\r0\r\r", b"0x3\r\nabc\r\n0\r\n\r\n", b"+3\r\nabc\r\n0\r\n\r\n",
    b"-1\r\nabc\r\n0\r\n\r\n", b"3_0\r\nabc\r\n0\r\n\r\n", b"2\r\nabc\r\n0\r\n\r\n", b"fffffffffffffffff\r\nabc",
    b"100000000000000003\r\nabc\r\n0\r\n\r\n", b"3;\nx\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n0\r\nX: y\r\n\r\n",
    b"3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n", b"3\r\nabc\r\n0\r\nno colon\r\n\r\n",
    b"\r\n3\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n\r\n",
]  # fmt: skip
HEADS = [
    b"GET / HTTP/1.1", b"POST / HTTP/1.1", b"POST /a?b=c HTTP/1.1", b"PUT /%2e%2e/x HTTP/1.1",
    b"GET http://h/x HTTP/1.1", b"GET http://other/x HTTP/1.1", b"POST / HTTP/1.0", b"GET /  HTTP/1.1",
    b"GET\t/ HTTP/1.1", b"GET / HTTP/1.1 ", b"GET /\x00 HTTP/1.1", b"GET /a b HTTP/1.1", b" GET / HTTP/1.1",
    b"\r\nGET / HTTP/1.1", b"\nGET / HTTP/1.1", b"get / HTTP/1.1", b"GET / http/1.1", b"GET / HTTP/1.2",
    b"GET / HTTP/01.1", b"GET /", b"G=T / HTTP/1.1", b"OPTIONS * HTTP/1.1", b"POST /#frag HTTP/1.1",
]  # fmt: skip
ENDS = [b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\r\n"]


@st.composite
def messages(draw: st.DrawFn, heads: list[bytes], usual: bytes) -> bytes:
    """One message: mostly well formed, with odd lines, odd line ends and an odd body here and there."""
    end = st.sampled_from(ENDS)
    lines = draw(st.lists(st.sampled_from(LINES), max_size=4))
    first = draw(st.sampled_from([usual, usual, *heads]))
    if draw(st.booleans()) and first[:4] != b"HTTP":
        lines.insert(0, b"Host: h")
    head = b"".join(line + draw(end) for line in [first, *lines])
    return head + draw(end) + draw(st.sampled_from(BODIES))


@st.composite
def edited(draw: st.DrawFn, wires: st.SearchStrategy[bytes]) -> bytes:
    """With a few bytes cut out or put in."""
    wire = draw(wires)
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 2)))):
        at = draw(st.integers(0, max(0, len(wire) - 1)))
        wire = wire[:at] + draw(st.binary(max_size=2)) + wire[at + draw(st.integers(0, 2)) :]
    return wire


clients = edited(st.lists(messages(HEADS, b"POST / HTTP/1.1"), min_size=1, max_size=3).map(b"".join))


@EXAMPLES
@given(wire=clients)
def test_upstreams_receive_what_clients_sent(world: World, wire: bytes) -> None:
    assume(wire.isascii())  # nginx takes other bytes in targets, too, and so do we; h11 does not
    upstream = world.upstream
    upstream.received.clear()
    upstream.wire, upstream.closes = None, False
    meant = requests_in(wire)
    world.do(world.talk(wire, len(meant)))
    reached = [found for data in upstream.received for found in requests_in(data)]
    assert len(reached) <= len(meant), (reached, meant)
    for (method, target, fields, body), (meant_method, meant_target, meant_fields, meant_body) in zip(
        reached, meant, strict=False
    ):
        assert (method, body) == (meant_method, meant_body)
        host = next(value for name, value in fields if name == b"host")
        if meant_target.startswith(b"/") or meant_target == b"*":
            assert target == meant_target
            assert host == (dict(meant_fields).get(b"host") or b"app")
        else:
            assert meant_target == b"http://" + host + target
        assert fields - {(b"host", host)} <= meant_fields


ANSWERS = [
    b"HTTP/1.1 200 OK", b"HTTP/1.1 404 Not Found", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 103 Hints", b"HTTP/1.1 100 Continue",
    b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.1 200", b"HTTP/1.1  200 OK", b"HTTP/1.1 20 OK",
    b"HTTP/1.1 2000 OK", b"HTTP/2 200 OK", b"http/1.1 200 OK", b"HTTP/1.1 999 Odd", b"HTTP/1.1 000 Odd", b"junk",
]  # fmt: skip
answers = edited(st.lists(messages(ANSWERS, b"HTTP/1.1 200 OK"), min_size=1, max_size=2).map(b"".join))


def answer_in(data: bytes, *, ended: bool) -> tuple[int, bytes, bool] | None:
    """Status, body and completeness of the final answer at the start of some bytes; None where h11 sees none."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    parser.send(h11.EndOfMessage())
    parser.receive_data(data)
    if ended:
        parser.receive_data(b"")
    status, body = 0, b""
    try:
        while True:
            event = parser.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return status, body, True
            elif not isinstance(event, h11.InformationalResponse):
                break
    except h11.RemoteProtocolError:
        pass
    return (status, body, False) if status else None


@EXAMPLES
@given(wire=answers)
def test_clients_receive_what_upstreams_answered(world: World, wire: bytes) -> None:
    upstream = world.upstream
    upstream.received.clear()
    upstream.wire, upstream.closes = wire, True
    said = world.do(world.talk(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 1 << 30))
    got = answer_in(said, ended=True)
    assert got is not None, said
    status, body, whole = got
    meant = answer_in(wire, ended=True)
    if b"<p>balancer</p>" in body:
        assert status == 502
    elif whole:
        assert meant is not None and (status, body) == meant[:2] and meant[2], (said, meant)
    elif meant is not None:
        assert status == meant[0] and (meant[1].startswith(body) or body.startswith(meant[1]))
