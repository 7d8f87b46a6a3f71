"""Upstream servers, what is known of them, and the accounting of their failures.

Two kinds of *bad* are kept apart on purpose. ``unavail`` is passive: live requests failed (nginx ``max_fails`` and
``fail_timeout``). ``unhealthy`` is active: probes failed (nginx Plus ``health_check``). Either takes a peer out of
selection; each ends by its own rule.

Times of the passive accounting are whole seconds, as in nginx, because the comparisons below are strict.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field


class Verdict(enum.StrEnum):
    """What active checks say of a peer."""

    UNCHECKED = "unchecked"
    CHECKING = "checking"  # a mandatory check has not passed yet
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class State(enum.StrEnum):
    """A peer's state as shown to people; the names are those of nginx Plus."""

    UP = "up"
    DOWN = "down"
    DRAINING = "draining"
    UNAVAIL = "unavail"
    CHECKING = "checking"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerSettings:
    """Parameters of one ``server`` of an upstream group (nginx ``server`` directive)."""

    address: str
    weight: int = 1
    max_fails: int = 1
    fail_timeout_s: int = 10
    max_conns: int = 0
    slow_start_s: float = 0.0
    backup: bool = False
    down: bool = False
    drain: bool = False


@dataclass(slots=True)
class PeerStats:
    """Counters of one peer since the start of the program; bytes are payload and heads as sent on the wire."""

    requests: int = 0
    codes: dict[int, int] = field(default_factory=dict)
    sent: int = 0
    received: int = 0
    failures: int = 0
    unavail: int = 0
    connects: int = 0
    retried: int = 0
    header_time_s: float = 0.0  # exponentially weighted, one tenth per answer
    response_time_s: float = 0.0
    selected_at: float = 0.0
    checks: int = 0
    check_fails: int = 0
    unhealthy: int = 0
    last_check_passed: bool | None = None
    last_check_note: str = ""


class Peer:
    """One upstream server. Mutable; owned by the event loop of its process."""

    __slots__ = (
        "accessed",
        "backup",
        "bit",
        "checked",
        "conns",
        "current_weight",
        "down",
        "draining",
        "effective_weight",
        "excluded",
        "fail_timeout_s",
        "fails",
        "id",
        "max_conns",
        "max_fails",
        "ramp_from",
        "settings",
        "stats",
        "verdict",
        "watched",
        "weight",
    )

    def __init__(self, peer_id: int, settings: PeerSettings) -> None:
        self.id = peer_id
        self.bit = 1 << peer_id
        self.verdict = Verdict.UNCHECKED
        self.draining = settings.drain
        self.excluded = False  # kept by the group: down, draining, or ruled out by active checks
        self.conns = 0
        self.fails = 0
        self.accessed = 0
        self.checked = 0
        self.current_weight = 0
        self.ramp_from: float | None = None
        self.stats = PeerStats()
        self.watched = False  # whether eligibility needs a closer look than "yes"
        self.settings = settings
        self.configure(settings)

    def configure(self, settings: PeerSettings) -> None:
        """Take new parameters and keep what is known of the server (reload, runtime API)."""
        if settings.drain is not self.settings.drain:
            self.draining = settings.drain
        self.settings = settings
        self.weight = self.effective_weight = settings.weight
        self.max_fails = settings.max_fails
        self.fail_timeout_s = settings.fail_timeout_s
        self.max_conns = settings.max_conns
        self.backup = settings.backup
        self.down = settings.down
        self.look()

    def look(self) -> None:
        """Keep ``watched`` true to the rest; called after every change of what eligibility reads."""
        self.watched = self.excluded or self.fails > 0 or self.max_conns > 0

    @property
    def address(self) -> str:
        return self.settings.address

    def unavailable(self, now: int) -> bool:
        """Whether passive accounting keeps requests away; inclusive at the end, as in nginx."""
        return 0 < self.max_fails <= self.fails and now - self.checked <= self.fail_timeout_s

    def eligible(self, tried: int, now: int) -> bool:
        """Whether a request that already tried the peers in the bitmap ``tried`` may go here."""
        if self.excluded or tried & self.bit:
            return False
        if self.fails and self.unavailable(now):
            return False
        return not 0 < self.max_conns <= self.conns

    def state(self, now: int) -> State:
        if self.down:
            return State.DOWN
        if self.draining:
            return State.DRAINING
        if self.verdict is Verdict.UNHEALTHY:
            return State.UNHEALTHY
        if self.verdict is Verdict.CHECKING:
            return State.CHECKING
        return State.UNAVAIL if self.unavailable(now) else State.UP

    def select(self, now: int) -> None:
        """Account the start of a request; after the quiet period this request is the one live probe."""
        if now - self.checked > self.fail_timeout_s:
            self.checked = now
        self.conns += 1

    def release(self, now: int, *, failed: bool) -> bool:
        """Account the end of a request; true when this failure made the peer unavailable."""
        self.conns -= 1
        if failed:
            return self._fail(now)
        if self.accessed < self.checked:
            # A success counts only when it began more than fail_timeout after the last failure.
            self.fails = 0
            self.look()
        return False

    def _fail(self, now: int) -> bool:
        was_unavailable = 0 < self.max_fails <= self.fails
        self.fails += 1
        self.watched = True
        self.accessed = self.checked = now
        if not self.max_fails:
            return False
        self.effective_weight = max(0, self.effective_weight - self.weight // self.max_fails)
        return self.fails >= self.max_fails and not was_unavailable

    def ramp(self, now: float, scale: int) -> None:
        """Slow start: move the weight towards its nominal value (``scale`` times the configured one)."""
        nominal = self.settings.weight * scale
        if self.ramp_from is None:
            self.weight = nominal
            return
        progress = (now - self.ramp_from) / self.settings.slow_start_s
        if progress >= 1:
            self.ramp_from = None
            progress = 1.0
        self.weight = max(1, int(nominal * progress))
        self.effective_weight = min(max(self.effective_weight, 1), self.weight)
        if progress == 1.0:
            self.effective_weight = self.weight


def total_weight(peers: Iterable[Peer]) -> int:
    return sum(peer.weight for peer in peers)
