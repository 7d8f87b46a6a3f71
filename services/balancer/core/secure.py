"""How connections to the servers of a group are secured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """TLS towards upstreams (nginx ``proxy_ssl_…``). ``name`` is sent only with ``send_name`` or ``verify``."""

    name: str
    send_name: bool
    verify: bool
    trusted: str
    protocols: tuple[str, ...]
    ciphers: str
    certificate: str
    key: str
