"""The links between the servers of a zone, on connections of their own, never in the queue of client requests.

Each server connects to each other one and sends on that connection; it receives on the ones that the others made. A peer
counts as connected while both directions stand. What is sent while it is not is lost, as on any network: consensus repeats
itself, and forwarded requests are told that the link is gone.

The members are those of `set_peers`. A server that proves the credentials without being one is a guest: it may be about to
join, it may know more recent members than we do, or it has not heard of its removal. It gets a link for as long as it
keeps up its own.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from services.common import logs
from services.common.settings import Address, parse_address

from . import handshake
from .framing import framed, read_frame, read_message, tune
from .handshake import Accepted, Challenge, HandshakeError, Hello, Proof

log = logs.get("peers")
CONNECT_TIMEOUT_S = 2.0
HANDSHAKE_TIMEOUT_S = 3.0
RETRY_MIN_S, RETRY_MAX_S = 0.05, 1.0
STRANGERS_MAX = 64
"""Incoming connections that have not proved anything yet."""
GUESTS_MAX = 16
FAREWELL_S = 10.0
"""How long a member that was dropped keeps its link, to hear of it."""
UNSENT_BYTES_MAX = 32 << 20
"""A peer that is this far behind with reading is cut off: a fresh link starts with a fresh view of what it needs."""

_Broken = (OSError, EOFError, ValueError, TimeoutError, HandshakeError)


class PeerEvents(Protocol):
    """What the links tell."""

    def peer_connected(self, peer: int) -> None: ...

    def peer_disconnected(self, peer: int) -> None: ...

    async def frame_received(self, peer: int, data: bytes) -> None:
        """May wait, which slows the peer down."""
        ...


@dataclass(slots=True)
class _Peer:
    """`outgoing` and `incoming` are None while that direction does not stand; `nudge` ends the pause between attempts."""

    address: Address
    member: bool
    nudge: asyncio.Event = field(default_factory=asyncio.Event)
    outgoing: asyncio.StreamWriter | None = None
    incoming: asyncio.StreamWriter | None = None
    connected: bool = False
    problem: str = ""

    @property
    def calls(self) -> bool:
        """Whether the peer keeps up its direction."""
        return self.incoming is not None and not self.incoming.transport.is_closing()

    def cut(self) -> None:
        for writer in (self.outgoing, self.incoming):
            if writer is not None:
                writer.transport.abort()


class PeerLinks:
    """All links of one server, whose own `address` the others are told. `run` keeps them up until it is cancelled.

    `ways`: addresses at which this server reaches others whatever the zone says of them (a relay, another network).
    """

    def __init__(
        self,
        own_id: int,
        address: Address,
        key: bytes,
        events: PeerEvents,
        ways: Mapping[int, Address] = MappingProxyType({}),
    ) -> None:
        self._own_id = own_id
        self._address = address
        self._key = key
        self._events = events
        self._ways = ways
        self._peers: dict[int, _Peer] = {}
        self._quiet = False
        self._tasks: asyncio.TaskGroup | None = None
        self._strangers = 0

    def set_peers(self, addresses: Mapping[int, Address], *, quiet: bool = False) -> None:
        """The members from now on. `quiet`: this server does not belong to them, and only calls those that call it."""
        if quiet and not self._quiet:
            for link in self._peers.values():
                link.cut()
        self._quiet = quiet
        for peer, link in self._peers.items():
            if link.member and peer not in addresses:
                self._part(peer, link)
        for peer, address in addresses.items():
            if peer != self._own_id:
                self._join(peer, address)

    def _join(self, peer: int, address: Address) -> None:
        address = self._ways.get(peer, address)
        link = self._peers.get(peer) or _Peer(address, member=True)
        if link.address != address:
            link.cut()
        link.address, link.member = address, True
        self._keep(peer, link)

    def _keep(self, peer: int, link: _Peer) -> None:
        """Sees to it that somebody keeps it up."""
        if peer not in self._peers:
            self._peers[peer] = link
            if self._tasks is not None:
                self._tasks.create_task(self._keep_up(peer, link))
        link.nudge.set()

    def _part(self, peer: int, link: _Peer) -> None:
        """It may stay as a guest until it has heard of it."""
        log.info("no longer a member", peer=peer)
        link.member = False
        link.nudge.set()
        asyncio.get_running_loop().call_later(FAREWELL_S, lambda: None if link.member else link.cut())

    def send(self, peer: int, data: bytes) -> None:
        """Sends, or drops where the link is down."""
        link = self._peers.get(peer)
        if link is None or link.outgoing is None or link.outgoing.transport.is_closing():
            return
        if link.outgoing.transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            log.warning("peer does not read, cutting the link", peer=peer)
            link.outgoing.transport.abort()
            return
        link.outgoing.write(framed(data))

    async def run(self, listening: socket.socket) -> None:
        server = await asyncio.start_server(self._accept, sock=listening)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                for peer, link in self._peers.items():
                    tasks.create_task(self._keep_up(peer, link))
                await asyncio.get_running_loop().create_future()  # links come and go
        finally:
            self._tasks = None
            server.close()
            for link in self._peers.values():
                link.cut()

    # ------------------------------------------------------------------ outgoing
    async def _keep_up(self, peer: int, link: _Peer) -> None:
        """Connects, and connects again, for as long as the peer is a member or calls us."""
        pause_s = RETRY_MIN_S
        while link.member or link.calls:
            link.nudge.clear()
            if self._quiet and not link.calls:
                await link.nudge.wait()
                continue
            try:
                await self._outgoing(peer, link)
                pause_s = RETRY_MIN_S
                link.nudge.clear()
            except _Broken as error:
                self._note(peer, link, error)
                pause_s = min(pause_s * 2, RETRY_MAX_S)
            try:
                async with asyncio.timeout(pause_s):
                    await link.nudge.wait()
            except TimeoutError:
                pass
        del self._peers[peer]

    async def _outgoing(self, peer: int, link: _Peer) -> None:
        """One connection from beginning to end."""
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(*link.address)
        try:
            tune(writer)
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                await self._introduce(peer, reader, writer)
            link.outgoing = writer
            self._changed(peer, link)
            await reader.read(1)  # nothing is ever sent this way: it returns when the connection ends
        except (ConnectionError, EOFError):
            if link.outgoing is None:
                raise
        finally:
            writer.transport.abort()
            link.outgoing = None
            self._changed(peer, link)

    async def _introduce(self, peer: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonce = os.urandom(handshake.NONCE_BYTES)
        hello = Hello(handshake.PROTOCOL, self._own_id, peer, nonce, str(self._address))
        writer.write(framed(handshake.encode(hello)))
        challenge = handshake.decode(await read_message(reader), Challenge)
        handshake.check(self._key, "receiver", hello, challenge.nonce, challenge.proof)
        writer.write(framed(handshake.encode(Proof(handshake.prove(self._key, "sender", hello, challenge.nonce)))))
        handshake.decode(await read_message(reader), Accepted)

    # ------------------------------------------------------------------ incoming
    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._strangers >= STRANGERS_MAX:
                return
            self._strangers += 1
            try:
                async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                    hello = await self._identify(reader, writer)
            finally:
                self._strangers -= 1
            await self._incoming(hello, reader, writer)
        except _Broken as error:
            if isinstance(error, HandshakeError):
                log.warning("refused a connection", reason=str(error), address=writer.get_extra_info("peername"))
        finally:
            writer.transport.abort()

    async def _identify(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Hello:
        tune(writer)
        hello = handshake.decode(await read_message(reader), Hello)
        handshake.check_hello(hello, self._own_id, self._peers)
        nonce = os.urandom(handshake.NONCE_BYTES)
        proof = handshake.prove(self._key, "receiver", hello, nonce)
        writer.write(framed(handshake.encode(Challenge(nonce, proof))))
        answer = handshake.decode(await read_message(reader), Proof)
        handshake.check(self._key, "sender", hello, nonce, answer.proof)
        writer.write(framed(handshake.encode(Accepted(handshake.PROTOCOL))))
        return hello

    def _introduced(self, hello: Hello) -> _Peer:
        """The link of a peer that proved itself, perhaps a guest's. Raises HandshakeError or ValueError."""
        link = self._peers.get(hello.sender)
        if link is not None:
            return link
        if sum(not one.member for one in self._peers.values()) >= GUESTS_MAX:
            raise HandshakeError(f"calls itself server {hello.sender}, and there are too many that are no members")
        return _Peer(parse_address(hello.address), member=False)

    async def _incoming(self, hello: Hello, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Frames from a peer that proved itself. A newer connection of the same peer replaces an older one."""
        peer, link = hello.sender, self._introduced(hello)
        if link.incoming is not None:
            link.incoming.transport.abort()
            link.incoming = None
            self._changed(peer, link)
        link.incoming = writer
        self._keep(peer, link)
        self._changed(peer, link)
        try:
            while True:
                data = await read_frame(reader)
                if link.incoming is not writer:
                    return
                await self._events.frame_received(peer, data)
        finally:
            if link.incoming is writer:
                link.incoming = None
                if not link.member and link.outgoing is not None:
                    link.outgoing.transport.abort()
                self._changed(peer, link)

    # ------------------------------------------------------------------ both
    def _changed(self, peer: int, link: _Peer) -> None:
        connected = link.outgoing is not None and link.incoming is not None
        if connected and not link.connected:
            link.connected, link.problem = True, ""
            log.info("connected", peer=peer)
            self._events.peer_connected(peer)
        elif not connected and link.connected:
            link.connected = False
            log.warning("connection lost", peer=peer)
            self._events.peer_disconnected(peer)

    def _note(self, peer: int, link: _Peer, error: BaseException) -> None:
        """The same trouble is told once, not at every attempt."""
        problem = getattr(error, "strerror", None) or str(error) or type(error).__name__
        if problem != link.problem:
            link.problem = problem
            log.info("cannot connect", peer=peer, address=str(link.address), reason=problem)
