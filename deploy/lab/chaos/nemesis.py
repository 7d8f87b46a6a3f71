"""Injects faults one after the other, and heals every one of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence

from deploy.lab.chaos.cluster import Cluster
from deploy.lab.chaos.faults import FAULTS, Fault
from deploy.lab.chaos.history import History, Period

FAULT_S = (1.0, 4.0)
LONG_FAULT_S = (9.0, 14.0)
"""Beyond the time that systems go on repeating what is lost, and servers wait for an answer."""
LONG_SHARE = 0.15
LONG_RUN_S = 60.0
"""Shorter runs have no long faults."""
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
        """For so long, and at least until each fault was there once. The last one is healed when this returns, however it
        does."""
        clock, until_us = self._history.clock, int(seconds * 1_000_000)
        waiting = self._rng.sample(self._names, len(self._names))
        while clock.now_us() < until_us or len(self._history.periods) < len(self._names):
            await asyncio.sleep(self._rng.uniform(*CALM_S))
            waiting = waiting or self._rng.sample(self._names, len(self._names))
            name = waiting.pop()
            long = seconds >= LONG_RUN_S and self._rng.random() < LONG_SHARE
            lasts_s = self._rng.uniform(*(LONG_FAULT_S if long else FAULT_S))
            await self._once(name, FAULTS[name](self._cluster, self._rng), lasts_s)

    async def _once(self, name: str, fault: Fault, lasts_s: float) -> None:
        start_us = self._history.clock.now_us()
        target = ""
        try:
            target = await fault.inject()
            self._say(f"{name}: {target}")
            await asyncio.sleep(lasts_s)
        finally:
            beside = await fault.heal()
            end_us = self._history.clock.now_us()
            note = f"{target}; {beside}" if beside else target
            self._history.periods.append(Period(fault=name, target=note, start_us=start_us, end_us=end_us))
            self._say(f"{name}: healed" + (f"; {beside}" if beside else ""))
