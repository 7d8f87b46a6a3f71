"""Driver work as a function of committed rows.

A `Duty` says, for a row, which driver actions must be running (VM in PROLOG: transfer; image LOCKED: copy). The leader
runs exactly those. A new leader derives the same set from the same rows and carries on, so nothing is stranded; a result
whose work is no longer required (an older leader's, or of a state left meanwhile) matches nothing and is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from services.oned_lite.model.configuration import Configuration
from services.oned_lite.state import Key, Reader, Table, Transaction


class WorkKey(msgspec.Struct, frozen=True, array_like=True):
    """Names one piece of work. `step` changes whenever the object enters another state, so that a second BOOT is not
    taken for the first."""

    table: str
    oid: int
    step: int
    action: str


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """One driver action. `driver` is family/name: "tm/shared", "ds/fs", "vmm/dummy", "im/dummy", "hook/local".

    `arguments` is what the driver is told, in plain text values; `delay_s` is how long to wait before it starts.
    """

    key: WorkKey
    driver: str
    arguments: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0
    timeout_s: float = 300.0

    def argument(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.arguments if key == name), default)


class WorkResult(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended. `message` is the driver's text (the reason of a failure), `values` what it found out."""

    key: WorkKey
    ok: bool
    message: str = ""
    values: tuple[tuple[str, str], ...] = ()

    def value(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.values if key == name), default)


@dataclass(slots=True)
class Step:
    """What a life cycle works on when a driver has answered or a timer has fired: one transaction of its own."""

    tx: Transaction
    conf: Configuration


@dataclass(frozen=True, slots=True)
class Duty:
    """`index` lists, under the value True, the rows that need work at all. `required` gives their work; `finished`
    moves the object on. Both are pure."""

    table: Table[Any]
    required: Callable[[Reader, Any, Configuration], Sequence[Work]]
    finished: Callable[[Step, Work, WorkResult], None]
    index: str = "work"


@dataclass(frozen=True, slots=True)
class Timer:
    """Something the leader looks after every `interval_s` seconds: placing VMs, due actions, ageing records.

    `wakes_on` names tables whose changes make it run at once (bounded by `pause_s` between two runs). `attribute`: that
    of oned.conf which says another interval.
    """

    name: str
    interval_s: float
    run: Callable[[Step], None]
    wakes_on: tuple[str, ...] = ()
    pause_s: float = 0.2
    attribute: str = ""

    def configured(self, conf: Configuration) -> Timer:
        """With the interval that the configuration says."""
        seconds = conf.template.get_int(self.attribute, 0)
        return replace(self, interval_s=float(seconds)) if seconds > 0 else self


def required_work(reader: Reader, duty: Duty, key: Key, conf: Configuration) -> Sequence[Work]:
    """The work a row needs now; none where the row is gone."""
    row = reader.get(duty.table, key)
    if row is None or True not in duty.table.indexes[duty.index](row):
        return ()
    return duty.required(reader, row, conf)
