"""Time and randomness of one event, given in from outside."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """`ms`: a monotonic clock in milliseconds, for consensus and deadlines; `epoch_s`: the wall clock, for what people
    read; `seed`: fresh random bytes for whatever this event makes."""

    ms: int
    epoch_s: int
    seed: bytes

    def seed_for(self, purpose: str) -> bytes:
        """Independent randomness for one of several things that happen in one event."""
        return hashlib.blake2b(self.seed, key=purpose.encode()[:64], digest_size=32).digest()
