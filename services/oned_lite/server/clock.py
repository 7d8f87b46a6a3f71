"""Where the node's time and randomness come from."""

from __future__ import annotations

import os
import time

from services.oned_lite.node.clock import Moment

SEED_BYTES = 32


def moment() -> Moment:
    return Moment(now_ms(), int(time.time()), os.urandom(SEED_BYTES))


def now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
