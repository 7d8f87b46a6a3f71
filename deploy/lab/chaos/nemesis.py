"""Injects faults one after the other, and heals every one of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from deploy.lab.chaos.cluster import Cluster
from deploy.lab.chaos.faults import FAULTS, Fault
from deploy.lab.chaos.history import History, Period

FAULT_S = (1.0, 4.0)
CALM_S = (0.5, 2.0)


class Nemesis:
    """`names` of faults in an order drawn from `rng`: each once, then each once again, and so on."""

    def __init__(
        self, cluster: Cluster, names: Sequence[str], rng: random.Random, history: History, say: Callable[[str], None]
    ) -> None:
        self._cluster = cluster
        self._names = names
        self._rng = rng
        self._history = history
        self._say = say

    async def run(self, seconds: float) -> None:
        """The last fault is healed when this returns, however it does."""
        clock, until_us = self._history.clock, int(seconds * 1_000_000)
        waiting: list[str] = []
        while clock.now_us() < until_us:
            await asyncio.sleep(self._rng.uniform(*CALM_S))
            waiting = waiting or self._rng.sample(self._names, len(self._names))
            name = waiting.pop()
            await self._once(name, FAULTS[name](self._cluster, self._rng))

    async def _once(self, name: str, fault: Fault) -> None:
        start_us = self._history.clock.now_us()
        target = ""
        try:
            target = await fault.inject()
            self._say(f"{name}: {target}")
            await asyncio.sleep(self._rng.uniform(*FAULT_S))
        finally:
            await fault.heal()
            end_us = self._history.clock.now_us()
            self._history.periods.append(Period(fault=name, target=target, start_us=start_us, end_us=end_us))
            self._say(f"{name}: healed")
