"""What is done before a request goes to its upstream: conditions, changed paths and variables, networks kept out."""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.balancer.core.addresses import UNIX
from services.balancer.core.course import Course, uri_of
from services.balancer.core.variables import Scope, Template

T_co = TypeVar("T_co", covariant=True)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
OPERATORS = ("=", "!=", "~", "~*", "!~", "!~*")


@dataclass(frozen=True, slots=True)
class Condition:
    """A test of a variable (nginx ``if``); without value and pattern: it is neither empty nor 0."""

    subject: Template
    value: bytes | None = None
    pattern: re.Pattern[bytes] | None = None
    negate: bool = False

    def holds(self, scope: Scope) -> bool:
        text = self.subject.render(scope)
        if self.pattern is not None:
            hit = _matches(self.pattern, text, scope)
        elif self.value is not None:
            hit = text == self.value
        else:
            hit = text not in (b"", b"0")
        return hit is not self.negate


def _matches(pattern: re.Pattern[bytes], text: bytes, scope: Scope) -> bool:
    """Whether it does; what it captures can be asked for from now on, and nothing else, also when it does not match."""
    found = pattern.search(text)
    if isinstance(scope.request, Course):
        scope.request.capture(found)
    return found is not None


class Then(enum.Enum):
    """How it goes on after a rule that applied."""

    NEXT = "next"  # with the next rule; behind the last one a location is chosen anew if the path has changed
    LAST = "last"  # a location is chosen anew
    BREAK = "break"  # no more rules; the request stays in its location


@dataclass(frozen=True, slots=True)
class Rule(Generic[T_co]):
    """What is done when condition and pattern hold, in this order: set variables, change the path, follow ``rules``,
    answer by ``outcome``.

    ``query`` replaces the request's own; None keeps that, and with ``keeps_query`` it goes behind the new one.
    """

    condition: Condition | None = None
    pattern: re.Pattern[bytes] | None = None
    settings: tuple[tuple[str, Template], ...] = ()
    uri: Template | None = None
    query: Template | None = None
    keeps_query: bool = False
    rules: tuple[Rule[T_co], ...] = ()
    outcome: T_co | None = None
    then: Then = Then.NEXT

    def applies(self, scope: Scope) -> bool:
        if self.condition is not None and not self.condition.holds(scope):
            return False
        return self.pattern is None or _matches(self.pattern, uri_of(scope.request), scope)

    def change(self, scope: Scope, course: Course) -> None:
        """Set variables and the path; ``course`` is the request of the scope."""
        for name, template in self.settings:
            value = template.render(scope)
            if name == "args":
                course.set_query(value)
            else:
                course.values[name] = value
        if self.uri is not None:
            course.rewrite(self.uri.render(scope), self._query(scope))

    def _query(self, scope: Scope) -> bytes:
        own = scope.request.query
        if self.query is None:
            return own
        query = self.query.render(scope)
        return query + b"&" + own if self.keeps_query and own else query


def follow(rules: Sequence[Rule[T_co]], scope: Scope, course: Course) -> tuple[T_co | None, bool]:
    """Do what rules say, one after the other; returns what answers, if one says so, and whether one ended it all."""
    for rule in rules:
        if not rule.applies(scope):
            continue
        rule.change(scope, course)
        if rule.outcome is not None:
            return rule.outcome, True
        outcome, ended = follow(rule.rules, scope, course)
        if ended:
            return outcome, True
        if rule.then is Then.BREAK:
            course.stay()
        if rule.then is not Then.NEXT:
            return None, True
    return None, False


@dataclass(frozen=True, slots=True)
class Access:
    """Lists of networks (nginx ``allow`` and ``deny``): the first that holds the address decides; None holds all.

    ``UNIX`` holds the clients of sockets of the file system, which have no addresses.
    """

    entries: tuple[tuple[bool, Network | str | None], ...]

    def allows(self, packed: bytes) -> bool:
        address = ipaddress.ip_address(packed) if len(packed) in (4, 16) else None
        return next((allow for allow, network in self.entries if _holds(network, address)), True)


def _holds(network: Network | str | None, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> bool:
    if network is None or address is None:
        return network in (None, UNIX)
    return not isinstance(network, str) and network.version == address.version and address in network


def parse_access(lines: Sequence[str]) -> Access:
    """Read ``allow NETWORK`` and ``deny NETWORK``; raises ValueError."""
    entries: list[tuple[bool, Network | str | None]] = []
    for line in lines:
        verb, _, text = line.partition(" ")
        if verb not in ("allow", "deny") or not text:
            raise ValueError(f"expected allow NETWORK or deny NETWORK, got {line!r}")
        network = None if text == "all" else text if text == UNIX else ipaddress.ip_network(text, strict=False)
        entries.append((verb == "allow", network))
    return Access(tuple(entries))
