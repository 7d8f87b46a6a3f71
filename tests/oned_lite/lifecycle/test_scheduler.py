"""Where the scheduler puts VMs: affinity, requirements, ranks, other people's hosts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.oned_lite.local import LocalOned

ADMIN = "oneadmin:opennebula"


class Lab:
    def __init__(self, folder: Path, hosts: int) -> None:
        self.oned = LocalOned(folder, scheduler=True)
        self.hosts = [self.ask("one.host.allocate", f"h{number}", "dummy", "dummy", 0) for number in range(hosts)]
        self.ask("one.datastore.allocate", "NAME=sys\nTYPE=SYSTEM_DS\nTM_MAD=dummy", 0)
        self.oned.settle()

    def ask(self, method: str, *arguments: object) -> int:
        answer = self.oned.call(method, ADMIN, *arguments)  # type: ignore[arg-type]
        assert answer[0] is True, answer
        return int(answer[1])

    def vm(self, extra: str, cpu: float = 0.1) -> int:
        return self.ask("one.vm.allocate", f"CPU={cpu}\nMEMORY=16\n{extra}", False)

    def host_of(self, vm: int) -> int | None:
        xml = self.oned.call("one.vm.info", ADMIN, vm)[1]
        found = re.findall(r"<HID>(\d+)</HID>", xml)
        return int(found[-1]) if found else None

    def settle(self) -> None:
        for _ in range(3):
            self.oned.settle()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path, hosts=3)


def test_vms_spread_over_the_hosts(lab: Lab) -> None:
    vms = [lab.vm("") for _ in range(3)]
    lab.settle()
    assert {lab.host_of(vm) for vm in vms} == set(lab.hosts)


def test_an_affined_role_shares_a_host_and_an_anti_affined_one_does_not(lab: Lab) -> None:
    group = lab.ask("one.vmgroup.allocate", "NAME=g\nROLE=[NAME=a,POLICY=AFFINED]\nROLE=[NAME=b,POLICY=ANTI_AFFINED]")
    near = [lab.vm(f"VMGROUP=[VMGROUP_ID={group},ROLE=a]") for _ in range(3)]
    far = [lab.vm(f"VMGROUP=[VMGROUP_ID={group},ROLE=b]") for _ in range(4)]
    lab.settle()
    assert len({lab.host_of(vm) for vm in near}) == 1
    places = [lab.host_of(vm) for vm in far]
    assert sorted(place for place in places if place is not None) == sorted(lab.hosts)
    assert places.count(None) == 1


def test_requirements_decide_and_rank_prefers(lab: Lab) -> None:
    vm = lab.vm('SCHED_REQUIREMENTS="NAME = \\"h1\\" | NAME = \\"h2\\""\nSCHED_RANK="ID"')
    lab.settle()
    assert lab.host_of(vm) == lab.hosts[2]


def test_a_requirement_that_cannot_be_read_is_told_and_stops_nobody_else(lab: Lab) -> None:
    bad = lab.vm('SCHED_REQUIREMENTS="NAME = = 1"')
    good = lab.vm("")
    lab.settle()
    assert lab.host_of(bad) is None
    assert lab.host_of(good) is not None
    assert "SCHED_MESSAGE" in lab.oned.call("one.vm.info", ADMIN, bad)[1]


def test_a_vm_to_be_rescheduled_moves_to_another_host(lab: Lab) -> None:
    vm = lab.vm("")
    lab.settle()
    first = lab.host_of(vm)
    lab.ask("one.vm.action", "resched", vm)
    lab.settle()
    assert lab.host_of(vm) not in (None, first)
    assert "<RESCHED>0</RESCHED>" in lab.oned.call("one.vm.info", ADMIN, vm)[1]
