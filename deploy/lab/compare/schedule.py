"""When requests are due: fixed before the first one is sent, so that a slow server cannot slow the questions. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: due `at_s` seconds after the start of the run, GET or POST."""

    at_s: float
    method: str


def arrivals(seed: int, rate: float, seconds: float, posts: float = 0.0) -> tuple[Arrival, ...]:
    """Independent users (a Poisson process) of `rate` requests per second; the share `posts` of them change something.

    The same seed gives the same arrivals to every arrangement.
    """
    dice = random.Random(seed)
    due, at_s = [], dice.expovariate(rate)
    while at_s < seconds:
        due.append(Arrival(at_s, "POST" if dice.random() < posts else "GET"))
        at_s += dice.expovariate(rate)
    return tuple(due)
