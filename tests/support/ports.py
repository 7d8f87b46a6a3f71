"""Ports for servers that tests start."""

from __future__ import annotations

import functools
import socket

PORTS = range(20_000, 32_000)
"""Below those that Linux gives to clients, and to whoever listens on port 0: none of these takes one in between."""
SHARE = 200


class _Share:
    """Ports of this process alone, handed out in turn: between the choice of a port and its use some time may pass."""

    def __init__(self) -> None:
        self._mark, self._ports = _claim()
        self._next = 0

    def take(self, count: int) -> int:
        for _ in range(2 * SHARE):
            if self._next + count > SHARE:
                self._next = 0
            first = self._ports[self._next]
            self._next += count
            if all(map(_is_free, range(first, first + count))):
                return first
        raise RuntimeError(f"no {count} free ports in a row among {self._ports}")


def _claim() -> tuple[socket.socket, range]:
    """A share that nobody else has; the socket, bound to its name, says so until this process ends."""
    for first in range(PORTS.start, PORTS.stop, SHARE):
        mark = socket.socket(socket.AF_UNIX)
        try:
            mark.bind(f"\0onelite-test-ports-{first}")
        except OSError:
            mark.close()
        else:
            return mark, range(first, first + SHARE)
    raise RuntimeError("all ports for tests are taken by other processes")


@functools.cache
def _share() -> _Share:
    return _Share()


def free_port(count: int = 1) -> int:
    """A port of 127.0.0.1 on which nothing listens: the first of `count` such ports in a row."""
    return _share().take(count)


def listens(port: int) -> bool:
    """Whether somebody accepts connections on a port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
