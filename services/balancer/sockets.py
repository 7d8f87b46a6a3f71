"""Listening sockets of the program. They outlive workers, and even the program when it is upgraded in place."""

from __future__ import annotations

import contextlib
import errno
import socket
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from services.balancer.core.addresses import host_and_port, unix_path


class Sockets:
    """Bound sockets by address: one for each worker, among which the kernel spreads new connections (SO_REUSEPORT).

    The process that owns them holds them open, so that connections which wait in a queue outlive the worker that was to
    accept them. Each worker accepts on duplicates. A socket of the file system has one queue, which all workers share.
    """

    def __init__(self) -> None:
        self._sockets: dict[str, list[socket.socket]] = {}

    def __iter__(self) -> Iterator[tuple[str, socket.socket]]:
        """Each with its address, in the order of their numbers."""
        for address, socks in self._sockets.items():
            for sock in socks:
                yield address, sock

    def __contains__(self, address: str) -> bool:
        return address in self._sockets

    def copy(self) -> Sockets:
        """The same sockets once more, to be closed on their own."""
        copy = Sockets()
        for address, sock in self:
            copy.take(address, sock.dup())
        return copy

    def take(self, address: str, sock: socket.socket) -> None:
        """Hold one more socket, from the process that opened it; they come in the order of their numbers."""
        self._sockets.setdefault(address, []).append(sock)

    def port(self, address: str) -> int:
        """The real port; of use when the address says 0. A socket of the file system has none, which 0 says."""
        if unix_path(address):
            return 0
        port: int = self._sockets[address][0].getsockname()[1]
        return port

    def open(self, address: str, count: int = 1) -> list[socket.socket]:
        """At least ``count`` sockets of an address; raises OSError with the address in its text."""
        if address not in self._sockets:
            self._sockets[address] = [_first(address)]
        socks = self._sockets[address]
        while len(socks) < count:
            socks.append(_another(address, socks[0]))
        return socks

    def open_missing(self, address: str, count: int) -> list[socket.socket]:
        """As ``open``, but returns only those that were not there before."""
        before = len(self._sockets.get(address, ()))
        return self.open(address, count)[before:]

    @property
    def widest(self) -> int:
        """The largest number of sockets that an address has."""
        return max(map(len, self._sockets.values()), default=0)

    def keep_only(self, addresses: Iterable[str]) -> None:
        """Close the others; who waits in their queues is refused."""
        for address in self._sockets.keys() - set(addresses):
            for sock in self._sockets.pop(address):
                sock.close()

    def close(self) -> None:
        self.keep_only(())


def remove_dead(path: str) -> bool:
    """Remove the socket file of a process that listens no more; false when there is none, or somebody does."""
    try:
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
            visitor.setblocking(False)
            visitor.connect(path)
    except ConnectionRefusedError:
        with contextlib.suppress(OSError):
            Path(path).unlink()
            return True
    except OSError:  # no file, no permission, or a queue that is full
        pass
    return False


def _first(address: str) -> socket.socket:
    """Bound where nobody listens yet: with SO_REUSEPORT from the start it would join a stranger's socket unnoticed."""
    try:
        if unix_path(address):
            return _in_file_system(unix_path(address))
        with _unbound(address) as alone:
            alone.bind(_place(address))
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            return _bound(address, alone.getsockname())
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from None


def _in_file_system(path: str) -> socket.socket:
    """Everybody may connect, as to nginx; who may reach the folder is what keeps others out."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        try:
            sock.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not remove_dead(path):
                raise
            sock.bind(path)
        Path(path).chmod(0o666)
    except OSError:
        sock.close()
        raise
    return sock


def _another(address: str, first: socket.socket) -> socket.socket:
    if unix_path(address):
        return first.dup()
    try:
        return _bound(address, first.getsockname())
    except OSError as error:
        raise OSError(error.errno, f"cannot listen on {address} once more: {error.strerror}") from None


def _bound(address: str, place: tuple[str, int]) -> socket.socket:
    sock = _unbound(address)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(place)
    except OSError:
        sock.close()
        raise
    return sock


def _unbound(address: str) -> socket.socket:
    host, _ = _place(address)
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return sock


def _place(address: str) -> tuple[str, int]:
    host, port = host_and_port(address)
    return "" if host == "*" else host, port
