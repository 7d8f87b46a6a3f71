"""Things that happen to several connections before the balancer looks: it hears of all of them in one turn of the loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from services.balancer.plane.reactor import Reactor
from services.balancer.plane.transport import set_to_reset
from services.common import logs
from tests.balancer.beside import plugged
from tests.balancer.support import Running, answer, eventually, request, running, settings_for

pytestmark = pytest.mark.interpreted_too


class Server:
    """A server whose connections the test reads and writes itself, between two turns if it wants."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setblocking(False)
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"
        self.connections: list[socket.socket] = []

    async def accept(self) -> socket.socket:
        async with asyncio.timeout(5):
            connection, _ = await asyncio.get_running_loop().sock_accept(self._listening)
        connection.setblocking(False)
        self.connections.append(connection)
        return connection

    def close(self) -> None:
        for sock in (self._listening, *self.connections):
            sock.close()


async def heard(sock: socket.socket) -> bytes:
    """What comes next; nothing when it is the end, in whatever way."""
    async with asyncio.timeout(5):
        with contextlib.suppress(ConnectionError):
            return await asyncio.get_running_loop().sock_recv(sock, 1 << 16)
    return b""


def visit(balancer: Running) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", balancer.port))
    client.setblocking(False)
    return client


def reset(sock: socket.socket) -> None:
    set_to_reset(sock)
    sock.close()


@contextlib.asynccontextmanager
async def served() -> AsyncIterator[tuple[Running, Server]]:
    with contextlib.closing(Server()) as server:
        async with running(settings_for([server])) as balancer:  # type: ignore[list-item]
            yield balancer, server


async def test_who_leaves_as_its_answer_comes_is_not_served_further() -> None:
    async with served() as (balancer, server):
        client = visit(balancer)
        client.send(request("GET", "/first") + request("GET", "/second"))
        connection = await server.accept()
        assert b"/first" in await heard(connection)
        reset(client)
        connection.send(answer(b"x"))
        await eventually(lambda: not balancer.balancer.engine.clients)
        await eventually(lambda: balancer.peer(0).conns == 0)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            assert connection.recv(1 << 16) == b"", "the second request"
        assert balancer.peer(0).stats.requests == 1


@pytest.mark.parametrize("end", [socket.socket.close, reset])
async def test_a_request_is_not_sent_on_a_connection_that_has_just_ended(end: Callable[[socket.socket], None]) -> None:
    async with served() as (balancer, server):
        with contextlib.closing(visit(balancer)) as client:
            client.send(request("GET", "/"))
            connection = await server.accept()
            assert await heard(connection)
            connection.send(answer(b"x"))
            assert await heard(client)
            await eventually(lambda: balancer.balancer.engine.pools["app"].idle == 1)
            end(connection)
            client.send(request("POST", "/", body=b"never twice"))
            connection = await server.accept()
            assert b"never twice" in await heard(connection)
            connection.send(answer(b"y"))
            assert (await heard(client)).endswith(b"y")


async def test_what_comes_for_a_descriptor_is_not_taken_to_be_for_who_gets_its_number() -> None:
    loop = asyncio.get_running_loop()
    reactor = Reactor(loop, logs.get("balancer").warning)
    mine, its = socket.socketpair()
    old, other = socket.socketpair()
    decided: list[int] = []
    with contextlib.ExitStack() as sockets:
        address, port = sockets.enter_context(plugged()).split(":")

        def replace() -> None:
            """Close a connection that has something to say, and begin to connect; the number is the same."""
            mine.recv(1)
            number = old.fileno()
            reactor.forget(number)
            old.close()
            new = sockets.enter_context(socket.socket())
            assert new.fileno() == number
            new.setblocking(False)
            new.connect_ex((address, int(port)))
            reactor.await_writable(number, lambda: decided.append(number))

        reactor.await_readable(mine.fileno(), replace)
        reactor.await_readable(old.fileno(), lambda: None)
        its.send(b"!")
        other.send(b"!")
        for _ in range(5):
            await asyncio.sleep(0)
        assert old.fileno() == -1
        assert decided == [], "it does not connect"
        reactor.forget(mine.fileno())
        for sock in (mine, its, other):
            sock.close()
        reactor.close()


