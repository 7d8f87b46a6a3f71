"""What clients asked for and what they were told, as a file of JSON lines."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Literal

import msgspec

Kind = Literal["allocate", "write", "read"]
Outcome = Literal["ok", "failed", "unknown"]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One call. `failed`: it certainly changed nothing; `unknown`: nobody knows.

    allocate: `name` is the new template's, `oid` its id where it is known. write, read: `value` of the attribute VALUE of
    template `oid`. Times are microseconds since the run began.
    """

    client: int
    server: int
    kind: Kind
    oid: int | None
    name: str = ""
    value: str = ""
    start_us: int
    end_us: int
    outcome: Outcome
    error: str = ""


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """A fault, from injection to healing."""

    fault: str
    target: str
    start_us: int
    end_us: int


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """What one server said of itself; `role` is empty where it said nothing. `skew_s`: how far its clock is ahead of ours,
    in whole seconds; `problem`: of its database."""

    at_us: int
    server: int
    role: str
    term: int
    skew_s: int = 0
    problem: str = ""


class Clock:
    """Microseconds since it was made, or started again; `epoch_s` is the wall clock's time then."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.epoch_s = time.time()
        self._began = time.monotonic_ns()

    def now_us(self) -> int:
        return (time.monotonic_ns() - self._began) // 1000


class History:
    """Everything of a run. Operations also go to `path` as they end, so that a run that is cut off can still be judged."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.clock = clock
        self.operations: list[Operation] = []
        self.periods: list[Period] = []
        self.sightings: list[Sighting] = []
        self._path = path

    def __enter__(self) -> History:
        self._file = self._path.open("wb")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, operation: Operation) -> None:
        self.operations.append(operation)
        self._file.write(msgspec.json.encode(operation) + b"\n")

    def count(self, outcome: Outcome) -> int:
        return sum(operation.outcome == outcome for operation in self.operations)


def read(path: Path) -> list[Operation]:
    """The operations of an earlier run."""
    return [msgspec.json.decode(line, type=Operation) for line in path.read_bytes().splitlines()]
