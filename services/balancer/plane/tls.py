"""TLS contexts of listeners: the first certificate is the default, others are chosen by the name asked for."""

from __future__ import annotations

import ssl
from typing import Any

from services.balancer.core.routing import Hosts
from services.balancer.settings import Tls
from services.balancer.site import ListenerPlan

_VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


def server_context(plan: ListenerPlan) -> ssl.SSLContext:
    """The context of a listener; raises OSError or ssl.SSLError that names the certificate."""
    contexts = {tls: _context(tls) for tls in plan.tls}
    default = contexts[plan.tls[0]]
    if len(contexts) > 1:
        entries = [(server.names, contexts[server.tls]) for server in plan.servers if server.tls is not None]
        hosts = Hosts(entries, default)

        def choose(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: Any) -> None:
            connection.context = hosts.find((name or "").lower().encode())

        default.sni_callback = choose
    return default


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    versions = [_VERSIONS[name] for name in tls.protocols]
    context.minimum_version, context.maximum_version = min(versions), max(versions)
    if tls.ciphers:
        context.set_ciphers(tls.ciphers)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:
        raise OSError(
            error.errno or 1, f"cannot load certificate {tls.certificate} with key {tls.key}: {error}"
        ) from None
    return context
