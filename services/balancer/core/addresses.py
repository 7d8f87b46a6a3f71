"""Addresses as settings write them: ``HOST:PORT``, or ``unix:/PATH`` for a socket of the file system."""

from __future__ import annotations

from typing import Final

UNIX: Final = "unix:"
EXPECTED: Final = "expected HOST:PORT or unix:/PATH"
_PATH_BYTES: Final = 107  # unix(7): sun_path, with its end


def valid_address(text: str) -> bool:
    """Whether a text is HOST:PORT with a port from 0 to 65535, or a path that a socket can have."""
    if text.startswith(UNIX):
        path = unix_path(text)
        return path.startswith("/") and len(path.encode()) <= _PATH_BYTES
    host, colon, port = text.rpartition(":")
    return bool(colon and host) and port.isdigit() and int(port) <= 65535


def unix_path(address: str) -> str:
    """The path of a socket of the file system; empty for other addresses."""
    return address[len(UNIX) :] if address.startswith(UNIX) else ""


def host_and_port(address: str) -> tuple[str, int]:
    """What a valid address with a port names; brackets around the host are gone."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
