"""Virtual time: what happens when."""

from __future__ import annotations

import heapq
from collections.abc import Callable

Action = Callable[[], None]


class Timeline:
    """Runs actions in order of their time; equal times in the order they were asked for. Microseconds."""

    def __init__(self) -> None:
        self.now_us = 0
        self._events: list[tuple[int, int, Action]] = []
        self._number = 0

    def after(self, delay_us: int, action: Action) -> None:
        self._number += 1
        heapq.heappush(self._events, (self.now_us + max(delay_us, 0), self._number, action))

    def run(self, end_us: int) -> None:
        """Everything that happens up to `end_us`."""
        events = self._events
        while events and events[0][0] <= end_us:
            self.now_us, _, action = heapq.heappop(events)
            action()
        self.now_us = end_us
