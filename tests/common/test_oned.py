"""The client against scripted servers on the loopback."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from services.common.oned import OnedClient, OnedError, OnedUnavailable, OnedUnknown, only_reads
from services.common.xmlrpc import I8, Call, Value, decode_call, encode_fault, encode_response

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]


class Daemon:
    """A server that does with each request what its test says, and remembers the calls it got."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._behaviour = behaviour
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.calls: list[Call] = []
        self.called = asyncio.Event()
        self.url = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/RPC2"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        async with asyncio.timeout(10):
            await asyncio.gather(*self._connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"POST /RPC2 HTTP/1.1\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            self.calls.append(decode_call(body))
            self.called.set()
            await self._behaviour(reader, writer, body)
        writer.close()


def http(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def sends(*pieces: bytes) -> Behaviour:
    """Send these bytes, then close."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()

    return behave


def answers(value: Value) -> Behaviour:
    return sends(http(encode_response(value)))


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> None:
    await reader.read()  # until the client gives up


OK = answers([True, "<VM/>", 0])
NO_LEADER = answers([False, "[one.vm.info] Cannot process request, no leader found", 8192, -1, I8(-1)])
BREAKS = sends(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<meth")


@contextlib.asynccontextmanager
async def cluster(*behaviours: Behaviour) -> AsyncIterator[list[Daemon]]:
    daemons = [Daemon(behaviour) for behaviour in behaviours]
    for daemon in daemons:
        await daemon.start()
    yield daemons
    for daemon in daemons:
        await daemon.stop()


def client_of(daemons: list[Daemon], timeout_s: float = 10) -> OnedClient:
    return OnedClient([daemon.url for daemon in daemons], timeout_s=timeout_s)


@contextlib.contextmanager
def refusing() -> "contextlib.Generator[str]":
    """The URL of a port that nothing listens on, and nothing else can take meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}/RPC2"


async def test_a_call_gives_the_value_of_the_answer() -> None:
    async with cluster(OK) as daemons:
        assert await client_of(daemons).call("oneadmin:pw", "one.vm.info", 3, False) == "<VM/>"
        assert daemons[0].calls == [Call("one.vm.info", ["oneadmin:pw", 3, False])]


async def test_an_exchange_gives_the_answer_as_it_came() -> None:
    async with cluster(answers([False, "no", 1024, 3, I8(-1)])) as daemons:
        assert await client_of(daemons).exchange("one.vm.info", ["a:b", 3]) == [False, "no", 1024, 3, -1]


@pytest.mark.parametrize(
    "framing",
    [
        pytest.param(lambda body: (http(body),), id="length"),
        pytest.param(lambda body: (b"HTTP/1.1 200 OK\r\n\r\n" + body,), id="until the connection ends"),
        pytest.param(lambda body: (b"HTTP/1.0 200 OK\r\n\r\n", body[:10], body[10:]), id="in pieces"),
        pytest.param(
            lambda body: (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body),
            ),
            id="chunked",
        ),
        pytest.param(lambda body: (b"HTTP/1.1 100 Continue\r\n\r\n" + http(body),), id="after 100 Continue"),
    ],
)
async def test_answers_in_any_framing(framing: Callable[[bytes], tuple[bytes, ...]]) -> None:
    async with cluster(sends(*framing(encode_response([True, "x" * 100_000, 0])))) as daemons:
        assert await client_of(daemons).call("a:b", "one.vm.info", 3) == "x" * 100_000


async def test_an_error_of_the_daemon_is_definite() -> None:
    async with cluster(
        answers([False, "[one.vm.info] Error getting virtual machine [3].", 1024, 3, I8(-1)])
    ) as daemons:
        with pytest.raises(OnedError) as error:
            await client_of(daemons).call("a:b", "one.vm.info", 3)
    assert (error.value.code, error.value.oid, error.value.definite) == (1024, 3, True)
    assert str(error.value) == "[one.vm.info] Error getting virtual machine [3]."


async def test_a_fault_is_a_definite_error() -> None:
    async with cluster(sends(http(encode_fault(-501, "Not enough parameters")))) as daemons:
        with pytest.raises(OnedError) as error:
            await client_of(daemons).call("a:b", "one.vm.info")
    assert (error.value.code, error.value.message) == (-501, "Not enough parameters")


async def test_a_server_that_is_down_is_passed_over() -> None:
    async with cluster(OK) as daemons:
        with refusing() as url:
            client = OnedClient([url, daemons[0].url])
            assert await client.call("a:b", "one.vm.action", "stop", 3) == "<VM/>"
            assert await client.call("a:b", "one.vm.action", "stop", 4) == "<VM/>"
    assert len(daemons[0].calls) == 2


async def test_with_all_servers_down_nothing_was_done() -> None:
    with refusing() as url, pytest.raises(OnedUnavailable, match=r"Connect call failed|refused") as error:
        await OnedClient([url, url]).call("a:b", "one.vm.action", "stop", 3)
    assert error.value.definite


async def test_a_server_without_a_leader_did_nothing_so_the_next_is_asked() -> None:
    async with cluster(NO_LEADER, OK) as daemons:
        assert await client_of(daemons).call("a:b", "one.vm.action", "stop", 3) == "<VM/>"
    async with cluster(NO_LEADER, sends(http(b"", "503 Service Unavailable"))) as daemons:
        with pytest.raises(OnedUnavailable, match=r"no leader found; http://.*: HTTP status 503"):
            await client_of(daemons).call("a:b", "one.vm.action", "stop", 3)


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(sends(), id="closes"),
        pytest.param(BREAKS, id="breaks off"),
        pytest.param(sends(b"nonsense\r\n\r\n"), id="no HTTP"),
        pytest.param(sends(http(b"<html>")), id="no XML-RPC"),
        pytest.param(answers("text"), id="no answer of a daemon"),
        pytest.param(sends(http(b"", "502 Bad Gateway")), id="bad gateway"),
        pytest.param(sends(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n"), id="headers without end"),
        pytest.param(
            answers([False, "[one.vm.action] RPC call timed out and aborted", 8192, -1, I8(-1)]), id="forward timed out"
        ),
    ],
)
async def test_a_write_that_was_sent_is_never_sent_again(behaviour: Behaviour) -> None:
    async with cluster(behaviour, OK) as daemons:
        with pytest.raises(OnedUnknown) as error:
            await client_of(daemons).call("a:b", "one.vm.action", "stop", 3)
        assert not error.value.definite
        assert daemons[1].calls == []


@pytest.mark.parametrize("behaviour", [sends(), BREAKS, sends(http(b"", "502 Bad Gateway"))])
async def test_a_read_that_was_lost_is_asked_elsewhere(behaviour: Behaviour) -> None:
    async with cluster(behaviour, OK) as daemons:
        assert await client_of(daemons).call("a:b", "one.vm.info", 3) == "<VM/>"


async def test_a_read_that_nobody_answers_is_definite() -> None:
    async with cluster(sends(), BREAKS) as daemons:
        with pytest.raises(OnedUnavailable):
            await client_of(daemons).call("a:b", "one.vm.info", 3)


async def test_a_write_without_an_answer_ends_at_the_deadline() -> None:
    async with cluster(hangs, OK) as daemons:
        with pytest.raises(OnedUnknown, match=r"no answer within 0\.2 s"):
            await client_of(daemons, timeout_s=0.2).call("a:b", "one.vm.action", "stop", 3)
        assert daemons[1].calls == []


async def test_a_read_leaves_time_for_the_next_server_and_prefers_it_after() -> None:
    async with cluster(hangs, OK) as daemons:
        client = client_of(daemons, timeout_s=1)
        started = time.monotonic()
        assert await client.call("a:b", "one.vm.info", 3) == "<VM/>"
        assert time.monotonic() - started < 0.95
        assert await client.call("a:b", "one.vm.info", 3) == "<VM/>"
        assert len(daemons[0].calls) == 1


async def test_a_cancelled_call_ends_at_once() -> None:
    async with cluster(hangs) as daemons:
        call = asyncio.create_task(client_of(daemons).call("a:b", "one.vm.info", 3))
        async with asyncio.timeout(5):
            await daemons[0].called.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:2633",
        "ftp://a/RPC2",
        "http:///RPC2",
        "http://a:b@c/RPC2",
        "http://a/\r\nX: y",
        "http://a:x/",
        "http://a:123456/",
    ],
)
def test_an_endpoint_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="expected a URL"):
        OnedClient([url])
    with pytest.raises(ValueError, match="at least one"):
        OnedClient([])


def test_which_methods_only_read() -> None:
    reads = [
        "one.vm.info",
        "one.vmpool.infoextended",
        "one.zone.raftstatus",
        "one.vmpool.infoset",
        "system.listMethods",
    ]
    writes = [
        "one.vm.action",
        "one.user.login",
        "one.vm.update",
        "one.system.sqlquery",
        "system.multicall",
        "information",
    ]
    assert all(only_reads(method) for method in reads)
    assert not any(only_reads(method) for method in writes)
