"""Attributes that are stored and shown encrypted (USER_ENCRYPTED_ATTR and its siblings of oned.conf).

Administrators may ask for the plain text (argument `decrypt` of the info calls). The key is the zone's own, made at
bootstrap and replicated like everything else, so any leader can read what another one stored.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable

import msgspec
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from services.common.template import Template, Vector
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.secret import SECRETS, ZONE_KEY
from services.oned_lite.state import Reader

_MARK = b"\0one"
_BLOCK_BITS = 128


def sealed(reader: Reader, conf: Configuration, attributes: str, template: Template) -> Template:
    """The template with the listed attributes encrypted; what is encrypted already stays (clients send it back)."""
    key = _key(reader)
    return _mapped(template, conf.restricted(attributes), lambda text: _encrypt(key, text))


def opened(reader: Reader, conf: Configuration, attributes: str, template: Template) -> Template:
    """The template with the listed attributes in plain text."""
    key = _key(reader)
    return _mapped(template, conf.restricted(attributes), lambda text: _decrypt(key, text) or text)


def _key(reader: Reader) -> bytes:
    row = reader.get(SECRETS, ZONE_KEY)
    return hashlib.sha256((row.value if row else "").encode()).digest()


def _mapped(template: Template, names: frozenset[str], change: Callable[[str], str]) -> Template:
    """`names`: `LUKS_PASSWORD`-like singles and `CONTEXT/PASSWORD`-like members of vectors."""
    if not any(name in names or isinstance(value, Vector) for name, value in template.attributes):
        return template
    changed: list[tuple[str, str | Vector]] = []
    for name, value in template.attributes:
        if isinstance(value, Vector):
            pairs = tuple((key, change(text) if f"{name}/{key}" in names else text) for key, text in value.pairs)
            changed.append((name, msgspec.structs.replace(value, pairs=pairs)))
        else:
            changed.append((name, change(value) if name in names else value))
    return Template(tuple(changed))


def _encrypt(key: bytes, text: str) -> str:
    if not text or _decrypt(key, text) is not None:
        return text
    padder = padding.PKCS7(_BLOCK_BITS).padder()
    data = padder.update(_MARK + text.encode()) + padder.finalize()
    encryptor = _cipher(key).encryptor()
    return base64.b64encode(encryptor.update(data) + encryptor.finalize()).decode()


def _decrypt(key: bytes, text: str) -> str | None:
    try:
        decryptor = _cipher(key).decryptor()
        data = decryptor.update(base64.b64decode(text, validate=True)) + decryptor.finalize()
        unpadder = padding.PKCS7(_BLOCK_BITS).unpadder()
        plain = unpadder.update(data) + unpadder.finalize()
        return plain.removeprefix(_MARK).decode() if plain.startswith(_MARK) else None
    except (ValueError, binascii.Error, UnicodeDecodeError):
        return None


def _cipher(key: bytes) -> Cipher[modes.CBC]:
    """The vector is fixed: the same text gives the same cipher, so that an update that changes nothing changes nothing."""
    return Cipher(algorithms.AES(key), modes.CBC(hashlib.sha256(key).digest()[:16]))
