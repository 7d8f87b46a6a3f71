"""TLS contexts: of listeners, where names choose the certificate, and towards upstreams."""

from __future__ import annotations

import ssl
from typing import Any

from services.balancer.core.routing import Hosts
from services.balancer.core.secure import TlsSettings
from services.balancer.plan import ListenerPlan
from services.balancer.settings import Tls

_VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


def server_context(plan: ListenerPlan) -> ssl.SSLContext:
    """The context of a listener; raises OSError or ssl.SSLError that names the certificate."""
    contexts = {tls: _context(tls) for tls in plan.tls}
    default_tls = plan.hosts.default.tls or plan.tls[0]
    default = contexts[default_tls]
    if len(contexts) > 1:
        entries = [(server.names, contexts[server.tls]) for server in plan.servers if server.tls is not None]
        hosts = Hosts(entries, default)

        def choose(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: Any) -> None:
            connection.context = hosts.find((name or "").lower().encode())

        default.sni_callback = choose
    return default


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _restrict(context, tls.protocols, tls.ciphers)
    if not tls.prefer_server_ciphers:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if not tls.tickets:
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    _load(context, tls.certificate, tls.key)
    return context


def _restrict(context: ssl.SSLContext, protocols: tuple[str, ...], ciphers: str) -> None:
    versions = [_VERSIONS[name] for name in protocols]
    context.minimum_version, context.maximum_version = min(versions), max(versions)
    if ciphers:
        context.set_ciphers(ciphers)


def _load(context: ssl.SSLContext, certificate: str, key: str) -> None:
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        raise OSError(error.errno or 1, f"cannot load certificate {certificate} with key {key}: {error}") from None


def connect_options(tls: TlsSettings | None) -> dict[str, Any]:
    """Arguments of ``create_connection`` to an upstream; raises OSError or ssl.SSLError that names the file.

    Without a name none is sent, nor checked.
    """
    if tls is None:
        return {}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _restrict(context, tls.protocols, tls.ciphers)
    context.check_hostname = tls.verify
    context.verify_mode = ssl.CERT_REQUIRED if tls.verify else ssl.CERT_NONE
    if tls.verify and not tls.trusted:
        context.load_default_certs()
    elif tls.trusted:
        try:
            context.load_verify_locations(tls.trusted)
        except OSError as error:
            raise OSError(error.errno or 1, f"cannot load authorities from {tls.trusted}: {error}") from None
    if tls.certificate:
        _load(context, tls.certificate, tls.key or tls.certificate)
    return {"ssl": context, "server_hostname": tls.name if tls.verify or tls.send_name else ""}
