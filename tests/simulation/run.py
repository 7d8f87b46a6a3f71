"""One plan, from the first election under faults to equal states after healing."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
from traceback import format_exc

from services.oned_lite.raft.types import Role

from .coverage import Coverage
from .faults import Nemesis
from .invariants import Violation
from .plan import Plan
from .workload.calls import Calls
from .workload.clients import Clients
from .workload.operator import Operator
from .workload.probe import Probe
from .world import World

CLIENTS = 5
PROBED_US = 1_500_000
"""How long after healing the clients go on, and progress is demanded."""
CONVERGING_US = 15_000_000
ANSWERED_US = 2_000_000
"""What was asked so long before healing must be answered by the end."""
QUIET_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Result:
    """`violation` is empty where everything held. `worst_us`: the longest that a healthy majority took to acknowledge a
    write; `converged_us`: how long after healing all was as it should be."""

    plan: Plan
    violation: str
    trace: tuple[str, ...] = field(repr=False)
    coverage: Coverage = field(repr=False)
    steps: int
    worst_us: int
    converged_us: int


class Run:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._world = World(plan.seed, plan.servers)
        calls = Calls(self._world)
        self._clients = Clients(self._world, calls, CLIENTS)
        self._operator = Operator(self._world, calls)
        self._probe = Probe(self._world, calls)
        self._nemesis = Nemesis(self._world, plan, self._operator, self._clients)
        self._converged_us = 0

    def result(self) -> Result:
        violation = ""
        try:
            self._go()
        except Violation as found:
            violation = str(found)
        except Exception:
            violation = format_exc()
        world = self._world
        return Result(
            self._plan,
            violation,
            tuple(world.trace),
            world.coverage,
            world.steps,
            self._probe.worst_us,
            self._converged_us,
        )

    def _go(self) -> None:
        timeline = self._world.timeline
        timeline.run(self._plan.faulty_us)
        self._nemesis.heal()
        timeline.run(timeline.now_us + PROBED_US)
        self._clients.running = self._probe.running = False
        self._converge()
        self._stay_quiet()
        if silent := self._world.unanswered(self._plan.faulty_us - ANSWERED_US):
            raise Violation(f"servers {silent} never answered something that they were asked")
        for number in self._operator.zone:
            node = self._world.machines[number].node
            assert node is not None
            self._clients.check(node.store)

    def _converge(self) -> None:
        """Waits until every member has the same state, one of them leads, and all of them vote."""
        timeline = self._world.timeline
        began_us = timeline.now_us
        while (difference := self._difference()) and timeline.now_us < began_us + CONVERGING_US:
            timeline.run(timeline.now_us + 20_000)
        if difference:
            raise Violation(f"{difference}, {(CONVERGING_US + PROBED_US) / 1e6:g} s after everything was healed")
        self._converged_us = timeline.now_us - began_us + PROBED_US

    def _difference(self) -> str:
        world, zone = self._world, self._operator.zone
        self._operator.look()
        nodes = [machine.node for number, machine in world.machines.items() if number in zone]
        running = [node for node in nodes if node is not None]
        if len(running) != len(zone) or not zone:
            return f"of servers {sorted(zone)} only {len(running)} run"
        statuses = [node.status() for node in running]
        voters = {status.voters for status in statuses}
        if voters != {tuple(sorted(zone))} or any(status.learners for status in statuses):
            return f"servers {sorted(zone)} belong to the zone, {sorted(voters)} vote"
        if len({(status.applied_index, status.state_hash) for status in statuses}) != 1:
            return f"states differ: {[(one.server_id, one.applied_index, one.role) for one in statuses]}"
        if ignorant := [number for number in world.machines if number not in zone and self._takes_part(number)]:
            return f"servers {ignorant} do not know that they were removed"
        if [status.role for status in statuses].count(Role.LEADER.value) != 1:
            return f"not one leader: {[(one.server_id, one.role) for one in statuses]}"
        return ""

    def _takes_part(self, number: int) -> bool:
        node = self._world.machines[number].node
        return node is not None and node.status().role != "removed"

    def _stay_quiet(self) -> None:
        """Nobody disturbs a leader in peace, least of all servers that were removed."""
        before = self._leaders()
        self._world.timeline.run(self._world.timeline.now_us + QUIET_US)
        if self._leaders() != before:
            raise Violation(f"in peace the leaders (server, term) went from {before} to {self._leaders()}")

    def _leaders(self) -> list[tuple[int, int]]:
        nodes = [machine.node for machine in self._world.machines.values() if machine.node is not None]
        return [(node.raft.server_id, node.raft.term) for node in nodes if node.raft.role is Role.LEADER]


def run(plan: Plan) -> Result:
    """Without looking for cyclic garbage meanwhile, which takes a tenth of the time: at the end the whole world is some."""
    gc.disable()
    try:
        return Run(plan).result()
    finally:
        gc.enable()
