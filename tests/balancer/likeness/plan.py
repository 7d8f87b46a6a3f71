"""What a seed stands for."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.balancer.likeness.asked import Asked, asked
from tests.balancer.likeness.conf import Node, configuration

REQUESTS = 40


@dataclass(frozen=True, slots=True)
class Plan:
    """A configuration and the requests to it, one after the other. A smaller plan may differ as well, and is easier to
    read."""

    seed: int
    nodes: tuple[Node, ...]
    requests: tuple[Asked, ...]

    @property
    def text(self) -> str:
        return "\n".join(map(str, self.nodes))

    def __str__(self) -> str:
        return "\n".join([self.text, *map(str, self.requests)])


def plan(seed: int, requests: int = REQUESTS) -> Plan:
    rng = random.Random(f"{seed}/likeness")
    return Plan(seed, configuration(rng), tuple(asked(rng, number) for number in range(requests)))
