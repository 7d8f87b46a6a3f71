"""The head an upstream gets: the client's fields, edited as the route says."""

from __future__ import annotations

from services.balancer.core.course import Course, uri_of
from services.balancer.core.paths import escape_path, escape_target
from services.balancer.core.variables import Part, Scope, Template, join_parts
from services.balancer.plan import Route
from services.balancer.wire.fields import CRLF, HOP_BY_HOP
from services.balancer.wire.request import RequestHead

_PLAIN_NAME = b"-0123456789abcdefghijklmnopqrstuvwxyz"
_NOT_FORWARDED = HOP_BY_HOP | {b"host", b"content-length", b"expect"}


def compose_fields(scope: Scope, route: Route, *, keep_alive: bool) -> tuple[Part, ...]:
    """Header lines for the upstream, without those that frame the body.

    The result depends on the route, the host and the client's fields alone, so it may be kept for them. Constants are
    merged; what is left to compute per request are variables of the request line, the connection or the moment.
    """
    request = scope.request
    parts: list[Part] = []
    for name, template in route.set_headers:
        parts += _line(scope, name, template)
    if b"host" not in route.replaced:
        # HTTP/1.0 clients may name none, but what goes on as HTTP/1.1 must.
        parts.append(b"Host: %b\r\n" % (request.host or scope.names.proxy_host))
    parts += _connection_lines(request, route, keep_alive=keep_alive)
    hidden = _NOT_FORWARDED | route.replaced | set(request.connection_options)
    parts += [field.line + CRLF for field in request.fields
              if field.name not in hidden and _plain(field.name, underscores=route.underscores)]  # fmt: skip
    return join_parts(parts)


def framing_lines(request: RequestHead, length: int | None) -> bytes:
    """The end of the head: how the body is framed. ``length`` None with a chunked request means chunks go on."""
    if length is not None and (length or request.has_body or request.length is not None):
        return b"Content-Length: %d\r\n\r\n" % length
    return b"Transfer-Encoding: chunked\r\n\r\n" if request.chunked else b"\r\n"


def request_line(request: RequestHead, route: Route) -> Part:
    """The first line for the upstream."""
    begin, end = request.method + b" ", line_end(route)
    if route.target is None:
        target = _changed_target(request, route) if isinstance(request, Course) else _target(request, route)
        return begin + target + end
    parts = route.target.parts

    def line(scope: Scope) -> bytes:
        # What a variable says is decoded, maybe; a space or a line's end would make another request line of it.
        target = [part if isinstance(part, bytes) else escape_target(part.read(scope)) for part in parts]
        text = b"".join(target)
        return begin + (b"/" + text if text[:1] == b"?" else text) + end

    return line


def line_end(route: Route) -> bytes:
    """What follows the target in a request line for the upstream."""
    return b" HTTP/1.1\r\n" if route.minor else b" HTTP/1.0\r\n"


def _target(request: RequestHead, route: Route) -> bytes:
    """The target in origin form; with ``upstream_uri`` the route's prefix is replaced by it (nginx ``proxy_pass``)."""
    if not route.upstream_uri:
        if request.target[:1] == b"/" or request.target == b"*":
            return request.target
        path = request.path
    else:
        path = route.upstream_uri + escape_path(uri_of(request)[len(route.prefix) :])
    return path + b"?" + request.query if request.query else path


def _changed_target(course: Course, route: Route) -> bytes:
    """The target of a request that rules or an error page have led here."""
    if course.intact:
        return _target(course, route)
    if route.upstream_uri and not course.whole:
        path = route.upstream_uri + escape_path(course.uri[len(route.prefix) :])
    else:
        path = escape_path(course.uri)
    return path + b"?" + escape_target(course.query) if course.query else path


def _plain(name: bytes, *, underscores: bool) -> bool:
    """Names with other characters are dropped, as by nginx: an underscore can pose as a dash behind CGI gateways."""
    return not name.translate(None, _PLAIN_NAME + b"_" if underscores else _PLAIN_NAME)


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
