"""How two servers convince each other that they share the cluster's credentials, without sending them.

The one that connects says hello with a nonce; the other answers with a nonce and a proof; the first replies with its own
proof and is told that it was accepted. A proof is an HMAC over both nonces, both ids and the side it comes from, so that
none can be replayed or turned around. The key is stretched (scrypt), since passwords are guessable.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from typing import TypeVar

import msgspec

PROTOCOL = "onelite/1"
NONCE_BYTES = 32
MESSAGE_BYTES_MAX = 512
_SALT = b"onelite link between servers, 1"


class HandshakeError(Exception):
    """The other side is not a server of this cluster, or does not mean us."""


class Hello(msgspec.Struct, frozen=True, array_like=True):
    """`address`: HOST:PORT where the sender can be reached in turn, for a receiver that does not know it yet."""

    protocol: str
    sender: int
    receiver: int
    nonce: bytes
    address: str = ""


class Challenge(msgspec.Struct, frozen=True, array_like=True):
    nonce: bytes
    proof: bytes


class Proof(msgspec.Struct, frozen=True, array_like=True):
    proof: bytes


class Accepted(msgspec.Struct, frozen=True, array_like=True):
    protocol: str


M = TypeVar("M", Hello, Challenge, Proof, Accepted)


def link_key(credentials: str) -> bytes:
    """From the text "user:password"; takes some 50 ms on purpose."""
    return hashlib.scrypt(credentials.encode(), salt=_SALT, n=1 << 14, r=8, p=1, dklen=32)


def prove(key: bytes, side: str, hello: Hello, nonce: bytes) -> bytes:
    """`side` is "sender" or "receiver"; `nonce` the receiver's."""
    transcript = msgspec.msgpack.encode((PROTOCOL, side, *msgspec.structs.astuple(hello)[1:], nonce))
    return hmac.digest(key, transcript, "sha256")


def check(key: bytes, side: str, hello: Hello, nonce: bytes, proof: bytes) -> None:
    """Raises HandshakeError."""
    if len(hello.nonce) != NONCE_BYTES or len(nonce) != NONCE_BYTES:
        raise HandshakeError("speaks another protocol")
    if not hmac.compare_digest(proof, prove(key, side, hello, nonce)):
        raise HandshakeError("does not know this cluster's credentials")


def check_hello(hello: Hello, own_id: int, peers: Collection[int]) -> None:
    """Raises HandshakeError. A server that is not among the known `peers` must say where it is."""
    if hello.protocol != PROTOCOL:
        raise HandshakeError(f"speaks {hello.protocol[:20]!r} instead of {PROTOCOL!r}")
    if hello.receiver != own_id:
        raise HandshakeError(f"looks for server {hello.receiver}, this is server {own_id}")
    if hello.sender == own_id or (hello.sender not in peers and not hello.address):
        raise HandshakeError(f"calls itself server {hello.sender}, which this cluster does not have")


def encode(message: Hello | Challenge | Proof | Accepted) -> bytes:
    return msgspec.msgpack.encode(message)


def decode(data: bytes, message_type: type[M]) -> M:
    """Raises HandshakeError."""
    try:
        return msgspec.msgpack.decode(data, type=message_type)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HandshakeError("speaks another protocol") from error
