"""Where the node's time and randomness come from."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator

from services.oned_lite.node.clock import Moment

SEED_BYTES = 32
SEEDS_AT_ONCE = 128
"""There is one for every event, and asking the system for each costs more than all else about it."""


def now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class Clock:
    """The wall clock, which a control endpoint may put forward. Consensus has the monotonic one, which nobody moves."""

    def __init__(self) -> None:
        self._ahead_s = 0
        self._sleepers: set[asyncio.Event] = set()
        self._seeds = _seeds()

    @property
    def ahead_s(self) -> int:
        """How far it has been put forward."""
        return self._ahead_s

    def moment(self) -> Moment:
        return Moment(now_ms(), int(time.time()) + self._ahead_s, next(self._seeds))

    def advance(self, seconds: int) -> None:
        self._put(self._ahead_s + seconds)

    def put_right(self) -> None:
        """The true time again."""
        self._put(0)

    def _put(self, ahead_s: int) -> None:
        self._ahead_s = ahead_s
        for sleeper in self._sleepers:
            sleeper.set()

    async def sleep(self, seconds: float) -> None:
        """Until that much time has passed, or the clock was put forward by as much."""
        if seconds <= 0:
            return
        jumped = asyncio.Event()
        self._sleepers.add(jumped)
        try:
            began_s, ahead_s = time.monotonic(), self._ahead_s
            while True:
                passed_s = time.monotonic() - began_s + max(0, self._ahead_s - ahead_s)
                if passed_s >= seconds:
                    return
                jumped.clear()
                try:
                    async with asyncio.timeout(seconds - passed_s):
                        await jumped.wait()
                except TimeoutError:
                    continue
        finally:
            self._sleepers.discard(jumped)


def _seeds() -> Iterator[bytes]:
    """Fresh random bytes without end."""
    while True:
        drawn = os.urandom(SEED_BYTES * SEEDS_AT_ONCE)
        yield from (drawn[begin : begin + SEED_BYTES] for begin in range(0, len(drawn), SEED_BYTES))
