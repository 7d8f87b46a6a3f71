"""Ports for servers that tests start."""

from __future__ import annotations

import random
import socket

PORTS = range(20_000, 32_000)
"""Below those that Linux gives to clients, and to whoever listens on port 0: none of these takes one in between."""
_random = random.SystemRandom()  # the other processes that test must not try the same ones


def free_port(count: int = 1) -> int:
    """A port of 127.0.0.1 on which nothing listens: the first of `count` such ports in a row."""
    while True:
        first = _random.choice(PORTS)
        if all(map(_is_free, range(first, first + count))):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
