"""From the location that a path belongs to, through rules, access lists and error pages, to the route that serves."""

from __future__ import annotations

from services.balancer.core.course import Course
from services.balancer.core.routing import Locations
from services.balancer.core.rules import follow
from services.balancer.plan import Route
from services.balancer.plane.facts import Facts
from services.balancer.wire.request import RequestHead

NO_ANSWER = 444
TOO_LARGE = 413


def decide(facts: Facts, route: Route, locations: Locations[Route]) -> Route:
    """The route that serves a request whose path leads to ``route``; ``facts`` learn of it and of the changed request."""
    facts.route = route
    if route.outside is not None:
        facts.route = route.outside
        course = _underway(facts)
        _enter(facts, course)
        outcome, _ = follow(route.outside.rules, facts, course)
        if outcome is not None:
            return outcome
        if not course.uri:
            return route.errors[500]
        if course.uri != course.chosen_by:
            course.moved = False
            course.chosen_by = course.uri
            route = locations.find(course.uri) or route.errors[404]
    return _settle(facts, route, locations)


def _limited(request: RequestHead, route: Route) -> bool:
    """Whether it has a method for which nothing of a location holds but who may (nginx ``limit_except``)."""
    return route.other_methods is not None and request.method not in route.free_methods


def _too_large(request: RequestHead, route: Route) -> bool:
    """Whether the body is longer than the location takes, as far as the head says it (nginx ``client_max_body_size``)."""
    limit, length = route.max_body_bytes, request.length
    if not limit or length is None or length <= limit:
        return False
    return not (isinstance(request, Course) and request.unwanted)


def _settle(facts: Facts, route: Route, locations: Locations[Route]) -> Route:
    """Follow the rules of one location after the other, until the request stays in one."""
    while True:
        facts.route = route
        request = facts.request
        if route.internal and not (isinstance(request, Course) and request.internal):
            return route.errors[404]
        if _too_large(request, route):
            return route.errors[413]
        if _limited(request, route) or (not route.rules and not isinstance(request, Course)):
            break
        course = _underway(facts)
        _enter(facts, course)
        found = route.pattern.search(course.chosen_by) if route.pattern is not None else None
        if found is not None:
            course.capture(found)
        outcome, _ = follow(route.rules, facts, course)
        if outcome is not None:
            return outcome
        if not course.uri:
            return route.errors[500]
        if not course.moved:
            break
        if not course.jump():
            return route.errors[500]
        course.chosen_by = course.uri
        route = locations.find(course.uri) or route.errors[404]
    access = route.other_methods if _limited(facts.request, route) else route.access
    if access is not None and not access.allows(facts.client.packed_addr):
        return route.errors[403]
    return route


def after_errors(facts: Facts, route: Route, locations: Locations[Route]) -> Route:
    """The route itself, or if it answers with an error, where the error leads in the end."""
    while status := error_of(route):
        facts.route = route
        facts.connection.leave_after(status)
        page = after_error(facts, status, locations)
        if page is None:
            break
        route = page
    return route


def after_error(facts: Facts, status: int, locations: Locations[Route]) -> Route | None:
    """Where an error leads by the pages of its route (nginx ``error_page``); None when a plain page says it."""
    route = facts.route
    if not route.error_pages:
        return None
    course = _underway(facts)
    course.shown = 0
    course.unwanted = course.unwanted or status == TOO_LARGE
    facts.status = status
    if course.turned or course.jumps_left < 0:
        return None
    course.turned = not route.recursive_error_pages
    page = route.error_pages.get(status)
    if page is None:
        return None
    course.shown = facts.status = status if page.status is None else page.status
    if page.to is None:
        return page.route
    to = page.to.render(facts)
    if not course.jump():
        return route.errors[500]
    course.internal = True
    if to[:1] == b"@":
        named = locations.named.get(to)
        return _settle(facts, named, locations) if named is not None and course.uri else route.errors[500]
    uri, _, query = to.partition(b"?")
    course.redirect(uri, query)
    for name in facts.names.settings.keys() - facts.names.own:
        course.values.pop(name, None)  # the server sets its variables anew
    course.chosen_by = uri
    return decide(facts, locations.find(uri) or route.errors[404], locations)


def _underway(facts: Facts) -> Course:
    """The request of the facts, made one that may change."""
    request = facts.request
    if isinstance(request, Course):
        return request
    course = Course(request)
    course.looked_up = facts.looked_up
    facts.request = course
    _enter(facts, course)
    return course


def _enter(facts: Facts, course: Course) -> None:
    """Variables of the location get their values, those of the server if they have none; they keep them elsewhere."""
    names = facts.names
    for name, template in names.settings.items():
        if name in names.own or name not in course.values:
            course.values[name] = template.render(facts)


def error_of(route: Route) -> int:
    """The status of what answers with an error or a redirect that has a page of its own, maybe; else 0."""
    answer = route.answer
    if route.group or route.stands_in or answer is None or answer.status == NO_ANSWER:
        return 0
    said = route.answer_text is not None and route.answer_text.parts
    return answer.status if answer.location or (answer.status >= 400 and not said) else 0
