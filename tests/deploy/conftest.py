"""Labs that get out of each other's way: a folder and a loopback network for each test."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab.folders import LabFolder
from deploy.lab.processes import Condition
from deploy.lab.supervisor import Supervisor
from deploy.lab.topology import Process, Topology

_serial = itertools.count(1)


@pytest.fixture
def network() -> str:
    """The first three bytes of a loopback network that no other test, in this run or another, is using."""
    return f"127.{64 + os.getpid() % 128}.{next(_serial) % 250 + 1}"


@pytest.fixture
def folder(tmp_path: Path) -> LabFolder:
    folder = LabFolder(tmp_path / "lab")
    folder.create()
    return folder


class Crew:
    """Makes supervisors, collects what they report, and leaves nothing running."""

    def __init__(self, folder: LabFolder) -> None:
        self.folder = folder
        self.reports: list[str] = []
        self._supervisors: list[Supervisor] = []

    def supervise(self, *processes: Process) -> Supervisor:
        supervisor = Supervisor(Topology(processes), self.folder, self.reports.append)
        self._supervisors.append(supervisor)
        return supervisor

    def end(self) -> None:
        for supervisor in self._supervisors:
            supervisor.kill(supervisor.topology.processes)
            assert all(seen.condition is Condition.ENDED for seen in supervisor.look_at_all())


@pytest.fixture
def crew(folder: LabFolder) -> Iterator[Crew]:
    crew = Crew(folder)
    yield crew
    crew.end()
