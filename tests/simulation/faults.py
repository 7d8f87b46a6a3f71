"""What goes wrong. Every fault here ends by itself after a while, or by `heal`."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import product

from services.oned_lite.raft.quorum import majority
from services.oned_lite.raft.types import Role

from .machine import Machine
from .network import Link
from .plan import Plan, Strike
from .workload.clients import Clients
from .workload.operator import Operator
from .world import ELECTION_TIMEOUT_MS, World

FAULT_US = (10_000, 3_000_000)
RATES = (0.5, 0.8, 0.95, 1.05, 1.25, 2.0)
SUCCESSION_US = (50_000, 200_000)
"""When somebody else leads, while a forsaken leader may still take itself for one."""
REPLACED_US = (2 * ELECTION_TIMEOUT_MS * 1000, 3_000_000)
"""How long it takes to put a new disk into a server."""


class Nemesis:
    """Carries out the strikes of a plan. Fault `lost-disk` is a method `lost_disk` here, and so on."""

    def __init__(self, world: World, plan: Plan, operator: Operator, clients: Clients) -> None:
        self._world = world
        self._clients = clients
        self._operator = operator
        self._active = True
        for strike in plan.strikes:
            world.timeline.after(strike.at_us, lambda one=strike: self._strike(one))  # type: ignore[misc]

    def heal(self) -> None:
        """Ends everything: from now on all is well."""
        world = self._world
        world.note("heal everything")
        self._active = False
        world.network.heal()
        for machine in world.machines.values():
            disk = machine.disk
            disk.slow = disk.stalled = disk.full = disk.failing = False
            self._set_rate(machine, 1.0)
            world.resume(machine)
            if machine.stopping:
                world.crash(machine)  # its service manager waits no longer
            self._restart(machine)
        world.network.refresh()

    # ------------------------------------------------------------------ when
    def _strike(self, strike: Strike) -> None:
        if not self._active:
            return
        rng = random.Random(strike.seed)
        machine = self._world.machines[rng.choice(sorted(self._world.machines))]
        leader = next((one for one in self._world.machines.values() if _leads(one)), machine)
        target = leader if rng.random() < 0.25 else machine
        fault: Callable[[Machine, random.Random], None] = getattr(self, strike.kind.replace("-", "_"))
        if not target.retired:
            fault(target, rng)

    def _after_a_while(
        self, rng: random.Random, action: Callable[[], None], within: tuple[int, int] = FAULT_US
    ) -> None:
        self._world.timeline.after(rng.randint(*within), lambda: action() if self._active else None)

    # ------------------------------------------------------------------ servers
    def crash(self, machine: Machine, rng: random.Random) -> None:
        if machine.node is not None:
            self._world.crash(machine)
            self._after_a_while(rng, lambda: self._restart(machine))

    def power_loss(self, machine: Machine, rng: random.Random) -> None:
        """One machine's, or everybody's at once."""
        hit = list(self._world.machines.values()) if rng.random() < 0.2 else [machine]
        for one in hit:
            if one.node is not None:
                self._world.crash(one, noticed=False)
                self._after_a_while(rng, lambda who=one: self._restart(who))  # type: ignore[misc]

    def restart(self, machine: Machine, rng: random.Random) -> None:
        """A clean stop, and a start after it."""
        if machine.node is not None and not machine.stopping and not machine.paused:
            self._world.stop(machine)
            self._after_a_while(rng, lambda: self._restart(machine), (300_000, 3_000_000))

    def _restart(self, machine: Machine) -> None:
        if machine.node is None and not machine.retired:
            self._world.start(machine)

    def pause(self, machine: Machine, rng: random.Random) -> None:
        if machine.node is not None and not machine.paused:
            self._world.pause(machine)
            self._after_a_while(rng, lambda: self._world.resume(machine))

    def lost_disk(self, machine: Machine, rng: random.Random) -> None:
        """Only where a majority keeps its own: what only the lost disks had acknowledged, nobody can bring back."""
        world, voters = self._world, self._world.voters()
        held = [voter for voter in voters if voter in world.machines and _has_data(world.machines[voter])]
        if machine.number not in held or len(held) <= majority(len(voters)):
            return
        if machine.node is not None:
            world.crash(machine, noticed=rng.random() < 0.5)
        world.note(f"the disk of {machine.number} is lost")
        world.coverage.hit("disks lost")
        world.wipe(machine)
        machine.wiped = True
        self._after_a_while(rng, lambda: self._restart(machine), REPLACED_US)

    # ------------------------------------------------------------------ network
    def isolate(self, machine: Machine, rng: random.Random) -> None:
        others = self._others(machine)
        self._cut({*product([machine.number], others), *product(others, [machine.number])}, rng)

    def one_way(self, machine: Machine, rng: random.Random) -> None:
        """It is not heard any more, or does not hear, by one other or by all."""
        others = self._others(machine)
        if rng.random() < 0.6:
            others = [rng.choice(others)]
        links = set(product([machine.number], others))
        self._cut(links if rng.random() < 0.5 else {(b, a) for a, b in links}, rng)

    def groups(self, _machine: Machine, rng: random.Random) -> None:
        """Halves; two halves with one server that reaches both; or a ring, in which each reaches its neighbours only."""
        numbers = sorted(self._world.machines)
        rng.shuffle(numbers)
        shape, middle = rng.choice(("halves", "bridge", "ring")), len(numbers) // 2
        if shape == "ring":
            near = {(a, b) for a, b in zip(numbers, [*numbers[1:], numbers[0]], strict=True)}
            links = {(a, b) for a, b in product(numbers, numbers) if a != b and not {(a, b), (b, a)} & near}
        else:
            left, right = numbers[:middle], numbers[middle + (shape == "bridge") :]
            links = {*product(left, right), *product(right, left)}
        self._world.note(f"the network is cut: {shape} of {numbers}")
        self._cut(links, rng)

    def links(self, machine: Machine, rng: random.Random) -> None:
        """Connections break, with all that was under way."""
        others = self._others(machine)
        for other in rng.sample(others, rng.randint(1, len(others))):
            self._world.note(f"the link between {machine.number} and {other} breaks")
            self._world.network.disconnect(machine, self._world.machines[other])

    def forsake(self, machine: Machine, rng: random.Random) -> None:
        """The leader, if there is one: the others notice at once that it is gone, and it does not."""
        machine = next((one for one in self._world.machines.values() if _leads(one)), machine)
        self._world.note(f"server {machine.number} is forsaken")
        others = self._others(machine)
        self._cut({*product([machine.number], others), *product(others, [machine.number])}, rng)
        self._world.network.forsake(machine)
        self._world.timeline.after(rng.randint(*SUCCESSION_US), lambda: self._clients.chase(machine.number))

    def _others(self, machine: Machine) -> list[int]:
        return [number for number in sorted(self._world.machines) if number != machine.number]

    def _cut(self, links: set[Link], rng: random.Random) -> None:
        hold = rng.random() < 0.4
        self._world.note(f"{'hold back' if hold else 'cut'} {sorted(links)}")
        end = self._world.network.cut(links, hold=hold)

        def mend() -> None:
            self._world.note(f"mend {sorted(links)}")
            end()

        self._after_a_while(rng, mend)

    def loss(self, _machine: Machine, rng: random.Random) -> None:
        self._weather("loss", rng.choice((0.02, 0.1, 0.3)), 0.0, rng)

    def delay(self, _machine: Machine, rng: random.Random) -> None:
        self._weather("delay_us_max", rng.choice((20_000, 80_000, 250_000)), 2_000, rng)

    def duplicate(self, _machine: Machine, rng: random.Random) -> None:
        self._weather("duplicates", 0.2, 0.0, rng)

    def reorder(self, _machine: Machine, rng: random.Random) -> None:
        self._weather("reorder", True, False, rng)
        self._weather("delay_us_max", 20_000, 2_000, rng)

    def _weather(self, name: str, value: float, normal: float, rng: random.Random) -> None:
        self._world.note(f"{name} is {value}")
        setattr(self._world.network.weather, name, value)

        def clear() -> None:
            self._world.note(f"{name} is {normal}")
            setattr(self._world.network.weather, name, normal)

        self._after_a_while(rng, clear)

    # ------------------------------------------------------------------ disks
    def slow_disk(self, machine: Machine, rng: random.Random) -> None:
        self._world.coverage.hit("slow disks")
        self._trouble(machine, "slow", rng)

    def stalled_disk(self, machine: Machine, rng: random.Random) -> None:
        self._world.coverage.hit("stalls")
        self._trouble(machine, "stalled", rng)

    def full_disk(self, machine: Machine, rng: random.Random) -> None:
        self._trouble(machine, "full", rng)

    def failing_disk(self, machine: Machine, _rng: random.Random) -> None:
        """The next write fails, and may have happened."""
        machine.disk.failing = True

    def _trouble(self, machine: Machine, name: str, rng: random.Random) -> None:
        disk = machine.disk
        self._world.note(f"disk of {machine.number} is {name}")
        setattr(disk, name, True)

        def end() -> None:
            self._world.note(f"disk of {machine.number} is no longer {name}")
            setattr(disk, name, False)

        self._after_a_while(rng, end)

    # ------------------------------------------------------------------ clocks
    def drift(self, machine: Machine, rng: random.Random) -> None:
        self._set_rate(machine, rng.choice(RATES))
        self._after_a_while(rng, lambda: self._set_rate(machine, 1.0))

    def _set_rate(self, machine: Machine, rate: float) -> None:
        if machine.clock.rate != rate:
            self._world.coverage.hit("rates changed")
            self._world.note(f"clock of {machine.number} runs at {rate:g}")
            machine.clock.set_rate(self._world.timeline.now_us, rate)

    def clock_jump(self, machine: Machine, rng: random.Random) -> None:
        self._world.coverage.hit("wall clock jumps")
        machine.clock.wall_ahead_s = rng.randint(-100_000, 100_000)
        self._world.note(f"wall clock of {machine.number} jumps to {machine.clock.wall_ahead_s:+} s")

    # ------------------------------------------------------------------ consensus
    def hand_over(self, machine: Machine, _rng: random.Random) -> None:
        if machine.node is not None and not machine.paused:
            self._world.note(f"server {machine.number} is asked to hand over")
            machine.node.hand_over(self._world.moment(machine))
            self._world.settle(machine)

    def membership(self, _machine: Machine, _rng: random.Random) -> None:
        self._operator.strike()


def _leads(machine: Machine) -> bool:
    return machine.node is not None and machine.node.raft.role is Role.LEADER


def _has_data(machine: Machine) -> bool:
    return not machine.wiped and machine.disk.last_index > 0
