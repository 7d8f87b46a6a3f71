"""What goes wrong, drawn from the seed: every fault here ends by `heal`."""

from __future__ import annotations

from collections.abc import Callable

from .world import Server, World

FAULT_US_MAX = 3_000_000
KINDS = (
    "crash",
    "pause",
    "isolate",
    "one-way",
    "loss",
    "delay",
    "duplicate",
    "slow-disk",
    "full-disk",
    "clock",
    "hand-over",
)


class Nemesis:
    """Strikes at random moments. `kinds` names the faults it may use, so that a failing run can be made smaller."""

    def __init__(self, world: World, kinds: frozenset[str]) -> None:
        self._world = world
        self._faults: dict[str, Callable[[Server], None]] = {
            name: strike for name, strike in self._all().items() if name in kinds
        }
        self.active = True
        if self._faults:
            self._strike_later()

    @staticmethod
    def kinds() -> frozenset[str]:
        return frozenset(KINDS)

    def _all(self) -> dict[str, Callable[[Server], None]]:
        return {
            "crash": self._crash,
            "pause": self._pause,
            "isolate": self._isolate,
            "one-way": self._one_way,
            "loss": lambda _server: self._weather("loss", self._world.rng.choice((0.0, 0.05, 0.3))),
            "delay": lambda _server: self._weather("delay_us_max", self._world.rng.choice((2_000, 20_000, 200_000))),
            "duplicate": lambda _server: self._weather("duplicates", self._world.rng.choice((0.0, 0.2))),
            "slow-disk": self._slow_disk,
            "full-disk": self._full_disk,
            "clock": self._clock,
            "hand-over": self._hand_over,
        }

    def heal(self) -> None:
        """Ends everything: from now on all is well."""
        world = self._world
        world.note("heal everything")
        self.active = False
        world.weather.loss = world.weather.duplicates = 0.0
        world.weather.delay_us_max = 2_000
        world.weather.cut.clear()
        for server in world.servers:
            server.disk.slow = server.disk.full = server.paused = False
            server.clock_rate = 1.0
            if server.node is None:
                world.start(server)
            elif server.node.failed:
                world.crash(server)
                world.start(server)

    def _strike_later(self) -> None:
        def strike() -> None:
            if self.active:
                name = self._world.rng.choice(sorted(self._faults))
                self._faults[name](self._world.rng.choice(self._world.servers))
                self._strike_later()

        self._world.timeline.after(self._world.rng.randint(20_000, 1_200_000), strike)

    def _after_a_while(self, action: Callable[[], None]) -> None:
        def run() -> None:
            if self.active:
                action()

        self._world.timeline.after(self._world.rng.randint(10_000, FAULT_US_MAX), run)

    def _crash(self, server: Server) -> None:
        if server.node is not None:
            self._world.crash(server)
            self._after_a_while(lambda: self._world.start(server) if server.node is None else None)

    def _pause(self, server: Server) -> None:
        self._world.note(f"pause {server.number}")
        server.paused = True
        self._after_a_while(lambda: setattr(server, "paused", False))

    def _isolate(self, server: Server) -> None:
        others = [other.number for other in self._world.servers if other is not server]
        self._cut({(server.number, other) for other in others} | {(other, server.number) for other in others})

    def _one_way(self, server: Server) -> None:
        other = self._world.rng.choice([one.number for one in self._world.servers if one is not server])
        self._cut({(server.number, other)})

    def _cut(self, links: set[tuple[int, int]]) -> None:
        self._world.note(f"cut {sorted(links)}")
        self._world.weather.cut |= links
        self._after_a_while(lambda: self._world.weather.cut.difference_update(links))

    def _weather(self, name: str, value: float) -> None:
        self._world.note(f"{name} is {value}")
        setattr(self._world.weather, name, value)

    def _slow_disk(self, server: Server) -> None:
        self._world.note(f"disk of {server.number} is slow")
        server.disk.slow = True
        self._after_a_while(lambda: setattr(server.disk, "slow", False))

    def _full_disk(self, server: Server) -> None:
        """It is full until somebody makes room and starts the server again."""
        self._world.note(f"disk of {server.number} is full")
        server.disk.full = True

        def repair() -> None:
            server.disk.full = False
            if server.node is not None and server.node.failed:
                self._world.crash(server)
            if server.node is None:
                self._world.start(server)

        self._after_a_while(repair)

    def _clock(self, server: Server) -> None:
        server.clock_ahead_s = self._world.rng.randint(-100_000, 100_000)
        self._world.note(f"wall clock of {server.number} jumps to {server.clock_ahead_s:+} s")

    def _hand_over(self, server: Server) -> None:
        node = server.node
        if node is not None and not server.paused:
            self._world.note(f"server {server.number} is asked to hand over")
            node.hand_over(self._world.moment(server))
            self._world.settle(server)
