"""Active checks: what passes, how many in a row, and the guards against checks that remove everything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.balancer.core.peers import Peer, Verdict
from services.balancer.core.rules import Condition
from services.balancer.core.secure import TlsSettings
from services.balancer.core.variables import Scope


@dataclass(frozen=True, slots=True)
class StatusRange:
    """Statuses ``low`` to ``high``, both included."""

    low: int
    high: int

    def __contains__(self, status: int) -> bool:
        return self.low <= status <= self.high


@dataclass(frozen=True, slots=True)
class HeaderRule:
    """One header condition of a match: presence, equality or a pattern, each possibly negated."""

    name: str
    value: str | None = None
    pattern: re.Pattern[str] | None = None
    negate: bool = False

    def holds(self, headers: dict[str, str]) -> bool:
        found = headers.get(self.name.lower())
        if self.pattern is not None:
            hit = found is not None and self.pattern.search(found) is not None
        elif self.value is not None:
            hit = found == self.value
        else:
            hit = found is not None
        return hit is not self.negate


@dataclass(frozen=True, slots=True)
class Match:
    """What an answer must look like; all conditions must hold (nginx Plus ``match``). Default: 2xx or 3xx."""

    statuses: tuple[StatusRange, ...] = (StatusRange(200, 399),)
    negate_status: bool = False
    headers: tuple[HeaderRule, ...] = ()
    body: re.Pattern[bytes] | None = None
    negate_body: bool = False
    required: tuple[Condition, ...] = ()

    def complaint(self, status: int, headers: dict[str, str], body: bytes) -> str:
        """Why the answer does not match, or an empty string."""
        if any(status in allowed for allowed in self.statuses) is self.negate_status:
            return f"status {status}"
        for rule in self.headers:
            if not rule.holds(headers):
                return f"header {rule.name}"
        if self.body is not None and (self.body.search(body) is not None) is self.negate_body:
            return "body"
        return ""

    def missing(self, scope: Scope) -> str:
        """Whether a variable that is required is empty or 0 in the scope of the check, in the words of ``complaint``."""
        return "" if all(condition.holds(scope) for condition in self.required) else "require"


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """One ``health_check``; times in seconds, ``fails`` and ``passes`` in a row flip the verdict."""

    interval_s: float = 5.0
    jitter_s: float = 0.0
    timeout_s: float = 5.0
    fails: int = 1
    passes: int = 1
    uri: str = "/"
    port: int = 0
    host: str = ""
    tls: TlsSettings | None = None
    match: Match = field(default_factory=Match)
    mandatory: bool = False
    persistent: bool = False


class Tally:
    """Consecutive results of one check on one peer."""

    __slots__ = ("fails", "passes", "verdict")

    def __init__(self, verdict: Verdict, *, fails: int = 0, passes: int = 0) -> None:
        self.verdict = verdict
        self.fails = fails
        self.passes = passes

    def record(self, settings: CheckSettings, *, passed: bool) -> Verdict:
        """Count a result and return the verdict, which flips only after enough results in a row."""
        if passed:
            self.passes += 1
            self.fails = 0
            if self.passes >= settings.passes:
                self.verdict = Verdict.HEALTHY
        else:
            self.fails += 1
            self.passes = 0
            if self.fails >= settings.fails:
                self.verdict = Verdict.UNHEALTHY
        return self.verdict


@dataclass(frozen=True, slots=True)
class Guards:
    """Limits nginx lacks, in percent of a group's primaries; 0 switches a guard off.

    Below ``panic`` per cent healthy, active verdicts are ignored: probes that fail everywhere say more about the probe.
    At most ``max_ejected`` per cent may be out through either kind of check at one time.
    """

    panic: int = 0
    max_ejected: int = 0


def panics(peers: Sequence[Peer], guards: Guards) -> bool:
    """Whether so few peers are healthy that the verdicts are to be ignored."""
    considered = [peer for peer in peers if not peer.down and not peer.draining]
    healthy = sum(peer.verdict in (Verdict.UNCHECKED, Verdict.HEALTHY) for peer in considered)
    return bool(considered) and healthy * 100 < guards.panic * len(considered)


def ejection_allowed(peers: Sequence[Peer], guards: Guards, now: int) -> bool:
    """Whether one more peer may be taken out; one always may."""
    if not guards.max_ejected:
        return True
    out = sum(peer.verdict is Verdict.UNHEALTHY or peer.unavailable(now) for peer in peers)
    return (out + 1) * 100 <= guards.max_ejected * len(peers) or out == 0
