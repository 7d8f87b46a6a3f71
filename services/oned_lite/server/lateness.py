"""How late the loop comes to what is due, which is how long heartbeats and readers may have waited."""

from __future__ import annotations

import time
from collections.abc import Iterator

BOUNDS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""A heartbeat is due every 0.1 s."""


class Histogram:
    """Counts values by the first of BOUNDS_S that they do not exceed."""

    def __init__(self) -> None:
        self.sum_s = 0.0
        self._counts = [0] * (len(BOUNDS_S) + 1)

    def add(self, value_s: float) -> None:
        self.sum_s += value_s
        self._counts[next((place for place, bound in enumerate(BOUNDS_S) if value_s <= bound), -1)] += 1

    def cumulated(self) -> Iterator[tuple[str, int]]:
        """(bound, values up to it), as Prometheus has them."""
        total = 0
        for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), self._counts, strict=True):
            total += count
            yield bound, total


class Lateness:
    """Of a timer that is due every `interval_s`.

    `wall` counts every delay, also that of a busy machine; `own` only the processor time that the loop's thread took in
    one go, which is our own doing.
    """

    def __init__(self, interval_s: float) -> None:
        self.wall = Histogram()
        self.own = Histogram()
        self._interval_s = interval_s
        self._began_s = time.monotonic()
        self._busy_s = time.thread_time()

    def ticked(self) -> None:
        """The timer has come, to the thread of the loop."""
        now_s, busy_s = time.monotonic(), time.thread_time()
        self.wall.add(max(0.0, now_s - self._began_s - self._interval_s))
        self.own.add(max(0.0, busy_s - self._busy_s - self._interval_s))
        self._began_s, self._busy_s = now_s, busy_s
