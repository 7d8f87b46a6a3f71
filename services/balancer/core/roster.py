"""A group as one process tells it to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from services.balancer.core.peers import PeerSettings, Verdict

Count = Annotated[int, Meta(ge=0, lt=1 << 62)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passive:
    """What live requests have shown of a server; times by the clock that processes of one machine share.

    Effective and current weight mean something only beside the same ``weight``.
    """

    fails: Count = 0
    accessed: Count = 0
    checked: Count = 0
    weight: Count = 0
    effective_weight: Count = 0
    current_weight: Annotated[int, Meta(gt=-(1 << 62), lt=1 << 62)] = 0
    ramp_from: Annotated[float, Meta(ge=0)] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Smoothed times of a server's answers, in seconds."""

    header_s: Annotated[float, Meta(ge=0)] = 0.0
    response_s: Annotated[float, Meta(ge=0)] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckState:
    """Where one active check of a server stands; ``fails`` and ``passes`` in a row, ``due`` by the clock of the machine."""

    verdict: Verdict
    fails: Count = 0
    passes: Count = 0
    due: Annotated[float, Meta(ge=0)] = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One server as it stands: what another process needs to see the group alike.

    It travels, so it is decoded by its annotations; mypyc does not keep those whole, and this module is not compiled.
    """

    id: int
    settings: PeerSettings
    draining: bool
    verdict: Verdict
    ramp_from: float | None
    passive: Passive
    times: Times
