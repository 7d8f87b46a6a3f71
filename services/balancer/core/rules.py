"""What is tried before a request goes to its upstream: conditions, rewritten paths, networks that may not ask."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.balancer.core.paths import normalise
from services.balancer.core.variables import Scope, Template

T = TypeVar("T")
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
            hit = self.pattern.search(text) is not None
        elif self.value is not None:
            hit = text == self.value
        else:
            hit = text not in (b"", b"0")
        return hit is not self.negate


@dataclass(frozen=True, slots=True)
class Rule(Generic[T]):
    """``outcome`` says what answers; with a ``uri`` the request goes on to the upstream under another path.

    ``query`` replaces the request's own; None keeps that.
    """

    condition: Condition | None
    pattern: re.Pattern[bytes] | None
    outcome: T | None
    uri: Template | None
    query: Template | None = None

    def applies(self, scope: Scope) -> bool:
        if self.condition is not None and not self.condition.holds(scope):
            return False
        return self.pattern is None or self.pattern.search(normalise(scope.request.path)) is not None


@dataclass(frozen=True, slots=True)
class Access:
    """Lists of networks (nginx ``allow`` and ``deny``): the first that holds the address decides; None holds all."""

    entries: tuple[tuple[bool, Network | None], ...]

    def allows(self, packed: bytes) -> bool:
        address = ipaddress.ip_address(packed)
        for allow, network in self.entries:
            if network is None or (network.version == address.version and address in network):
                return allow
        return True


def parse_access(lines: Sequence[str]) -> Access:
    """Read ``allow NETWORK`` and ``deny NETWORK``; raises ValueError."""
    entries: list[tuple[bool, Network | None]] = []
    for line in lines:
        verb, _, text = line.partition(" ")
        if verb not in ("allow", "deny") or not text:
            raise ValueError(f"expected allow NETWORK or deny NETWORK, got {line!r}")
        entries.append((verb == "allow", None if text == "all" else ipaddress.ip_network(text, strict=False)))
    return Access(tuple(entries))
