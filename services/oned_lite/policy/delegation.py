"""Tokens with which a trusted server (a web UI) speaks for users: authentication driver server_cipher.

A token is base64 of AES-256-CBC over `server:user:expiry`. Key and initialisation vector are the first 32 and 16
characters of the server user's stored password hash, so whoever has the server's password can make one and nobody else.
"""

from __future__ import annotations

import base64
import binascii

from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from services.oned_lite.model.numbers import is_whole

SERVER_CIPHER = "server_cipher"
_KEY_LENGTH, _VECTOR_LENGTH, _BLOCK_BITS = 32, 16, 128


def opens(stored_hash: str, server: str, token: str) -> int | None:
    """When the token expires (epoch seconds), or None where it is none of that server's. The user named inside is not
    looked at: the session string says whom the server speaks for."""
    text = _decrypted(stored_hash, token)
    parts = [] if text is None else text.split(":")
    if len(parts) != 3 or parts[0] != server or not is_whole(parts[2]):
        return None
    return int(parts[2])


def seal(stored_hash: str, server: str, user: str, expires: int) -> str:
    """A token for a session string `server:user:token`."""
    padder = padding.PKCS7(_BLOCK_BITS).padder()
    data = padder.update(f"{server}:{user}:{expires}".encode()) + padder.finalize()
    encryptor = _cipher(stored_hash).encryptor()
    return base64.b64encode(encryptor.update(data) + encryptor.finalize()).decode()


def _decrypted(stored_hash: str, token: str) -> str | None:
    if len(stored_hash) < _KEY_LENGTH:
        return None
    try:
        decryptor = _cipher(stored_hash).decryptor()
        data = decryptor.update(base64.b64decode(token, validate=True)) + decryptor.finalize()
        unpadder = padding.PKCS7(_BLOCK_BITS).unpadder()
        return (unpadder.update(data) + unpadder.finalize()).decode()
    except (ValueError, binascii.Error, UnicodeDecodeError):
        return None


def _cipher(stored_hash: str) -> Cipher[modes.CBC]:
    secret = stored_hash.encode()
    return Cipher(algorithms.AES(secret[:_KEY_LENGTH]), modes.CBC(secret[:_VECTOR_LENGTH]))
