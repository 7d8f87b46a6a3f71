"""A VM on a shared datastore: its files are really there, follow it through its life, and go with it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oned_lite.local import LocalOned

ADMIN = "oneadmin:opennebula"
MEGABYTE = 1024 * 1024


class Lab:
    """One host, one shared system datastore, a scheduler."""

    def __init__(self, folder: Path) -> None:
        self.oned = LocalOned(folder, scheduler=True)
        self.host = self.ask("one.host.allocate", "h1", "dummy", "dummy", 0)
        self.system = self.ask("one.datastore.allocate", "NAME=sys\nTYPE=SYSTEM_DS\nTM_MAD=shared", 0)
        self.datastores = folder / "datastores"
        self.oned.settle()

    def ask(self, method: str, *arguments: object) -> int:
        answer = self.oned.call(method, ADMIN, *arguments)  # type: ignore[arg-type]
        assert answer[0] is True, answer
        return int(answer[1])

    def state(self, vm: int) -> tuple[int, int]:
        self.oned.settle()
        xml = self.oned.call("one.vm.info", ADMIN, vm)[1]
        found = [re.search(rf"<{tag}>(\d+)</{tag}>", xml) for tag in ("STATE", "LCM_STATE")]
        return tuple(int(match[1]) for match in found if match)  # type: ignore[return-value]

    def folder(self, vm: int) -> Path:
        return self.datastores / str(self.system) / str(vm)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    yield Lab(tmp_path)


RUNNING, STOPPED, SUSPENDED, DONE, POWEROFF = (3, 3), (4, 0), (5, 0), (6, 0), (8, 0)


def test_a_pending_vm_is_placed_and_gets_its_disks(lab: Lab) -> None:
    vm = lab.ask("one.vm.allocate", "NAME=a\nCPU=1\nMEMORY=64\nDISK=[TYPE=fs,SIZE=3]", False)
    assert lab.state(vm) == RUNNING
    assert (lab.folder(vm) / "disk.0").stat().st_size == 3 * MEGABYTE


def test_a_stopped_vm_keeps_its_files_and_resumes_from_its_checkpoint(lab: Lab) -> None:
    vm = lab.ask("one.vm.allocate", "NAME=a\nCPU=1\nMEMORY=64\nDISK=[TYPE=fs,SIZE=1]", False)
    assert lab.state(vm) == RUNNING
    (lab.folder(vm) / "disk.0").write_bytes(b"written by the guest")
    lab.ask("one.vm.action", "stop", vm)
    assert lab.state(vm) == STOPPED
    assert (lab.folder(vm) / "checkpoint").is_file()
    lab.ask("one.vm.action", "resume", vm)
    assert lab.state(vm) == RUNNING
    assert (lab.folder(vm) / "disk.0").read_bytes() == b"written by the guest"


def test_a_suspended_vm_without_its_checkpoint_stays_suspended_and_says_why(lab: Lab) -> None:
    vm = lab.ask("one.vm.allocate", "NAME=a\nCPU=1\nMEMORY=64", False)
    lab.state(vm)
    lab.ask("one.vm.action", "suspend", vm)
    assert lab.state(vm) == SUSPENDED
    (lab.folder(vm) / "checkpoint").unlink()
    lab.ask("one.vm.action", "resume", vm)
    assert lab.state(vm) == SUSPENDED
    assert "checkpoint file" in lab.oned.call("one.vm.info", ADMIN, vm)[1]


def test_terminating_removes_the_folder(lab: Lab) -> None:
    vm = lab.ask("one.vm.allocate", "NAME=a\nCPU=1\nMEMORY=64\nDISK=[TYPE=fs,SIZE=1]", False)
    lab.state(vm)
    lab.ask("one.vm.action", "terminate-hard", vm)
    assert lab.state(vm) == DONE
    assert not lab.folder(vm).exists()


def test_a_vm_that_fits_nowhere_says_so_and_is_placed_when_there_is_room(lab: Lab) -> None:
    big = lab.ask("one.vm.allocate", "NAME=big\nCPU=8\nMEMORY=64", False)
    assert lab.state(big) == RUNNING
    late = lab.ask("one.vm.allocate", "NAME=late\nCPU=1\nMEMORY=64", False)
    assert lab.state(late) == (1, 0)
    assert "No host with enough capacity" in lab.oned.call("one.vm.info", ADMIN, late)[1]
    lab.ask("one.vm.action", "terminate-hard", big)
    lab.state(big)
    assert lab.state(late) == RUNNING
    assert "SCHED_MESSAGE" not in lab.oned.call("one.vm.info", ADMIN, late)[1]
