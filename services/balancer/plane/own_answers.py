"""Answers of the balancer itself: routes that answer (nginx ``return``), and error pages."""

from __future__ import annotations

from services.balancer.core.variables import origin
from services.balancer.plan import Route
from services.balancer.plane.facts import Facts
from services.balancer.wire.errors import error_answer, plain_answer, redirect_answer
from services.balancer.wire.response import with_lines

PLAIN_STATUSES = frozenset((200, 201, 204, 206, 301, 302, 303, 304, 307, 308))
NO_ANSWER = 444


def own_answer(facts: Facts, route: Route, *, close: bool) -> bytes:
    """The whole answer of a route; ``facts`` learn its status and the route. Nothing for nginx's status 444: just close."""
    facts.route = route
    answer, text = route.answer, route.answer_text
    if answer is None or text is None:
        return error_page(facts, 404, close=close)
    bodiless = facts.request.method == b"HEAD"
    said, status = text.render(facts), answer.status
    if status == NO_ANSWER:
        facts.status = status
        return b""
    if answer.location:
        if route.absolute_redirects and said[:1] == b"/":
            said = here(facts, route) + said
        wire = redirect_answer(status, said, close=close, bodiless=bodiless)
    elif not text.parts and status >= 400:
        return error_page(facts, status, close=close)
    else:
        status = facts.shown_status or status
        wire = plain_answer(status, said, answer.content_type, close=close, bodiless=bodiless)
    return _finished(facts, route, status, wire, close=close)


def here(facts: Facts, route: Route) -> bytes:
    """What is put before a path to make it an address."""
    return origin(facts, name_port=route.redirects_name_port, name_server=route.redirects_name_server)


def error_page(facts: Facts, status: int, *, close: bool) -> bytes:
    """The balancer's own page for an error."""
    wire = error_answer(status, close=close, bodiless=facts.request.method == b"HEAD")
    return _finished(facts, facts.route, status, wire, close=close)


def bodiless_answer(facts: Facts, status: int, *, close: bool) -> bytes:
    """An answer under a status that has no body."""
    return _finished(facts, facts.route, status, plain_answer(status, b"", "", close=close), close=close)


def _finished(facts: Facts, route: Route, status: int, wire: bytes, *, close: bool) -> bytes:
    """With the route's own headers; what is logged is noted."""
    facts.status = status
    facts.body_bytes = len(wire) - wire.find(b"\r\n\r\n") - 4
    lines = added_lines(facts, route, status) + ([] if close else keepalive_lines(route))
    if lines:
        head = len(wire) - facts.body_bytes
        wire = with_lines(wire[:head], *lines) + wire[head:]
    facts.head_bytes = len(wire) - facts.body_bytes
    facts.sent_head = wire[: facts.head_bytes]
    return wire


def added_lines(facts: Facts, route: Route, status: int) -> list[bytes]:
    """The lines of ``add_header``; a header whose value turns out empty is not sent."""
    added = route.add_headers_always
    if status in PLAIN_STATUSES:
        added = (*route.add_headers, *added)
    return [name + b": " + value for name, template in added if (value := template.render(facts))]


def keepalive_lines(route: Route) -> list[bytes]:
    """The line that tells a client how long it may stay (nginx ``keepalive_timeout``, its second value), if it is told."""
    told_s = route.clients.keepalive_header_s
    return [b"Keep-Alive: timeout=%d" % told_s] if told_s else []
