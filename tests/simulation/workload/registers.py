"""Clients that write and read attributes of templates, whose histories must be linearizable."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from deploy.lab.checks.linearizability import FOREVER, Operation, Undecided, linearizable
from services.common.xmlrpc import Value
from services.oned_lite.model.vmtemplate import TEMPLATES
from services.oned_lite.state import Store

from ..invariants import Violation
from ..world import World
from .calls import Calls

Done = Callable[[], None]
AT_ONCE = 3
OPERATIONS_MAX = 40
"""A register has its history; then another one takes its place, so that each can be judged quickly."""


@dataclass
class Register:
    """A template whose attribute VALUE clients write and read. `operations` by number; those under way are unknown."""

    oid: int
    operations: dict[int, Operation] = field(default_factory=dict)


class Registers:
    def __init__(self, world: World, calls: Calls, rng: random.Random) -> None:
        self._world = world
        self._calls = calls
        self._rng = rng
        self._number = 0
        self._full: list[Register] = []
        self._open: list[Register] = []
        self._allocated: dict[int, str] = {}

    def act(self, done: Done) -> None:
        """One call of one client."""
        rng = self._rng
        if len(self._open) < AT_ONCE or rng.random() < 0.05:
            self._allocate(done)
        elif rng.random() < 0.5:
            self._write(rng.choice(self._open), done)
        else:
            self._read(rng.choice(self._open), done)

    def chase(self, server: int) -> None:
        """Writes through another server and reads through this one as soon as that is done: a leader that was replaced
        and has not noticed must not tell what it knows."""
        others = [number for number in sorted(self._world.machines) if number != server]
        if self._open and others:
            register = self._rng.choice(self._open)
            self._write(register, lambda: self._read(register, _nothing, server), self._rng.choice(others))

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _allocate(self, done: Done) -> None:
        """A name is used once only."""
        name = f"t{self._next()}"

        def ended(outcome: str, value: Value) -> None:
            if outcome == "ok":
                assert isinstance(value, int)
                if value in self._allocated:
                    raise Violation(f"id {value} was given out for {self._allocated[value]} and for {name}")
                self._allocated[value] = name
                if len(self._open) < AT_ONCE:
                    self._open.append(Register(value))
            done()

        self._calls.call("one.template.allocate", [f"NAME = {name}\nVALUE = none"], ended)

    def _write(self, register: Register, done: Done, through: int | None = None) -> None:
        number = self._next()
        start, value = self._world.timeline.now_us, f"v{number}"
        register.operations[number] = Operation(start, FOREVER, True, value)

        def ended(outcome: str, _value: Value) -> None:
            if outcome == "failed":
                del register.operations[number]
            elif outcome == "ok":
                register.operations[number] = Operation(start, self._world.timeline.now_us, True, value)
            done()

        self._calls.call("one.template.update", [register.oid, f"VALUE = {value}", 1], ended, through=through)
        self._close(register)

    def _read(self, register: Register, done: Done, through: int | None = None) -> None:
        number, start = self._next(), self._world.timeline.now_us

        def ended(outcome: str, answer: Value) -> None:
            if outcome == "ok":
                found = re.search(r"<VALUE><!\[CDATA\[(\w+)", str(answer))
                assert found is not None, answer
                self._world.coverage.hit("fenced reads")
                register.operations[number] = Operation(start, self._world.timeline.now_us, False, found[1])
                self._close(register)
            else:
                self._world.coverage.hit("failed reads")
            done()

        self._calls.call("one.template.info", [register.oid], ended, linearizable=True, through=through)

    def _close(self, register: Register) -> None:
        if len(register.operations) >= OPERATIONS_MAX and register in self._open:
            self._open.remove(register)
            self._full.append(register)

    def check(self, store: Store) -> None:
        """Every acknowledged object is there; every register's history is linearizable."""
        for oid, name in self._allocated.items():
            row = store.get(TEMPLATES.table, oid)
            if row is None or row.name != name:
                raise Violation(f"template {oid} ({name}) was acknowledged and is gone")
        for register in (*self._full, *self._open):
            history = list(register.operations.values())
            try:
                explained = linearizable(history, "none")
            except Undecided:
                self._world.coverage.hit("histories undecided")
                continue
            self._world.coverage.hit("histories judged")
            if not explained:
                raise Violation(f"the history of template {register.oid} is not linearizable: {history}")


def _nothing() -> None:
    """Nobody waits for it."""
