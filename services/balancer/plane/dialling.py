"""Connecting to a peer."""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import socket
from typing import TYPE_CHECKING, Any, cast

from services.balancer.core.addresses import host_and_port, unix_path
from services.balancer.core.peers import Peer
from services.balancer.core.retry import Condition
from services.balancer.plane.reactor import WANT, prepare
from services.balancer.plane.secured import Secured
from services.balancer.plane.upstream import UpstreamConnection

if TYPE_CHECKING:
    from services.balancer.plane.exchange import Exchange
    from services.balancer.plane.pool import Pool


class Dialling:
    """One attempt for one exchange, which hears of the outcome unless the attempt is cancelled.

    A name may stand for several addresses; they are tried one after the other within the time there is for connecting.
    """

    def __init__(self, pool: Pool, exchange: Exchange, peer: Peer) -> None:
        self._pool = pool
        self._exchange = exchange
        self._connection = UpstreamConnection(pool, peer)
        self._address = peer.address
        self._reactor = pool.engine.reactor
        self._loop = pool.engine.loop
        self._places: list[tuple[int, Any]] = []  # that are left: families and addresses
        self._sock: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self._timer = self._loop.call_later(exchange.route.connect_timeout_s, self._late)

    def begin(self) -> None:
        place = literal(self._address)
        if self._pool.tls:
            self._task = self._loop.create_task(self._connect_secured())
        elif place is None:
            self._task = self._loop.create_task(self._resolve())
        else:
            self._places = [place]
            self._try_next()

    def cancel(self) -> None:
        """Give up silently."""
        if not self._over:
            self._finish()
            self._connection.close()

    # With a socket of our own

    async def _resolve(self) -> None:
        host, port = host_and_port(self._address)
        try:
            found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            self._failed(error)
        else:
            self._places = [(int(entry[0]), entry[4]) for entry in found]
            self._try_next()

    def _try_next(self) -> None:
        family, place = self._places.pop(0)
        try:
            sock = self._open(family)
        except OSError as error:
            self._loop.call_soon(self._unable, error)
            return
        try:
            _check(sock.connect_ex(place))
        except OSError as error:
            sock.close()
            self._loop.call_soon(self._failed, error)
        else:
            self._sock = sock
            self._reactor.await_writable(sock.fileno(), self._decided)

    def _open(self, family: int) -> socket.socket:
        """A socket to connect with; raises OSError."""
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            prepare(sock)
            if self._exchange.route.bind and family != socket.AF_UNIX:
                sock.bind((self._exchange.route.bind, 0))
        except OSError:
            sock.close()
            raise
        return sock

    def _decided(self) -> None:
        sock, self._sock = self._sock, None
        if sock is None:
            return
        self._reactor.forget(sock.fileno())
        try:
            _check(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        except OSError as error:
            sock.close()
            self._failed(error)
        else:
            self._reactor.connected(sock, self._connection)
            self._succeeded()

    # By the event loop

    async def _connect_secured(self) -> None:
        path, bind = unix_path(self._address), self._exchange.route.bind
        try:
            if path:
                await self._loop.create_unix_connection(self._protocol, path, **self._pool.tls)
            else:
                host, port = host_and_port(self._address)
                await self._loop.create_connection(
                    self._protocol, host, port, local_addr=(bind, 0) if bind else None, **self._pool.tls
                )
        except OSError as error:
            if error.errno in WANT:
                self._unable(error)
            else:
                self._failed(error)
        else:
            self._succeeded()

    def _protocol(self) -> asyncio.Protocol:
        return cast("asyncio.Protocol", Secured(self._reactor, self._connection))  # see acceleration.py

    # Outcomes

    def _succeeded(self) -> None:
        if not self._over:
            self._finish()
            self._exchange.connected(self._connection)

    def _failed(self, error: OSError) -> None:
        if self._over:
            return
        if self._places:
            self._try_next()
            return
        self._finish()
        self._exchange.attempt_failed(Condition.ERROR, f"connect failed: {error.strerror or error}")

    def _unable(self, error: OSError) -> None:
        """There is nothing here to connect with, which is not the server's fault."""
        if not self._over:
            self._finish()
            self._exchange.cannot_ask(error.strerror or str(error))

    def _late(self) -> None:
        self.cancel()
        self._exchange.attempt_failed(Condition.TIMEOUT, "connect timed out")

    def _finish(self) -> None:
        self._over = True
        self._timer.cancel()
        self._pool.dialling.discard(self)
        sock, self._sock = self._sock, None
        if sock is not None:
            self._reactor.forget(sock.fileno())
            sock.close()
        if self._task is not None:
            self._task.cancel()


def _check(code: int) -> None:
    """Raise OSError unless connecting has succeeded or goes on."""
    if code not in (0, errno.EINPROGRESS):
        raise OSError(code, os.strerror(code))


@functools.lru_cache(maxsize=1024)
def literal(address: str) -> tuple[int, Any] | None:
    """Family and socket address of a numeric address or a path; None for a name, which is to be asked for each time."""
    if unix_path(address):
        return int(socket.AF_UNIX), unix_path(address)
    host, port = host_and_port(address)
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0]
    except socket.gaierror:
        return None
    return int(family), place
