"""What breaks, where and when, as data. Pure; `crew` makes it happen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from deploy.lab.compare.plan import SERVERS

FLAP_S = 0.5
"""How long a flapping server stays in each state."""


class Condition(Enum):
    """What a web UI is like. Each is reached from any other; WELL heals."""

    WELL = "well"
    KILLED = "killed"
    """SIGKILL: the kernel resets its connections and refuses new ones."""
    STOPPED = "stopped"
    """SIGTERM, as at a restart: it stops listening and ends."""
    PAUSED = "paused"
    """SIGSTOP: the kernel still accepts connections for it, and nobody answers."""
    REFUSES = "refuses"
    """It runs, but does not listen any more and hangs up."""
    SILENT = "silent"
    """Its kernel drops every packet to it, first ones of connections too: as a pulled cable, or a firewall that drops."""
    SLOW = "slow"
    """Right answers, but later than people bear; the health page too."""
    ERRORS = "errors"
    """Status 500 at once, the health page too."""
    BUSY = "busy"
    """One request at a time, the health page in the same queue; every answer is right."""


@dataclass(frozen=True, slots=True)
class Change:
    """From `at_s` on (seconds after the beginning of the fault) the server is in the condition."""

    at_s: float
    server: str
    condition: Condition


Script = tuple[Change, ...]


def _steady(condition: Condition) -> Callable[[float], Script]:
    def script(lasts_s: float) -> Script:
        return Change(0, SERVERS[0], condition), Change(lasts_s, SERVERS[0], Condition.WELL)

    return script


def _flap(lasts_s: float) -> Script:
    halves = max(2, 2 * round(lasts_s / FLAP_S / 2))
    states = (Condition.REFUSES, Condition.WELL)
    changes = [Change(lasts_s * half / halves, SERVERS[0], states[half % 2]) for half in range(halves)]
    return (*changes, Change(lasts_s, SERVERS[0], Condition.WELL))


def _rolling(lasts_s: float) -> Script:
    """Each server in turn is down for half of its share of the time."""
    share = lasts_s / len(SERVERS)
    return tuple(
        change
        for place, server in enumerate(SERVERS)
        for change in (
            Change(place * share, server, Condition.STOPPED),
            Change(place * share + share / 2, server, Condition.WELL),
        )
    )


FAULTS: dict[str, Callable[[float], Script]] = {
    "kill": _steady(Condition.KILLED),
    "pause": _steady(Condition.PAUSED),
    "refuse": _steady(Condition.REFUSES),
    "drop": _steady(Condition.SILENT),
    "slow": _steady(Condition.SLOW),
    "errors": _steady(Condition.ERRORS),
    "flap": _flap,
    "rolling": _rolling,
    "overload": _steady(Condition.BUSY),
}
"""By name: the script of a fault that lasts that many seconds. Every script ends with all servers well."""
