"""The links between the servers of a zone, on connections of their own, never in the queue of client requests.

Each server connects to each other one and sends on that connection; it receives on the ones that the others made. A peer
counts as connected while both directions stand. What is sent while it is not is lost, as on any network: consensus repeats
itself, and forwarded requests are told that the link is gone.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from services.common import logs
from services.common.settings import Address

from . import handshake
from .framing import framed, read_frame, read_message, tune
from .handshake import Accepted, Challenge, HandshakeError, Hello, Proof

log = logs.get("peers")
CONNECT_TIMEOUT_S = 2.0
HANDSHAKE_TIMEOUT_S = 3.0
RETRY_MIN_S, RETRY_MAX_S = 0.05, 1.0
STRANGERS_MAX = 64
"""Incoming connections that have not proved anything yet."""
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
    nudge: asyncio.Event
    outgoing: asyncio.StreamWriter | None = None
    incoming: asyncio.StreamWriter | None = None
    connected: bool = False
    problem: str = ""


class PeerLinks:
    """All links of one server. `run` keeps them up until it is cancelled."""

    def __init__(self, own_id: int, addresses: Mapping[int, Address], key: bytes, events: PeerEvents) -> None:
        self._own_id = own_id
        self._key = key
        self._events = events
        self._peers = {peer: _Peer(address, asyncio.Event()) for peer, address in addresses.items() if peer != own_id}
        self._strangers = 0

    def send(self, peer: int, data: bytes) -> None:
        """Sends, or drops where the link is down."""
        link = self._peers.get(peer)
        if link is None or link.outgoing is None:
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
                for peer in self._peers:
                    tasks.create_task(self._keep_up(peer))
        finally:
            server.close()
            self._abort_all()

    def _abort_all(self) -> None:
        for link in self._peers.values():
            for writer in (link.outgoing, link.incoming):
                if writer is not None:
                    writer.transport.abort()

    # ------------------------------------------------------------------ outgoing
    async def _keep_up(self, peer: int) -> None:
        """Connects, and connects again, for ever."""
        link = self._peers[peer]
        pause_s = RETRY_MIN_S
        while True:
            link.nudge.clear()
            try:
                await self._outgoing(peer, link)
                pause_s = RETRY_MIN_S
            except _Broken as error:
                self._note(peer, link, error)
                pause_s = min(pause_s * 2, RETRY_MAX_S)
            try:
                async with asyncio.timeout(pause_s):
                    await link.nudge.wait()
            except TimeoutError:
                pass

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
        hello = Hello(handshake.PROTOCOL, self._own_id, peer, os.urandom(handshake.NONCE_BYTES))
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
                    peer = await self._identify(reader, writer)
            finally:
                self._strangers -= 1
            await self._incoming(peer, reader, writer)
        except _Broken as error:
            if isinstance(error, HandshakeError):
                log.warning("refused a connection", reason=str(error), address=writer.get_extra_info("peername"))
        finally:
            writer.transport.abort()

    async def _identify(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        tune(writer)
        hello = handshake.decode(await read_message(reader), Hello)
        handshake.check_hello(hello, self._own_id, frozenset(self._peers))
        nonce = os.urandom(handshake.NONCE_BYTES)
        proof = handshake.prove(self._key, "receiver", hello, nonce)
        writer.write(framed(handshake.encode(Challenge(nonce, proof))))
        answer = handshake.decode(await read_message(reader), Proof)
        handshake.check(self._key, "sender", hello, nonce, answer.proof)
        writer.write(framed(handshake.encode(Accepted(handshake.PROTOCOL))))
        return hello.sender

    async def _incoming(self, peer: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Frames from a peer that proved itself. A newer connection of the same peer replaces an older one."""
        link = self._peers[peer]
        if link.incoming is not None:
            link.incoming.transport.abort()
            link.incoming = None
            self._changed(peer, link)
        link.incoming = writer
        link.nudge.set()
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
