"""The clocks of one machine: a monotonic one that may run too fast or too slow, and a wall clock that may be anywhere."""

from __future__ import annotations

EPOCH_S = 1_800_000_000


class Clock:
    """True time is that of the timeline. The monotonic clock never runs backwards, whatever `set_rate` does."""

    def __init__(self) -> None:
        self.rate = 1.0
        self.wall_ahead_s = 0
        self._base_us = 0
        self._base_monotonic_us = 0.0

    def set_rate(self, now_us: int, rate: float) -> None:
        self._base_monotonic_us = self._monotonic_us(now_us)
        self._base_us = now_us
        self.rate = rate

    def monotonic_ms(self, now_us: int) -> int:
        return int(self._monotonic_us(now_us) / 1000)

    def epoch_s(self, now_us: int) -> int:
        return EPOCH_S + self.wall_ahead_s + now_us // 1_000_000

    def true_us(self, monotonic_us: int) -> int:
        """How long it really takes until this clock has gone on by `monotonic_us`."""
        return int(monotonic_us / self.rate)

    def _monotonic_us(self, now_us: int) -> float:
        return self._base_monotonic_us + (now_us - self._base_us) * self.rate
