"""Clients that write and read through any server, and remember what they were told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from deploy.lab.checks.linearizability import FOREVER, Operation, linearizable
from services.common.xmlrpc import Value
from services.oned_lite.model.vmtemplate import TEMPLATES
from services.oned_lite.state import Store

from .invariants import Violation
from .world import World

ADMIN = "oneadmin:opennebula"
REGISTERS = 3
OPERATIONS_MAX = 40
DEFINITE = ("no leader", "in election mode", "replicating log", "too many writes", "already taken", "Error getting")
GIVE_UP_US = 4_000_000


@dataclass
class Register:
    """A template whose attribute VALUE clients write and read."""

    oid: int = -1
    operations: list[Operation] = field(default_factory=list)


class Clients:
    """`count` clients, each with one call under way at a time. A call ends ok, failed (nothing happened) or unknown."""

    def __init__(self, world: World, count: int) -> None:
        self._world = world
        self._values = 0
        self.registers = [Register() for _ in range(REGISTERS)]
        self.allocated: dict[int, str] = {}
        self.running = True
        self.acknowledged = 0
        for _ in range(count):
            self._next()

    # ------------------------------------------------------------------ one client
    def _next(self) -> None:
        self._world.timeline.after(self._world.rng.randint(1_000, 80_000), self._act)

    def _act(self) -> None:
        if not self.running:
            return
        rng = self._world.rng
        register = rng.choice(self.registers)
        if register.oid < 0 or rng.random() < 0.2:
            self._allocate(register)
        elif len(register.operations) >= OPERATIONS_MAX:
            self._next()
        elif rng.random() < 0.5:
            self._write(register)
        else:
            self._read(register)

    def _allocate(self, register: Register) -> None:
        """A new object under a new name; the first ones become registers. A name is used once only."""
        self._values += 1
        name = f"t{self._values}"

        def done(outcome: str, value: Value) -> None:
            if outcome == "ok":
                assert isinstance(value, int)
                if value in self.allocated:
                    raise Violation(f"id {value} was given out for {self.allocated[value]} and for {name}")
                self.allocated[value] = name
                if register.oid < 0:
                    register.oid = value

        self._call("one.template.allocate", [f"NAME = {name}\nVALUE = none"], done)

    def _write(self, register: Register) -> None:
        self._values += 1
        value = f"v{self._values}"
        start = self._world.timeline.now_us

        def done(outcome: str, _value: Value) -> None:
            end = self._world.timeline.now_us
            if outcome != "failed":
                register.operations.append(Operation(start, end if outcome == "ok" else FOREVER, True, value))

        self._call("one.template.update", [register.oid, f"VALUE = {value}", 1], done)

    def _read(self, register: Register) -> None:
        start = self._world.timeline.now_us

        def done(outcome: str, answer: Value) -> None:
            if outcome == "ok":
                found = re.search(r"<VALUE><!\[CDATA\[(\w+)", str(answer))
                assert found is not None, answer
                register.operations.append(Operation(start, self._world.timeline.now_us, False, found[1]))

        self._call("one.template.info", [register.oid], done, linearizable=True)

    # ------------------------------------------------------------------ calls
    def _call(self, method: str, arguments: list[Value], done: object, *, linearizable: bool = False) -> None:
        assert callable(done)
        finished = False

        def end(outcome: str, value: Value) -> None:
            nonlocal finished
            if not finished:
                finished = True
                self.acknowledged += outcome == "ok"
                done(outcome, value)
                self._next()

        def answered(answer: Value) -> None:
            assert isinstance(answer, list), answer
            if answer[0] is True:
                end("ok", answer[1])
            else:
                end("failed" if any(text in str(answer[1]) for text in DEFINITE) else "unknown", answer[1])

        target = self._world.rng.randrange(len(self._world.servers))
        if self._world.request(target, method, [ADMIN, *arguments], answered, linearizable=linearizable):
            self._world.timeline.after(GIVE_UP_US, lambda: end("unknown", None))
        else:
            end("failed", None)

    # ------------------------------------------------------------------ judgement
    def check(self, store: Store) -> None:
        """Every acknowledged object is there; every register's history is linearizable."""
        for oid, name in self.allocated.items():
            row = store.get(TEMPLATES.table, oid)
            if row is None or row.name != name:
                raise Violation(f"template {oid} ({name}) was acknowledged and is gone")
        for register in self.registers:
            if not linearizable(register.operations, "none"):
                raise Violation(f"the history of template {register.oid} is not linearizable: {register.operations}")
