"""Links between servers, on real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

import pytest

from services.common.settings import Address
from services.oned_lite.server import handshake
from services.oned_lite.server.framing import framed, read_frame
from services.oned_lite.server.handshake import Accepted, Challenge, HandshakeError, Hello, Proof, link_key
from services.oned_lite.server.listener import open_socket
from services.oned_lite.server.peers import PeerLinks

KEY = os.urandom(32)
DEADLINE_S = 10.0


@dataclass(slots=True)
class Events:
    connected: set[int] = field(default_factory=set)
    frames: list[tuple[int, bytes]] = field(default_factory=list)
    lost: int = 0

    def peer_connected(self, peer: int) -> None:
        self.connected.add(peer)

    def peer_disconnected(self, peer: int) -> None:
        self.connected.discard(peer)
        self.lost += 1

    async def frame_received(self, peer: int, data: bytes) -> None:
        self.frames.append((peer, data))


@dataclass(slots=True)
class Server:
    events: Events
    links: PeerLinks


class Zone:
    """Addresses for three servers; each may be started, also more than once."""

    def __init__(self) -> None:
        self.sockets = {number: open_socket(Address("127.0.0.1", 0)) for number in range(3)}
        self.addresses = {number: Address(*one.getsockname()) for number, one in self.sockets.items()}

    @asynccontextmanager
    async def server(
        self, number: int, key: bytes = KEY, members: Sequence[int] | None = None
    ) -> AsyncIterator[Server]:
        listening = self.sockets.pop(number, None) or open_socket(self.addresses[number])
        events = Events()
        links = PeerLinks(number, self.addresses[number], key, events)
        links.set_peers(self.addresses if members is None else {one: self.addresses[one] for one in members})
        task = asyncio.create_task(links.run(listening))
        try:
            yield Server(events, links)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def close(self) -> None:
        for one in self.sockets.values():
            one.close()


@pytest.fixture
def zone() -> Iterator[Zone]:
    zone = Zone()
    yield zone
    zone.close()


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_servers_find_each_other_and_talk(zone: Zone) -> None:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(zone.server(number)) for number in range(3)]
        await until(lambda: all(len(server.events.connected) == 2 for server in servers))

        for number in range(100):
            servers[0].links.send(1, b"%d" % number)
        servers[2].links.send(0, b"x" * (20 << 20))

        await until(lambda: len(servers[1].events.frames) == 100 and len(servers[0].events.frames) == 1)
        assert servers[1].events.frames == [(0, b"%d" % number) for number in range(100)]
        assert servers[0].events.frames == [(2, b"x" * (20 << 20))]


async def test_a_server_that_ends_is_noticed_at_once_and_found_again(zone: Zone) -> None:
    async with zone.server(0) as first:
        async with zone.server(1):
            await until(lambda: first.events.connected == {1})
        began = time.monotonic()
        await until(lambda: first.events.connected == set())
        assert time.monotonic() - began < 0.5
        async with zone.server(1) as again:
            await until(lambda: first.events.connected == {1} and again.events.connected == {0})
            again.links.send(0, b"back")
            await until(lambda: (1, b"back") in first.events.frames)


async def test_what_is_sent_without_a_link_is_dropped(zone: Zone) -> None:
    async with zone.server(0) as first:
        first.links.send(1, b"lost")
        first.links.send(7, b"nobody")
        async with zone.server(1) as second:
            await until(lambda: first.events.connected == {1})
            first.links.send(1, b"heard")
            await until(lambda: bool(second.events.frames))
            assert second.events.frames == [(0, b"heard")]


async def test_other_credentials_do_not_connect(zone: Zone) -> None:
    async with zone.server(0) as first, zone.server(1, os.urandom(32)) as other:
        await asyncio.sleep(0.5)
        assert not first.events.connected and not other.events.connected
        assert not first.events.frames and not other.events.frames


@asynccontextmanager
async def stranger(zone: Zone, first_words: bytes) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Somebody who connects to server 0."""
    reader, writer = await asyncio.open_connection(*zone.addresses[0])
    writer.write(first_words)
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield reader, writer
    finally:
        writer.transport.abort()


async def test_a_wrong_proof_is_shown_the_door(zone: Zone) -> None:
    hello = framed(handshake.encode(Hello(handshake.PROTOCOL, 1, 0, os.urandom(32))))
    async with zone.server(0) as server, stranger(zone, hello) as (reader, writer):
        mirrored = handshake.decode(await read_frame(reader), Challenge).proof
        writer.write(framed(handshake.encode(Proof(mirrored))) + framed(b"command"))
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await read_frame(reader)
        assert server.events.frames == []


@pytest.mark.parametrize(
    "hello",
    [
        Hello("onelite/0", 1, 0, os.urandom(32)),
        Hello(handshake.PROTOCOL, 9, 0, os.urandom(32)),
        Hello(handshake.PROTOCOL, 0, 0, os.urandom(32)),
        Hello(handshake.PROTOCOL, 1, 2, os.urandom(32)),
    ],
    ids=["protocol", "unknown sender", "itself", "another receiver"],
)
async def test_greetings_that_cannot_be_right_are_not_answered(zone: Zone, hello: Hello) -> None:
    async with zone.server(0), stranger(zone, framed(handshake.encode(hello))) as (reader, _):
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await read_frame(reader)


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, b"\x00\x00\x00\x05hello"])
async def test_junk_is_not_answered(zone: Zone, junk: bytes) -> None:
    async with zone.server(0), stranger(zone, junk) as (reader, _):
        with suppress(ConnectionError):
            assert await reader.read() == b""


async def test_a_server_that_proves_nothing_gets_no_proof_from_us(zone: Zone) -> None:
    """An impostor at a peer's address learns nothing that helps it elsewhere."""
    received: list[bytes] = []

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.append(await read_frame(reader))
        writer.write(framed(handshake.encode(Challenge(os.urandom(32), os.urandom(32)))))
        received.append(await reader.read())
        writer.close()

    listening: socket.socket = zone.sockets.pop(1)
    server = await asyncio.start_server(impostor, sock=listening)
    async with zone.server(0) as real:
        await until(lambda: len(received) >= 2)
        assert received[1] == b""
        assert not real.events.connected
    server.close()


def test_a_proof_is_good_for_one_greeting_and_one_side_only() -> None:
    hello, nonce = Hello(handshake.PROTOCOL, 1, 0, b"n" * 32), b"m" * 32
    proof = handshake.prove(KEY, "sender", hello, nonce)
    handshake.check(KEY, "sender", hello, nonce, proof)
    others = [
        ("receiver", hello, nonce),
        ("sender", Hello(handshake.PROTOCOL, 2, 0, b"n" * 32), nonce),
        ("sender", Hello(handshake.PROTOCOL, 1, 0, b"o" * 32), nonce),
        ("sender", hello, b"o" * 32),
    ]
    for side, greeting, other_nonce in others:
        with pytest.raises(HandshakeError):
            handshake.check(KEY, side, greeting, other_nonce, proof)


def test_the_key_depends_on_the_credentials() -> None:
    assert link_key("oneadmin:a") == link_key("oneadmin:a") != link_key("oneadmin:b")


# ---------------------------------------------------------------------- members that come and go
async def test_a_server_that_nobody_told_us_of_is_a_guest_while_it_keeps_its_link(zone: Zone) -> None:
    """It may be about to join, or know of members that we have not heard of."""
    async with zone.server(0, members=[]) as first:
        async with zone.server(1, members=[0]) as second:
            await until(lambda: first.events.connected == {1} and second.events.connected == {0})
            first.links.send(1, b"welcome")
            await until(lambda: second.events.frames == [(0, b"welcome")])
        await until(lambda: first.events.connected == set())
        async with zone.server(1, members=[]) as again:
            await asyncio.sleep(1.2)  # longer than any pause between attempts
            assert not again.events.connected, "a guest that has gone is still being called"


async def test_a_member_that_is_added_later_is_linked(zone: Zone) -> None:
    async with zone.server(0, members=[]) as first, zone.server(1, members=[]) as second:
        first.links.set_peers({1: zone.addresses[1]})
        await until(lambda: first.events.connected == {1} and second.events.connected == {0})


async def test_a_member_that_was_removed_hears_of_it_and_then_waits_to_be_called(zone: Zone) -> None:
    async with zone.server(0) as first, zone.server(1) as second:
        await until(lambda: first.events.connected == {1} and second.events.connected == {0})
        first.links.set_peers({})
        first.links.send(1, b"you are out")
        await until(lambda: second.events.frames == [(0, b"you are out")])

        second.links.set_peers(zone.addresses, quiet=True)
        await until(lambda: not first.events.connected and not second.events.connected)
        await asyncio.sleep(1.2)  # longer than any pause between attempts
        assert not first.events.connected

        first.links.set_peers({1: zone.addresses[1]})
        await until(lambda: first.events.connected == {1} and second.events.connected == {0})


async def test_a_member_that_moves_is_found_at_its_new_address(zone: Zone) -> None:
    async with zone.server(0, members=[]) as first, zone.server(1, members=[]) as second:
        first.links.set_peers({1: zone.addresses[2]})
        first.links.set_peers({1: zone.addresses[1]})
        await until(lambda: first.events.connected == {1} and second.events.connected == {0})


async def test_what_is_sent_on_a_link_that_was_just_cut_is_dropped(zone: Zone) -> None:
    async with zone.server(0) as first, zone.server(1):
        await until(lambda: first.events.connected == {1})
        first.links.set_peers(zone.addresses, quiet=True)
        first.links.send(1, b"too late")
        await until(lambda: not first.events.connected)
        first.links.send(1, b"too late")


async def _resets_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A peer that is killed with data unread: its system resets the connection as soon as it stands."""
    hello = handshake.decode(await read_frame(reader), Hello)
    nonce = os.urandom(handshake.NONCE_BYTES)
    writer.write(framed(handshake.encode(Challenge(nonce, handshake.prove(KEY, "receiver", hello, nonce)))))
    handshake.decode(await read_frame(reader), Proof)
    writer.write(framed(handshake.encode(Accepted(handshake.PROTOCOL))))
    await read_frame(reader)
    reset = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    writer.transport.abort()


async def test_sending_to_a_peer_whose_system_resets_the_connection_is_dropped(zone: Zone) -> None:
    """It must not fail: the node sends between the reset and its being told of it, and would end with it."""
    listening = zone.sockets.pop(1)
    resets = 0

    async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal resets
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await _resets_at_once(reader, writer)
            resets += 1

    server = await asyncio.start_server(dying, sock=listening)
    async with server, zone.server(0) as first:
        deadline = time.monotonic() + DEADLINE_S
        while resets < 5:
            assert time.monotonic() < deadline
            for _ in range(3):
                first.links.send(1, b"are you there?")
            await asyncio.sleep(0)
