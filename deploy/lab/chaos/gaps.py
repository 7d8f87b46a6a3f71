"""Times in which no write of any client was acknowledged. Pure functions of the history."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from deploy.lab.chaos.history import Operation, Period

LONG_S = 3.0
"""Longer than an election and a client's next attempt: worth a look into the logs."""
RECOVERY_S = 3.0
"""How long after its healing a fault still explains a gap."""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """`faults`: which were on, or healed just before."""

    start_us: int
    end_us: int
    faults: Sequence[str]

    @property
    def seconds(self) -> float:
        return (self.end_us - self.start_us) / 1e6


def gaps(operations: Sequence[Operation], periods: Sequence[Period], longer_s: float = LONG_S) -> list[Gap]:
    """The longest first."""
    ends = sorted(one.end_us for one in operations if one.kind != "read" and one.outcome == "ok")
    found = [
        Gap(start_us=start_us, end_us=end_us, faults=_faults(periods, start_us, end_us))
        for start_us, end_us in pairwise(ends)
        if end_us - start_us > longer_s * 1e6
    ]
    return sorted(found, key=lambda gap: -gap.seconds)


def _faults(periods: Sequence[Period], start_us: int, end_us: int) -> list[str]:
    after_us = int(RECOVERY_S * 1e6)
    return [
        f"{one.fault}: {one.target}" for one in periods if one.start_us < end_us and start_us < one.end_us + after_us
    ]
