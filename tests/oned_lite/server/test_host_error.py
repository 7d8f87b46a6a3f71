"""The shipped host_error hook on real daemons: a host stops answering, and its VMs run on elsewhere, each moved once."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onelite_pytest.control import failure
from onelite_pytest.daemons import Oned, OnedCluster
from tests.support.oned import ROOT, until

SHIPPED = (ROOT / "docs" / "hooks" / "host_error.tmpl").read_text()
MONITORING_S = 60
RUNNING = "<LCM_STATE>3</LCM_STATE>"
Call = Callable[..., Any]


class World:
    """Two hosts on a shared datastore, VMs on the first, and a fence that notes each of its runs; it holds when the file
    `go` exists."""

    def __init__(self, call: Call, folder: Path, vms: int) -> None:
        self._call = call
        self._folder = folder
        self.go = folder / "go"
        store = call("one.datastore.allocate", "NAME = nfs\nTYPE = SYSTEM_DS\nTM_MAD = shared", 0)
        self.dead = call("one.host.allocate", "h1", "dummy", "dummy", 0)
        self._until_monitored(self.dead)
        self.vms = [self._vm(store) for _ in range(vms)]
        self.spare = call("one.host.allocate", "h2", "dummy", "dummy", 0)
        self._until_monitored(self.spare)
        self.hook = call("one.hook.allocate", SHIPPED.replace("ft/fence_host.sh", str(self._fence())))

    def _fence(self) -> Path:
        """Gives up by itself should the test not let it hold."""
        path = self._folder / "fence.sh"
        path.write_text(
            f"#!/bin/sh\ncat >> {self._folder}/fenced; echo >> {self._folder}/fenced\n"
            f"for _ in $(seq 600); do [ -e {self.go} ] && exit 0; sleep 0.05; done; exit 1\n"
        )
        path.chmod(0o755)
        return path

    def _until_monitored(self, host: int) -> None:
        until(lambda: "<STATE>2</STATE>" in self._call("one.host.info", host))

    def _vm(self, store: int) -> int:
        vm = self._call("one.vm.allocate", "NAME = a\nCPU = 1\nMEMORY = 64\nDISK = [TYPE = fs, SIZE = 1]", True)
        self._call("one.vm.deploy", vm, self.dead, False, store, "")
        until(lambda: RUNNING in self.info(vm))
        return int(vm)

    def info(self, vm: int) -> str:
        return str(self._call("one.vm.info", vm))

    def failed(self) -> bool:
        return "<STATE>3</STATE>" in self._call("one.host.info", self.dead)

    def fenced(self) -> list[str]:
        """The host's XML, once for each time that the fence was put up."""
        path = self._folder / "fenced"
        return [base64.b64decode(one).decode() for one in path.read_text().split()] if path.exists() else []

    def way(self, vm: int) -> list[int]:
        """The hosts of its history."""
        return [int(host) for host in re.findall(r"<HID>(\d+)</HID>", self.info(vm))]

    def moved(self) -> bool:
        return all(self.way(vm)[-1] == self.spare and RUNNING in self.info(vm) for vm in self.vms)

    def log(self) -> list[str]:
        """What each execution reported."""
        return re.findall(r"<STDOUT><!\[CDATA\[(.*?)]]></STDOUT>", self._call("one.hook.info", self.hook), re.S)


def test_vms_of_a_host_that_stays_silent_are_moved_after_the_pause_and_the_fence(oned: Oned, tmp_path: Path) -> None:
    world = World(oned.call, tmp_path, vms=2)
    oned.control.script(failure("no route to host"), driver="im/*", kind="host", oid=world.dead, cycle=True)
    oned.control.advance(MONITORING_S + 1)
    until(world.failed)
    assert world.fenced() == []
    oned.control.advance(5 * MONITORING_S + 1)
    until(lambda: len(world.fenced()) == 1)
    assert "<NAME>h1</NAME>" in world.fenced()[0]
    assert [world.way(vm) for vm in world.vms] == [[world.dead]] * 2
    world.go.touch()
    until(world.moved)
    assert world.log() == ["\n".join(f"VM {vm}: to be migrated" for vm in world.vms)]


def test_a_host_that_answers_again_during_the_pause_is_left_alone(oned: Oned, tmp_path: Path) -> None:
    world = World(oned.call, tmp_path, vms=1)
    oned.control.script(failure("no route to host"), driver="im/*", kind="host", oid=world.dead)
    oned.control.advance(MONITORING_S + 1)
    until(lambda: world.failed() or world.log())
    oned.control.advance(MONITORING_S + 1)
    until(lambda: world.log() == ["host h1 came back, nothing was done"])
    assert (world.fenced(), world.way(world.vms[0])) == ([], [world.dead])


def test_options_that_cannot_be_read_change_nothing(oned: Oned, tmp_path: Path) -> None:
    world = World(oned.call, tmp_path, vms=1)
    oned.call("one.hook.update", world.hook, 'ARGUMENTS = "$TEMPLATE -m -d"', 1)
    oned.control.script(failure("no route to host"), driver="im/*", kind="host", oid=world.dead, cycle=True)
    oned.control.advance(MONITORING_S + 1)
    until(lambda: world.log() == ["nothing was done: expected one of -m (migrate), -r (recreate) and -d (delete)"])
    assert world.way(world.vms[0]) == [world.dead]


@pytest.mark.timeout(120)
def test_a_new_leader_goes_on_and_moves_each_vm_once(oned_cluster: OnedCluster, tmp_path: Path) -> None:
    world = World(oned_cluster.call, tmp_path, vms=3)
    for server in oned_cluster.servers:
        server.control.script(failure("no route to host"), driver="im/*", kind="host", oid=world.dead, cycle=True)
    oned_cluster.advance(MONITORING_S + 1)
    until(world.failed)
    oned_cluster.advance(5 * MONITORING_S + 1)
    until(lambda: len(world.fenced()) == 1)
    oned_cluster.leader().kill()
    until(lambda: len(world.fenced()) == 2)
    world.go.touch()
    until(world.moved)
    assert [world.way(vm) for vm in world.vms] == [[world.dead, world.spare]] * 3
    assert len(world.log()) == 1
