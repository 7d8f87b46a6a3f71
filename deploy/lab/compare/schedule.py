"""When requests are due: fixed before the first one is sent, so that a slow server cannot slow the questions. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: due `at_s` seconds after the start of the run, GET or POST, over a kept connection or one of its own."""

    at_s: float
    method: str
    kept: bool


def arrivals(seed: int, rate: float, seconds: float, posts: float = 0.0, kept: float = 0.0) -> tuple[Arrival, ...]:
    """Independent users (a Poisson process) of `rate` requests per second; `posts` and `kept` are shares, 0 to 1.

    The same seed gives the same arrivals to every arrangement.
    """
    dice = random.Random(seed)
    due, at_s = [], dice.expovariate(rate)
    while at_s < seconds:
        method = "POST" if dice.random() < posts else "GET"
        due.append(Arrival(at_s, method, dice.random() < kept))
        at_s += dice.expovariate(rate)
    return tuple(due)
