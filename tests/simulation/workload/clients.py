"""All clients of a run."""

from __future__ import annotations

from services.oned_lite.state import Store

from ..world import World
from .calls import Calls
from .estate import Estate
from .registers import Registers


class Clients:
    """`count` clients, each with one call under way at a time."""

    def __init__(self, world: World, calls: Calls, count: int) -> None:
        self._world = world
        self._rng = world.rng("clients")
        self._registers = Registers(world, calls, self._rng)
        self._estate = Estate(world, calls, self._rng)
        self.running = True
        for _ in range(count):
            self._next()

    def _next(self) -> None:
        self._world.timeline.after(self._rng.randint(5_000, 120_000), self._act)

    def _act(self) -> None:
        if not self.running:
            return
        if self._rng.random() < (0.35 if self._estate.ready else 0.6):
            self._estate.act(self._next)
        else:
            self._registers.act(self._next)

    def chase(self, server: int) -> None:
        """Tempts a server to tell what is no longer true."""
        self._registers.chase(server)

    def check(self, store: Store) -> None:
        """Raises Violation where something that was promised is not kept."""
        self._registers.check(store)
        self._estate.check(store)
