"""Virtual time: what happens when."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

Action = Callable[[], None]


@dataclass(order=True, slots=True)
class _Event:
    at_us: int
    number: int
    action: Action = field(compare=False)


class Timeline:
    """Runs actions in order of their time; equal times in the order they were asked for. Microseconds."""

    def __init__(self) -> None:
        self.now_us = 0
        self._events: list[_Event] = []
        self._number = 0

    def after(self, delay_us: int, action: Action) -> None:
        self._number += 1
        heapq.heappush(self._events, _Event(self.now_us + max(delay_us, 0), self._number, action))

    def step(self) -> bool:
        """Runs the next action; False when there is none."""
        if not self._events:
            return False
        event = heapq.heappop(self._events)
        self.now_us = event.at_us
        event.action()
        return True
