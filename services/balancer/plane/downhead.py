"""The head a client gets: the upstream's, fitted to this client's connection and edited as the route says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.balancer.wire.response import Framing, ResponseHead, with_lines, without

if TYPE_CHECKING:
    from services.balancer.plane.exchange import Exchange


def client_head(exchange: Exchange, head: ResponseHead) -> bytes:
    """Render the head and settle on the exchange how the body is framed and whether the connection stays.

    The common case, an HTTP/1.1 client that stays and a route that edits nothing, returns ``head.plain`` itself.
    """
    request, framing = exchange.request, head.framing
    keep = request.keep_alive and exchange.body_complete and exchange.connection.may_stay
    lines: list[bytes] = []
    rendered = head.plain
    if framing is Framing.CLOSE:
        exchange.wraps = request.minor == 1
        keep = keep and exchange.wraps
        lines += [b"Transfer-Encoding: chunked"] if exchange.wraps else []
    elif framing is Framing.CHUNKED and request.minor == 0:
        exchange.decodes = True
        keep = False
        rendered = without(rendered, b"transfer-encoding", b"trailer")
    elif framing is Framing.TUNNEL:
        keep = False
        lines += [b"Connection: upgrade", b"Upgrade: " + (head.get(b"upgrade") or request.upgrade)]
    exchange.keeps = keep
    if not keep and framing is not Framing.TUNNEL:
        lines.append(b"Connection: close")
    elif keep and request.minor == 0:
        lines.append(b"Connection: keep-alive")
    if exchange.route.edits_answers:
        rendered = _edit(exchange, head, rendered, lines)
    return with_lines(rendered, *lines) if lines else rendered


def _edit(exchange: Exchange, head: ResponseHead, rendered: bytes, lines: list[bytes]) -> bytes:
    route = exchange.route
    hidden = set(route.hide_headers)
    location = head.get(b"location")
    if route.redirect_to is not None and location.startswith(route.redirect_from):
        hidden.add(b"location")
        lines.append(b"Location: " + route.redirect_to.render(exchange) + location[len(route.redirect_from) :])
    for name, template in route.add_headers:
        value = template.render(exchange)
        if value and head.status in (200, 201, 204, 206, 301, 302, 303, 304, 307, 308):
            lines.append(name + b": " + value)
    return without(rendered, *hidden) if hidden else rendered
