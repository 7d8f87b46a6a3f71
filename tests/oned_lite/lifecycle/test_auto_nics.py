"""NICs whose network is chosen when the VM is placed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.oned_lite.lifecycle.test_scheduler import ADMIN, Lab


def network(lab: Lab, name: str, ip: str, size: int) -> int:
    template = f"NAME={name}\nVN_MAD=dummy\nBRIDGE=br0\nCOLOR={name}\nAR=[TYPE=IP4,IP={ip},SIZE={size}]"
    oid = lab.ask("one.vn.allocate", template, 0)
    lab.settle()
    return oid


def ips(lab: Lab, vm: int) -> list[str]:
    return re.findall(r"<NIC>.*?<IP><!\[CDATA\[([\d.]+)", lab.oned.call("one.vm.info", ADMIN, vm)[1])


def used(lab: Lab, oid: int) -> int:
    found = re.search(r"<USED_LEASES>(\d+)</USED_LEASES>", lab.oned.call("one.vn.info", ADMIN, oid)[1])
    return int(found[1]) if found else -1


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path, hosts=1)


def test_the_scheduler_takes_a_network_that_meets_the_requirements(lab: Lab) -> None:
    network(lab, "red", "10.0.0.1", 4)
    blue = network(lab, "blue", "10.0.1.1", 4)
    vm = lab.vm('NIC=[NETWORK_MODE=auto,SCHED_REQUIREMENTS="COLOR = blue"]\nCONTEXT=[NETWORK=YES]')
    lab.settle()
    assert lab.host_of(vm) is not None
    assert ips(lab, vm) == ["10.0.1.1"]
    assert used(lab, blue) == 1
    assert "<ETH0_IP><![CDATA[10.0.1.1]]></ETH0_IP>" in lab.oned.call("one.vm.info", ADMIN, vm)[1]


def test_networks_are_used_evenly(lab: Lab) -> None:
    networks = [network(lab, "red", "10.0.0.1", 4), network(lab, "blue", "10.0.1.1", 4)]
    for _ in range(4):
        lab.vm("NIC=[NETWORK_MODE=auto]")
    lab.settle()
    assert [used(lab, oid) for oid in networks] == [2, 2]


def test_a_vm_waits_while_no_network_has_enough_addresses(lab: Lab) -> None:
    red = network(lab, "red", "10.0.0.1", 1)
    vm = lab.vm("NIC=[NETWORK_MODE=auto]\nNIC=[NETWORK_MODE=auto]")
    lab.settle()
    assert lab.host_of(vm) is None
    assert used(lab, red) == 0
    assert "No virtual network meets" in lab.oned.call("one.vm.info", ADMIN, vm)[1]
    network(lab, "blue", "10.0.1.1", 1)
    lab.settle()
    assert sorted(ips(lab, vm)) == ["10.0.0.1", "10.0.1.1"]


def test_who_deploys_may_choose(tmp_path: Path) -> None:
    lab = Lab(tmp_path, hosts=1)
    red = network(lab, "red", "10.0.0.1", 4)
    vm = lab.ask("one.vm.allocate", f"CPU=0.1\nMEMORY=16\nNIC=[NETWORK_MODE=auto]\nNIC=[NETWORK_ID={red}]", True)
    lab.oned.call("one.vm.action", ADMIN, "release", vm)

    def refused(nic: str) -> str:
        return str(lab.oned.call("one.vm.deploy", ADMIN, vm, lab.hosts[0], False, 100, nic)[1])

    assert "NIC_ID 1 not AUTO" in refused(f"NIC=[NIC_ID=1,NETWORK_ID={red}]")
    assert "NIC_ID 7 not found" in refused(f"NIC=[NIC_ID=7,NETWORK_ID={red}]")
    choice = f"NIC=[NIC_ID=0,NETWORK_ID={red},NETWORK_MODE=auto]"
    lab.ask("one.vm.deploy", vm, lab.hosts[0], False, 100, choice)
    assert sorted(ips(lab, vm)) == ["10.0.0.1", "10.0.0.2"]
    lab.settle()
    lab.ask("one.vm.action", "terminate-hard", vm)
    lab.settle()
    assert used(lab, red) == 0
