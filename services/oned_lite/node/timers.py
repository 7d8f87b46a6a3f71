"""When the leader's timers are due."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.oned_lite.lifecycle.work import Timer


class TimerClock:
    """Fires each timer every `interval_s`, or soon after one of the tables it wakes on has changed."""

    def __init__(self, timers: Sequence[Timer]) -> None:
        self._timers = timers
        self._next_ms = dict.fromkeys((timer.name for timer in timers), 0)
        self._last_ms = dict.fromkeys((timer.name for timer in timers), -(10**9))
        self._wakes = {table: [timer for timer in timers if table in timer.wakes_on] for table in _tables(timers)}

    def start(self, now_ms: int) -> None:
        """This server leads from now on: everything is due at once."""
        for timer in self._timers:
            self._next_ms[timer.name] = now_ms

    def table_changed(self, table: str) -> None:
        for timer in self._wakes.get(table, ()):
            earliest = self._last_ms[timer.name] + int(timer.pause_s * 1000)
            self._next_ms[timer.name] = min(self._next_ms[timer.name], earliest)

    def due(self, now_ms: int) -> list[Timer]:
        """The timers to run now; each is set for its next time."""
        found = [timer for timer in self._timers if self._next_ms[timer.name] <= now_ms]
        for timer in found:
            self._last_ms[timer.name] = now_ms
            self._next_ms[timer.name] = now_ms + int(timer.interval_s * 1000)
        return found


def _tables(timers: Iterable[Timer]) -> set[str]:
    return {table for timer in timers for table in timer.wakes_on}
