"""How long to wait before a worker that died is replaced."""

from __future__ import annotations

FIRST_S = 0.25
LONGEST_S = 10.0
CALM_S = 10.0


class Backoff:
    """At once for a worker that had lived for a while; else twice as long each time, up to LONGEST_S."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def after(self, lived_s: float) -> float:
        """The delay in seconds after a life of ``lived_s`` seconds."""
        if lived_s >= CALM_S:
            self._next_s = 0.0
        delay_s = self._next_s
        self._next_s = min(LONGEST_S, max(FIRST_S, delay_s * 2))
        return delay_s
