"""Answers of the balancer itself: routes that answer (nginx ``return``), and error pages."""

from __future__ import annotations

from services.balancer.core.variables import Template, origin
from services.balancer.plane.facts import Facts
from services.balancer.site import Route
from services.balancer.wire.errors import REDIRECTS, error_answer, plain_answer, redirect_answer
from services.balancer.wire.response import with_lines

PLAIN_STATUSES = frozenset((200, 201, 204, 206, 301, 302, 303, 304, 307, 308))
NO_ANSWER = 444


def own_answer(facts: Facts, route: Route, *, close: bool) -> bytes:
    """The whole answer of a route; ``facts`` learn its status. Nothing for nginx's status 444: just close."""
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
            said = origin(facts) + said
        wire = redirect_answer(status, said, close=close, bodiless=bodiless)
    elif not said and status >= 400:
        return error_page(facts, status, close=close)
    else:
        wire = plain_answer(status, said, answer.content_type, close=close, bodiless=bodiless)
    return _finished(facts, route, status, wire, close=close)


def error_page(facts: Facts, status: int, *, close: bool) -> bytes:
    """The answer for an error: the route's page for it, or the balancer's."""
    route = facts.route
    page = route.error_pages.get(status)
    # A page whose own answer is an error without text has nothing to say, and must not ask for itself again.
    if page is not None and page.answer is not None and (page.answer.status in REDIRECTS or _says(page.answer_text)):
        return own_answer(facts, page, close=close)
    wire = error_answer(status, close=close, bodiless=facts.request.method == b"HEAD")
    return _finished(facts, route, status, wire, close=close)


def _says(text: Template | None) -> bool:
    return text is not None and bool(text.parts)


def _finished(facts: Facts, route: Route, status: int, wire: bytes, *, close: bool) -> bytes:
    """With the route's own headers; what is logged is noted."""
    facts.status = status
    facts.body_bytes = len(wire) - wire.find(b"\r\n\r\n") - 4
    lines = added_lines(facts, route, status) + ([] if close else keepalive_lines(route))
    if lines:
        head = len(wire) - facts.body_bytes
        wire = with_lines(wire[:head], *lines) + wire[head:]
    facts.head_bytes = len(wire) - facts.body_bytes
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
