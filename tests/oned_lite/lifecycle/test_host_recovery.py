"""The shipped `host_error`: the VMs of a host that died, after waiting and fencing, and never twice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from services.oned_lite.lifecycle.work import Step
from services.oned_lite.model.datastore import DATASTORES
from services.oned_lite.model.host import HOSTS, HostState
from tests.oned_lite.local import LocalOned

ADMIN = "oneadmin:opennebula"


class Lab:
    """Two hosts on a shared datastore, and a VM on the first."""

    def __init__(self, folder: Path) -> None:
        self.fence = folder / "hooks" / "ft" / "fence_host.sh"
        self.oned = LocalOned(folder, scheduler=True)
        self.dead = self.ask("one.host.allocate", "h1", "dummy", "dummy", 0)
        self.store = self.ask("one.datastore.allocate", "NAME=sys\nTYPE=SYSTEM_DS\nTM_MAD=shared", 0)
        self.oned.settle()
        self.vm = self.ask("one.vm.allocate", "NAME=a\nCPU=1\nMEMORY=64\nDISK=[TYPE=fs,SIZE=1]", False)
        self.settle()
        self.spare = self.ask("one.host.allocate", "h2", "dummy", "dummy", 0)
        self.settle()
        assert self.place() == self.dead

    def ask(self, method: str, *arguments: object) -> int:
        answer = self.oned.call(method, ADMIN, *arguments)  # type: ignore[arg-type]
        assert answer[0] is True, answer
        return int(answer[1])

    def settle(self) -> None:
        for _ in range(4):
            self.oned.settle()

    def hook(self, options: str) -> int:
        text = f'NAME=fault\nTYPE=state\nRESOURCE=HOST\nSTATE=ERROR\nCOMMAND="ft/host_error.rb"\nARGUMENTS="{options}"'
        return self.ask("one.hook.allocate", text)

    def set_state(self, state: HostState) -> None:
        def change(step: Step) -> None:
            step.tx.put(HOSTS.table, replace(HOSTS.get(step.tx, self.dead), state=state))

        self.oned._step("monitoring", change)

    def keep_files_on_hosts(self) -> None:
        """What TM_MAD = ssh comes to, whose driver cannot run here."""

        def change(step: Step) -> None:
            row = DATASTORES.get(step.tx, self.store)
            step.tx.put(DATASTORES.table, replace(row, template=row.template.with_set("SHARED", "NO")))

        self.oned._step("test", change)

    def vm_xml(self) -> str:
        return str(self.oned.call("one.vm.info", ADMIN, self.vm)[1])

    def place(self) -> int:
        return int(re.findall(r"<HID>(\d+)</HID>", self.vm_xml())[-1])

    def report(self, hook: int) -> str:
        found = re.findall(
            r"<STDOUT><!\[CDATA\[(.*?)]]></STDOUT>", self.oned.call("one.hook.info", ADMIN, hook)[1], re.S
        )
        return " ".join(found)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_vms_of_a_dead_host_run_on_elsewhere(lab: Lab) -> None:
    hook = lab.hook("-m -p 0 -u")
    lab.set_state(HostState.ERROR)
    lab.settle()
    assert lab.place() == lab.spare
    assert "<LCM_STATE>3</LCM_STATE>" in lab.vm_xml()
    assert lab.report(hook) == f"VM {lab.vm}: to be migrated"


def test_a_host_that_comes_back_in_time_keeps_its_vms(lab: Lab) -> None:
    hook = lab.hook("-m -p 5 -u")
    lab.set_state(HostState.ERROR)
    lab.settle()
    lab.set_state(HostState.MONITORED)
    lab.settle()
    assert lab.place() == lab.dead
    assert "came back" in lab.report(hook)


def test_without_a_fence_that_holds_no_vm_is_touched(lab: Lab) -> None:
    hook = lab.hook("-m -p 0")
    lab.set_state(HostState.ERROR)
    lab.settle()
    assert lab.place() == lab.dead
    assert "fencing failed" in lab.report(hook)


def test_the_fence_is_put_up_before_vms_move(lab: Lab, tmp_path: Path) -> None:
    lab.fence.parent.mkdir(parents=True)
    lab.fence.write_text(f"#!/bin/sh\nbase64 -d > {tmp_path}/fenced\n")
    lab.fence.chmod(0o755)
    lab.hook("-m -p 0")
    lab.set_state(HostState.ERROR)
    lab.settle()
    assert "<NAME>h1</NAME>" in (tmp_path / "fenced").read_text()
    assert lab.place() == lab.spare


@pytest.mark.parametrize(("option", "state"), [("-r", "<LCM_STATE>3</LCM_STATE>"), ("-d", "<STATE>6</STATE>")])
def test_vms_can_be_recreated_or_deleted_instead(lab: Lab, option: str, state: str) -> None:
    lab.hook(f"{option} -p 0 -u")
    lab.set_state(HostState.ERROR)
    lab.settle()
    assert state in lab.vm_xml()


@pytest.mark.parametrize(("option", "moved"), [("-m", False), ("-r", True)])
def test_files_that_were_on_the_dead_host_are_needed_to_migrate_only(lab: Lab, option: str, moved: bool) -> None:
    lab.keep_files_on_hosts()
    hook = lab.hook(f"{option} -p 0 -u")
    lab.set_state(HostState.ERROR)
    lab.settle()
    assert (lab.place() == lab.spare) is moved, lab.report(hook)


def test_a_recovery_can_be_tried_again_from_the_log(lab: Lab) -> None:
    hook = lab.hook("-m -p 0")
    lab.set_state(HostState.ERROR)
    lab.settle()
    lab.fence.parent.mkdir(parents=True)
    lab.fence.write_text("#!/bin/sh\n")
    lab.fence.chmod(0o755)
    lab.ask("one.hook.retry", hook, 0)
    lab.settle()
    assert lab.place() == lab.spare
