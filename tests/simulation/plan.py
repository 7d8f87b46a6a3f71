"""What a seed stands for: how many servers, which faults may happen, and when they strike."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

KINDS = (
    "crash",
    "power-loss",
    "restart",
    "pause",
    "lost-disk",
    "isolate",
    "one-way",
    "groups",
    "forsake",
    "links",
    "loss",
    "delay",
    "duplicate",
    "reorder",
    "slow-disk",
    "stalled-disk",
    "failing-disk",
    "full-disk",
    "drift",
    "clock-jump",
    "hand-over",
    "membership",
)
MORE_OFTEN = {"membership": 3}
"""It takes many changes to come to an uncommon membership, and none begins before the last one is answered."""
SIZES = (3, 3, 3, 3, 3, 3, 5, 5, 5, 7)
FAULTY_US = 8_000_000
PAUSE_US = (20_000, 700_000)


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault of `kind` happens at `at_us`; whom it hits, how hard and for how long is drawn from its own `seed`."""

    at_us: int
    kind: str
    seed: int

    def __str__(self) -> str:
        return f"{self.at_us / 1e6:.3f} s {self.kind}"


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. The same plan is the same run; a smaller one may fail as well and be easier to read."""

    seed: int
    servers: int
    faulty_us: int
    strikes: tuple[Strike, ...] = field(repr=False)

    @property
    def kinds(self) -> list[str]:
        return sorted({strike.kind for strike in self.strikes})


def plan(
    seed: int, *, servers: int | None = None, kinds: frozenset[str] | None = None, faulty_us: int = FAULTY_US
) -> Plan:
    """What is left open is drawn from the seed. A run has half of all kinds of faults or so: those it has then meet more
    often, and each pair of kinds meets in some run without the others in its way."""
    rng = random.Random(f"{seed}/plan")
    size = rng.choice(SIZES)
    some = [kind for kind in KINDS if rng.random() < 0.5] or list(KINDS)
    chosen = some if kinds is None else sorted(kinds)
    strikes, at_us = [], rng.randint(*PAUSE_US)
    while chosen and at_us < faulty_us:
        [kind] = rng.choices(chosen, [MORE_OFTEN.get(one, 1) for one in chosen])
        strikes.append(Strike(at_us, kind, rng.getrandbits(32)))
        at_us += rng.randint(*PAUSE_US)
    return Plan(seed, size if servers is None else servers, faulty_us, tuple(strikes))
