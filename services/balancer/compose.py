"""The head an upstream gets: the client's fields, edited as the route says."""

from __future__ import annotations

from urllib.parse import quote

from services.balancer.core.paths import normalise
from services.balancer.core.variables import Part, Scope, Template, join_parts
from services.balancer.site import Route
from services.balancer.wire.fields import HOP_BY_HOP
from services.balancer.wire.request import RequestHead

_PLAIN_NAME = b"-0123456789abcdefghijklmnopqrstuvwxyz"
_KEPT = "/:@!$&'()*+,;=~-._"  # what a path may hold unescaped
_NOT_FORWARDED = HOP_BY_HOP | {b"host", b"content-length", b"expect"}


def compose_fields(scope: Scope, route: Route, *, keep_alive: bool) -> tuple[Part, ...]:
    """Header lines for the upstream, without those that frame the body.

    The result depends on the route and the client's fields alone, so it may be kept for both. Constants are merged; what is
    left to compute per request are variables of the request line, the connection or the moment.
    """
    request = scope.request
    parts: list[Part] = []
    for name, template in route.set_headers:
        parts += _line(scope, name, template)
    if b"host" not in route.replaced:
        parts.append(_host_line)
    parts += _connection_lines(request, route, keep_alive=keep_alive)
    hidden = _NOT_FORWARDED | route.replaced | set(request.connection_options)
    parts += [line + b"\r\n" for name, _, line in request.fields if name not in hidden and _plain(name)]
    return join_parts(parts)


def framing_lines(request: RequestHead, length: int | None) -> bytes:
    """The end of the head: how the body is framed. ``length`` None with a chunked request means chunks go on."""
    if length is not None and (length or request.has_body or request.length is not None):
        return b"Content-Length: %d\r\n\r\n" % length
    return b"Transfer-Encoding: chunked\r\n\r\n" if request.chunked else b"\r\n"


def target_for(request: RequestHead, route: Route) -> bytes:
    """The target in origin form; with ``upstream_uri`` the route's prefix is replaced by it (nginx ``proxy_pass``)."""
    if not route.upstream_uri:
        if request.target[:1] == b"/" or request.target == b"*":
            return request.target
        path = request.path
    else:
        path = route.upstream_uri + quote(normalise(request.path)[len(route.prefix) :], safe=_KEPT).encode()
    return path + b"?" + request.query if request.query else path


def _host_line(scope: Scope) -> bytes:
    host = scope.request.host
    return b"Host: %b\r\n" % host if host else b""


def _plain(name: bytes) -> bool:
    """Names with other characters are dropped, as by nginx: an underscore can pose as a dash behind CGI gateways."""
    return not name.translate(None, _PLAIN_NAME)


def _line(scope: Scope, name: bytes, template: Template) -> list[Part]:
    """A header line; a header whose value turns out empty is not sent at all."""
    parts = template.specialise(scope)
    if all(isinstance(part, bytes) for part in parts):
        value = b"".join(part for part in parts if isinstance(part, bytes))
        return [b"%b: %b\r\n" % (name, value)] if value else []
    if template.never_empty:
        return [name + b": ", *parts, b"\r\n"]

    def line(scope: Scope) -> bytes:
        value = template.render(scope)
        return b"%b: %b\r\n" % (name, value) if value else b""

    return [line]


def _connection_lines(request: RequestHead, route: Route, *, keep_alive: bool) -> list[Part]:
    if b"connection" in route.replaced:
        return []
    if request.upgrade and route.websocket:
        return [b"Connection: upgrade\r\nUpgrade: %b\r\n" % request.upgrade]
    return [] if keep_alive and route.minor else [b"Connection: close\r\n"]
