"""A group as one process tells it to another."""

from __future__ import annotations

from dataclasses import dataclass

from services.balancer.core.peers import PeerSettings, Verdict


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
