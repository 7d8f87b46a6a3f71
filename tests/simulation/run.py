"""One seed, from the first election under faults to equal states after healing."""

from __future__ import annotations

import random
from dataclasses import dataclass

from .faults import Nemesis
from .invariants import Violation
from .workload import Clients
from .world import World

FAULTY_US = 12_000_000
HEALING_US = 6_000_000
CONVERGING_US = 5_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What a seed stands for. `faulty_us` and `kinds` may be made smaller to find the shortest trace that still fails."""

    seed: int
    faulty_us: int = FAULTY_US
    kinds: frozenset[str] = Nemesis.kinds()

    @property
    def servers(self) -> int:
        return random.Random(self.seed ^ 0x5EED).choice((3, 3, 3, 5))


@dataclass(frozen=True, slots=True)
class Result:
    """`violation` is empty where everything held."""

    plan: Plan
    violation: str
    trace: tuple[str, ...]
    acknowledged: int
    steps: int


def run(plan: Plan) -> Result:
    world = World(plan.seed, plan.servers)
    clients = Clients(world, count=4)
    nemesis = Nemesis(world, plan.kinds)
    violation = ""
    try:
        _until(world, plan.faulty_us)
        nemesis.heal()
        _until(world, world.timeline.now_us + HEALING_US // 2)
        before = clients.acknowledged
        _until(world, world.timeline.now_us + HEALING_US // 2)
        clients.running = False
        _converge(world)
        if clients.acknowledged == before:
            raise Violation("no progress after everything was healed")
        for server in world.servers:
            assert server.node is not None
            world.invariants.unique_names(server.node)
            clients.check(server.node.store)
    except Violation as found:
        violation = str(found)
    return Result(plan, violation, tuple(world.trace), clients.acknowledged, world.steps)


def shrink(result: Result) -> Result:
    """The smallest failing run found: fewer kinds of faults first, then less time."""
    best = result
    for kind in sorted(best.plan.kinds):
        smaller = run(Plan(best.plan.seed, best.plan.faulty_us, best.plan.kinds - {kind}))
        if smaller.violation:
            best = smaller
    for percent in (20, 40, 60, 80):
        smaller = run(Plan(best.plan.seed, best.plan.faulty_us * percent // 100, best.plan.kinds))
        if smaller.violation:
            return smaller
    return best


def _until(world: World, end_us: int) -> None:
    while world.timeline.now_us < end_us and world.timeline.step():
        pass


def _converge(world: World) -> None:
    """Waits for a moment in which every server has the same state and one of them leads."""
    end_us = world.timeline.now_us + CONVERGING_US
    while (difference := _difference(world)) and world.timeline.now_us < end_us:
        _until(world, world.timeline.now_us + 20_000)
    if difference:
        raise Violation(difference)


def _difference(world: World) -> str:
    statuses = [server.node.status() for server in world.servers if server.node is not None]
    if len(statuses) != len(world.servers):
        return "a server is still down after healing"
    if len({(status.applied_index, status.state_hash) for status in statuses}) != 1:
        return f"states differ after healing: {[(s.server_id, s.applied_index, s.role) for s in statuses]}"
    if sum(status.role == "leader" for status in statuses) != 1:
        return f"not one leader after healing: {[(s.server_id, s.role) for s in statuses]}"
    return ""
