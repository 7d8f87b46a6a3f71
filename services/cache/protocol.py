"""The words of the Memcached text protocol (memcached's `doc/protocol.txt`, checked against 1.6.18)."""

from __future__ import annotations

from enum import StrEnum

import msgspec

KEY_LIMIT = 250
"""Longest key in bytes."""

COMMAND_LINE_LIMIT = 2048
"""Longest line in bytes of any command that does not list keys."""

FETCH_LINE_LIMIT = 64 * 1024
"""Longest line in bytes of get, gets, gat and gats."""

ERROR = b"ERROR\r\n"
BAD_LINE = b"CLIENT_ERROR bad command line format\r\n"
BAD_CHUNK = b"CLIENT_ERROR bad data chunk\r\n"
BAD_EXPTIME = b"CLIENT_ERROR invalid exptime argument\r\n"
BAD_DELTA = b"CLIENT_ERROR invalid numeric delta argument\r\n"
BAD_DELETE = b"CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n"
LINE_TOO_LONG = b"CLIENT_ERROR line too long\r\n"
TOO_LARGE = b"SERVER_ERROR object too large for cache\r\n"


class Verb(StrEnum):
    """How a `Store` command treats what is there already."""

    SET = "set"
    ADD = "add"
    REPLACE = "replace"
    APPEND = "append"
    PREPEND = "prepend"
    CAS = "cas"


class Fetch(msgspec.Struct, frozen=True):
    """`get`, `gets`, and with `exptime` `gat`, `gats`."""

    keys: tuple[bytes, ...]
    with_cas: bool = False
    exptime: int | None = None


class Store(msgspec.Struct, frozen=True):
    """A storage command with its data block."""

    verb: Verb
    key: bytes
    flags: int
    exptime: int
    value: bytes
    cas_id: int | None = None
    noreply: bool = False


class Delete(msgspec.Struct, frozen=True):
    key: bytes
    noreply: bool = False


class Touch(msgspec.Struct, frozen=True):
    key: bytes
    exptime: int
    noreply: bool = False


class Adjust(msgspec.Struct, frozen=True):
    """`incr` (a positive delta) or `decr` (`down`)."""

    key: bytes
    delta: int
    down: bool
    noreply: bool = False


class FlushAll(msgspec.Struct, frozen=True):
    delay_s: int = 0
    noreply: bool = False


class Stats(msgspec.Struct, frozen=True):
    topic: bytes = b""


class Version(msgspec.Struct, frozen=True):
    pass


class Verbosity(msgspec.Struct, frozen=True):
    noreply: bool = False


class Quit(msgspec.Struct, frozen=True):
    pass


class Refusal(msgspec.Struct, frozen=True):
    """A command that is not carried out: what the client is told, and whether the connection ends with it.

    `forget` names the key whose old value must not outlive the refusal: a `set` too large to keep still replaces.
    """

    line: bytes
    close: bool = False
    forget: bytes | None = None


Command = Fetch | Store | Delete | Touch | Adjust | FlushAll | Stats | Version | Verbosity | Quit | Refusal
