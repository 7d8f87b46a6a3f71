"""The head a client gets: the upstream's, fitted to this client's connection and edited as the route says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.balancer.core.gzipping import Gzip, weak
from services.balancer.core.rewriting import redirected
from services.balancer.plane.own_answers import added_lines, here, keepalive_lines
from services.balancer.wire.errors import REASONS
from services.balancer.wire.fields import CRLF
from services.balancer.wire.outline import Framing
from services.balancer.wire.response import ResponseHead, with_lines, without

if TYPE_CHECKING:
    from services.balancer.plane.exchange import Exchange

_WITH_BODY = (Framing.LENGTH, Framing.CHUNKED, Framing.CLOSE)
_OF_THE_WHOLE = (b"content-length", b"transfer-encoding", b"trailer", b"accept-ranges", b"etag")  # as it was sent to us

def client_head(exchange: Exchange, head: ResponseHead) -> bytes:
    """Render the head and settle on the exchange how the body is framed and whether the connection stays.

    The common case, an HTTP/1.1 client that stays and a route that edits nothing, returns ``head.plain`` itself.
    """
    request, framing = exchange.request, head.framing
    keep = request.keep_alive and exchange.body_complete and exchange.connection.may_stay
    lines: list[bytes] = []
    rendered = head.plain
    gzip = exchange.route.gzip
    if gzip is not None and framing in _WITH_BODY and gzip.suits(exchange.status, head):
        rendered = _packed(exchange, gzip, head, lines)
    if framing is Framing.CLOSE or exchange.packer is not None:
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
    elif keep and (request.minor == 0 or exchange.route.clients.keepalive_header_s):
        lines += [b"Connection: keep-alive", *keepalive_lines(exchange.route)]
    if exchange.route.edits_answers:
        rendered = _edit(exchange, head, rendered, lines)
    if exchange.status != head.status and framing is not Framing.TUNNEL:
        rendered = _under_another_status(exchange.status, head, rendered, lines)
    return with_lines(rendered, *lines) if lines else rendered


def _packed(exchange: Exchange, gzip: Gzip, head: ResponseHead, lines: list[bytes]) -> bytes:
    """The head of an answer that is compressed, if the client accepts that; its framing is gone."""
    if gzip.vary:
        lines.append(b"Vary: Accept-Encoding")
    if not gzip.accepted(exchange.request):
        return head.plain
    exchange.packer = gzip.packer()
    exchange.decodes = head.framing is Framing.CHUNKED
    lines.append(b"Content-Encoding: gzip")
    etag = weak(head.get(b"etag"))
    if etag and b"etag" not in exchange.route.hide_headers:
        lines.append(b"ETag: " + etag)
    return without(head.plain, *_OF_THE_WHOLE)


def _under_another_status(status: int, head: ResponseHead, rendered: bytes, lines: list[bytes]) -> bytes:
    """What an error has led to keeps the error's status, or gets another one (nginx ``error_page``)."""
    if head.status in (204, 304):  # with any other status the absence of a body has to be said
        lines.append(b"Content-Length: 0")
    return b"HTTP/1.1 %d %b%b" % (status, REASONS.get(status, "").encode(), rendered[rendered.find(CRLF) :])


def _edit(exchange: Exchange, head: ResponseHead, rendered: bytes, lines: list[bytes]) -> bytes:
    route = exchange.route
    hidden = set(route.hide_headers)
    if route.redirects:
        for name in (b"location", b"refresh"):
            value = _retold(exchange, name, head.get(name))
            if value is not None:
                hidden.add(name)
                lines.append(name.title() + b": " + value)
    if route.cookies:
        cookies = [field.value for field in head.fields if field.name == b"set-cookie"]
        hidden.add(b"set-cookie")
        lines += [b"Set-Cookie: " + route.cookies.apply(cookie) for cookie in cookies]
    lines += added_lines(exchange, route, exchange.status)
    return without(rendered, *hidden) if hidden else rendered


def _retold(exchange: Exchange, name: bytes, value: bytes) -> bytes | None:
    """Where an answer leads, as the client knows the place; None when that is what it says already."""
    route = exchange.route
    begin = 0
    if name == b"refresh":
        begin = value.lower().find(b"url=") + 4
        if begin < 4:
            return None
    exchange.retold = value[begin:]
    place = redirected(route.redirects, exchange, value[begin:]) if value else None
    if place is None:
        return None
    if name == b"location" and route.absolute_redirects and place[:1] == b"/":
        place = here(exchange, route) + place
    return value[:begin] + place
