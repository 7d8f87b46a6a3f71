"""Who adds and removes servers by the API, starts new ones, and takes away those that were removed."""

from __future__ import annotations

import random

from services.common.xmlrpc import Value
from services.oned_lite.model.zone import ZoneServer
from services.oned_lite.node.membership import zone_servers
from services.oned_lite.raft.types import Role

from ..machine import Machine
from ..world import World
from .calls import Calls

LOOK_US = 250_000
MORE_MAX = 2
SERVERS_MIN = 3


class Operator:
    """Looks at the zone every quarter of a second, as far as any running server knows it. What the zone has and nobody has
    started is started; what was removed is stopped after a while, once consensus is through with it, and sometimes its
    disk is wiped."""

    def __init__(self, world: World, calls: Calls) -> None:
        self._world = world
        self._calls = calls
        self._rng: random.Random = world.rng("operator")
        self._founders = len(world.machines)
        self._known_index = 0
        self._zone: dict[int, ZoneServer] = {}
        self._asked = 0
        self._busy = False
        self._leaving_us: dict[int, int] = {}
        self._look_later()

    @property
    def zone(self) -> dict[int, ZoneServer]:
        """The newest one seen."""
        return self._zone

    # ------------------------------------------------------------------ changes
    def strike(self) -> None:
        """Adds or removes somebody, if the last such call has been answered."""
        if self._busy or not self._zone:
            return
        size = len(self._zone)
        if size <= SERVERS_MIN or (size < self._founders + MORE_MAX and self._rng.random() < 0.5):
            self._add()
        else:
            self._remove(self._victim())

    def _add(self) -> None:
        self._asked += 1
        name = f"extra{self._asked}"
        text = f'SERVER = [ NAME = "{name}", ENDPOINT = "http://{name}:2633/RPC2" ]'
        self._ask("one.zone.addserver", [0, text], f"add {name}")

    def _victim(self) -> int:
        """The leader as often as anybody."""
        leaders = [number for number in self._zone if self._leads(number)]
        if leaders and self._rng.random() < 0.4:
            return leaders[0]
        return self._rng.choice(sorted(self._zone))

    def _leads(self, number: int) -> bool:
        machine = self._world.machines.get(number)
        return machine is not None and machine.node is not None and machine.node.raft.role is Role.LEADER

    def _remove(self, number: int) -> None:
        if self._leads(number):
            self._world.coverage.hit("leaders removed")
        self._ask("one.zone.delserver", [0, number], f"remove {number}")

    def _ask(self, method: str, arguments: list[Value], what: str) -> None:
        self._busy = True
        self._world.note(f"operator asks to {what}")

        def ended(outcome: str, value: Value) -> None:
            self._busy = False
            self._world.note(f"operator's wish to {what}: {outcome}{f' ({value})' if outcome == 'failed' else ''}")

        self._calls.call(method, arguments, ended)

    # ------------------------------------------------------------------ machines
    def _look_later(self) -> None:
        def look() -> None:
            self.look()
            self._look_later()

        self._world.timeline.after(LOOK_US, look)

    def look(self) -> None:
        node = self._world.most_advanced()
        if node is None or node.store.applied_index < self._known_index:
            return
        self._known_index = node.store.applied_index
        self._zone = zone_servers(node.store)
        for number in self._zone:
            self._see_to(number)
        self._welcome_back(node.raft.configuration.voters)
        if self._busy or node.raft.membership_changing:
            return
        for machine in list(self._world.machines.values()):
            if self._zone and machine.number not in self._zone and machine.number not in node.raft.configuration:
                self._take_away(machine)

    def _see_to(self, number: int) -> None:
        """A member runs, unless a fault has stopped it."""
        self._leaving_us.pop(number, None)
        machine = self._world.machines.get(number)
        if machine is None:
            self._world.coverage.hit("joined empty")
            self._world.start(self._world.add_machine(number))
        elif machine.retired:
            self._world.coverage.hit("came back")
            self._world.start(machine)

    def _welcome_back(self, voters: tuple[int, ...]) -> None:
        """Servers that had lost their disks and vote again."""
        for number in voters:
            machine = self._world.machines.get(number)
            if machine is None or not machine.wiped or machine.node is None:
                continue
            raft = machine.node.raft
            if not raft.emptied and number in raft.configuration.voters and raft.commit_index:
                machine.wiped = False
                self._world.coverage.hit("taken back after loss")

    def _take_away(self, machine: Machine) -> None:
        now_us = self._world.timeline.now_us
        due_us = self._leaving_us.setdefault(machine.number, now_us + self._rng.randint(500_000, 4_000_000))
        if machine.retired or machine.paused or now_us < due_us:
            return
        if machine.node is not None:
            if machine.node.status().role == "removed":
                self._world.coverage.hit("told of removal")
            self._world.crash(machine)
        machine.retired = True
        machine.wiped = False
        if self._rng.random() < 0.5:
            self._world.note(f"server {machine.number} is wiped")
            self._world.coverage.hit("wiped after removal")
            self._world.wipe(machine)
            machine.joins = True
