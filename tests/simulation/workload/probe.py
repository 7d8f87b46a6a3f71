"""Demands progress while a majority is well: a write through one of them is acknowledged within a bound of time."""

from __future__ import annotations

from itertools import combinations

from services.common.xmlrpc import Value
from services.oned_lite.raft.quorum import majority

from ..invariants import Violation
from ..world import World
from .calls import Calls

LOOK_US = 50_000
BOUND_US = 4_000_000
CLIENT_TIMEOUT_US = 1_500_000
PAUSE_US = 300_000
MILD_DELAY_US = 20_000
Group = tuple[int, ...]


class Probe:
    """A client that writes through the healthy majority, one server after the other, until one acknowledges. `worst_us`:
    the longest that it has had to wait."""

    def __init__(self, world: World, calls: Calls) -> None:
        self._world = world
        self._calls = calls
        self._group: Group = ()
        self._since_us = 0
        self._generation = 0
        self._turn = 0
        self.worst_us = 0
        self.running = True
        self._look()

    def _look(self) -> None:
        if not self.running:
            return
        now_us, group = self._world.timeline.now_us, self._healthy_majority()
        if group != self._group:
            self._group, self._since_us = group, now_us
            self._generation += 1
            if group:
                self._ask(self._generation)
        if group and now_us - self._since_us > BOUND_US:
            raise Violation(f"no write is acknowledged though servers {group} have been well for {BOUND_US / 1e6:g} s")
        self._world.timeline.after(LOOK_US, self._look)

    def _ask(self, generation: int) -> None:
        if not self.running or generation != self._generation:
            return
        self._turn += 1
        through = self._group[self._turn % len(self._group)]

        def ended(outcome: str, _value: Value) -> None:
            if generation != self._generation:
                return
            now_us = self._world.timeline.now_us
            if outcome != "ok":
                self._world.timeline.after(20_000, lambda: self._ask(generation))
                return
            self._world.coverage.hit("probes")
            self.worst_us = max(self.worst_us, now_us - self._since_us)
            self._since_us = now_us + PAUSE_US
            self._world.timeline.after(PAUSE_US, lambda: self._ask(generation))

        arguments: list[Value] = [0, f"PROBE = {self._turn}", 1]
        self._calls.call("one.user.update", arguments, ended, through=through, give_up_us=CLIENT_TIMEOUT_US)

    def _healthy_majority(self) -> Group:
        """The same one as before, if it still is one."""
        world = self._world
        if world.network.weather.loss or world.network.weather.delay_us_max > MILD_DELAY_US:
            return ()
        voters = world.voters()
        well = [voter for voter in voters if voter in world.machines and world.machines[voter].healthy]
        size = majority(len(voters))
        if len(well) < size:
            return ()
        if self._group and set(self._group) <= set(well) and len(self._group) >= size and self._joined(self._group):
            return self._group
        if self._joined(tuple(well)):
            return tuple(well)
        return next((group for group in combinations(well, size) if self._joined(group)), ())

    def _joined(self, group: Group) -> bool:
        """Whether each of them reaches each other one."""
        return all(self._world.network.is_up(a, b) for a, b in combinations(group, 2))
