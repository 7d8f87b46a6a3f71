"""Which processes a lab consists of: values that say what to run, with which files, and when it is ready."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from deploy.lab.errors import LabError
from services.common.settings import Address


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A file that is written before its process starts; `secret` ones are readable by their owner only."""

    path: Path
    text: str
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Preparation:
    """A program that fills `folder` once, before the first start of its process."""

    argv: tuple[str, ...]
    folder: Path


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """Ready when `GET path` at the address is answered with 200."""

    address: Address
    path: str = "/healthz"


@dataclass(frozen=True, slots=True)
class MemcachedProbe:
    """Ready when `version` is answered."""

    address: Address


@dataclass(frozen=True, slots=True)
class MariaDbProbe:
    """Ready when the server greets on its socket, which it does once its data is recovered."""

    socket: Path


Probe = HttpProbe | MemcachedProbe | MariaDbProbe


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `ports` must be free before it starts; `needs` are the processes that must be ready first.

    `machine` is the frontend it belongs to ("frontend1"), which stands for all of its processes in commands.
    One that can be replaced in place (SIGUSR2, SIGQUIT) writes its process id to `own_pid_file`.
    """

    name: str
    argv: tuple[str, ...]
    probe: Probe
    ports: tuple[Address, ...] = ()
    machine: str | None = None
    files: tuple[ConfigFile, ...] = ()
    folders: tuple[Path, ...] = ()
    preparation: Preparation | None = None
    needs: tuple[str, ...] = ()
    stop_within_s: float = 10.0
    own_pid_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Topology:
    """All processes of a lab, those that others need first."""

    processes: tuple[Process, ...]

    def select(self, names: tuple[str, ...]) -> tuple[Process, ...]:
        """The processes that the names mean, each once, in the topology's order. LabError for a name of nothing."""
        for name in names:
            if not any(name in (process.name, process.machine) for process in self.processes):
                raise LabError(f"there is no {name!r} in this lab; there are {', '.join(self.names())}")
        return tuple(process for process in self.processes if process.name in names or process.machine in names)

    def names(self) -> list[str]:
        """Every name a command takes."""
        machines = {process.machine for process in self.processes if process.machine}
        return sorted(machines | {process.name for process in self.processes}, key=_natural)

    def waves(self) -> list[tuple[Process, ...]]:
        """Processes in the order of a clean stop: no process is stopped before those that need it are."""
        waves: list[tuple[Process, ...]] = []
        left = list(self.processes)
        while left:
            needed = {name for process in left for name in process.needs}
            wave = tuple(process for process in left if process.name not in needed)
            waves.append(wave)
            left = [process for process in left if process not in wave]
        return waves


def _natural(name: str) -> tuple[str, int]:
    match = re.fullmatch(r"(\D+)(\d*)", name)
    return (match[1], int(match[2] or 0)) if match else (name, 0)
