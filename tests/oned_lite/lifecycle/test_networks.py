"""Networks and security groups whose drivers fail, and what people do about it."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from services.common.xmlrpc import Value
from services.oned_lite.drivers.scripted import Outcome, OutcomeRule, Script, ScriptedDrivers
from services.oned_lite.model.vm_uses import VM_USES
from tests.oned_lite.local import LocalOned

ADMIN = "oneadmin:opennebula"
READY, ERROR, UPDATE_FAILURE = "1", "5", "6"
MANY = 250


class Lab:
    """A daemon with a host; `fails(action)` makes the next such driver action fail."""

    def __init__(self, folder: Path) -> None:
        self.oned = LocalOned(folder)
        self.script = Script()
        self.oned.drivers = ScriptedDrivers(self.oned.drivers, self.script, asyncio.sleep)
        self.ds = self.made("one.datastore.allocate", "NAME=sys\nTYPE=SYSTEM_DS\nTM_MAD=dummy", 0)
        self.host = self.made("one.host.allocate", "h1", "dummy", "dummy", 0)
        self.oned.settle()

    def made(self, method: str, *arguments: Value) -> int:
        answer = self.oned.call(method, ADMIN, *arguments)
        assert answer[0] is True, answer
        return int(answer[1])

    def fails(self, action: str, message: str = "no") -> None:
        self.script.add(OutcomeRule(action=action, outcomes=(Outcome(result="failure", message=message),)))

    def info(self, kind: str, oid: int) -> ET.Element:
        return ET.fromstring(self.oned.call(f"one.{kind}.info", ADMIN, oid)[1])

    def network(self) -> int:
        oid = self.made("one.vn.allocate", "NAME=n\nVN_MAD=bridge\nMTU=1500\nAR=[TYPE=IP4,IP=10.0.0.1,SIZE=300]", -1)
        self.oned.settle()
        return oid

    def running_vm(self, nic: str) -> int:
        oid = self.made("one.vm.allocate", f"CPU=0.1\nMEMORY=1\nNIC=[{nic}]", False)
        self.made("one.vm.deploy", oid, self.host, False, self.ds)
        self.oned.settle()
        return oid


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def listed(tree: ET.Element, name: str) -> list[int]:
    return [int(one.text or "") for one in tree.findall(f"{name}/ID")]


def test_a_network_that_could_not_be_made_is_made_by_hand(lab: Lab) -> None:
    lab.fails("vnet_create", "bridge utils missing")
    oid = lab.network()
    tree = lab.info("vn", oid)
    assert tree.findtext("STATE") == ERROR
    assert tree.findtext("TEMPLATE/ERROR", "").endswith(" : bridge utils missing")
    assert lab.oned.call("one.vn.hold", ADMIN, oid, "LEASES=[IP=10.0.0.1]")[0] is False
    lab.made("one.vn.recover", oid, 1)
    tree = lab.info("vn", oid)
    assert (tree.findtext("STATE"), tree.find("TEMPLATE/ERROR")) == (READY, None)
    assert tree.findtext("AR_POOL/AR/SIZE") == "300"


def test_the_first_wrong_range_ends_a_networks_creation(lab: Lab) -> None:
    ranges = "AR=[TYPE=IP4,IP=10.0.0.1,SIZE=2]\nAR=[TYPE=IP4,SIZE=2]\nAR=[TYPE=IP4,IP=10.0.2.1,SIZE=2]"
    oid = lab.made("one.vn.allocate", f"NAME=w\nVN_MAD=bridge\n{ranges}", -1)
    lab.oned.settle()
    tree = lab.info("vn", oid)
    assert tree.findtext("STATE") == ERROR
    assert tree.findtext("TEMPLATE/ERROR", "").endswith(" : Wrong or empty IP attribute")
    assert [one.findtext("IP") for one in tree.findall("AR_POOL/AR")] == ["10.0.0.1"]


def test_a_network_whose_removal_failed_is_removed_by_hand(lab: Lab) -> None:
    oid = lab.network()
    lab.fails("vnet_delete")
    lab.made("one.vn.delete", oid)
    lab.oned.settle()
    assert lab.info("vn", oid).findtext("STATE") == ERROR
    lab.made("one.vn.recover", oid, 2)
    assert lab.oned.call("one.vn.info", ADMIN, oid)[0] is False


def test_a_hypervisor_that_missed_an_update_is_told_again(lab: Lab) -> None:
    oid = lab.network()
    vm = lab.running_vm(f"NETWORK_ID={oid}")
    lab.fails("update_nic")
    lab.made("one.vn.update", oid, "MTU=1300", 1)
    lab.oned.settle()
    tree = lab.info("vn", oid)
    assert (tree.findtext("STATE"), listed(tree, "ERROR_VMS")) == (UPDATE_FAILURE, [vm])
    assert lab.info("vm", vm).findtext("TEMPLATE/VNET_UPDATE/MTU") == "1500"
    lab.made("one.vn.recover", oid, 3)
    lab.oned.settle()
    tree = lab.info("vn", oid)
    assert (tree.findtext("STATE"), listed(tree, "UPDATED_VMS")) == (READY, [vm])
    machine = lab.info("vm", vm)
    assert (machine.findtext("TEMPLATE/NIC/MTU"), machine.find("TEMPLATE/VNET_UPDATE")) == ("1300", None)


def test_two_updates_in_a_row_reach_a_vm_that_saw_neither(lab: Lab) -> None:
    oid = lab.network()
    vm = lab.made("one.vm.allocate", f"CPU=0.1\nMEMORY=1\nNIC=[NETWORK_ID={oid}]", False)
    lab.made("one.vn.update", oid, "MTU=1300", 1)
    lab.made("one.vn.update", oid, "MTU=1200", 1)
    assert listed(lab.info("vn", oid), "OUTDATED_VMS") == [vm]
    lab.oned.settle()
    machine = lab.info("vm", vm)
    assert machine.findtext("TEMPLATE/NIC/MTU") == "1200"
    assert machine.findtext("TEMPLATE/VNET_UPDATE/MTU") == "1500"


def test_a_hypervisor_that_missed_rules_gets_them_by_another_commit(lab: Lab) -> None:
    oid = lab.network()
    group = lab.made("one.secgroup.allocate", "NAME=web\nRULE=[PROTOCOL=TCP,RULE_TYPE=inbound,RANGE=80]")
    vm = lab.running_vm(f"NETWORK_ID={oid},SECURITY_GROUPS={group}")
    lab.fails("update_sg*")
    lab.made("one.secgroup.update", group, "RULE=[PROTOCOL=TCP,RULE_TYPE=inbound,RANGE=443]", 1)
    lab.oned.settle()
    assert listed(lab.info("secgroup", group), "ERROR_VMS") == [vm]
    lab.made("one.secgroup.commit", group, True)
    lab.oned.settle()
    assert listed(lab.info("secgroup", group), "UPDATED_VMS") == [vm]
    ranges = [rule.findtext("RANGE") for rule in lab.info("vm", vm).findall("TEMPLATE/SECURITY_GROUP_RULE")]
    assert "443" in ranges
    assert "80" not in ranges


def test_a_group_deleted_while_a_hypervisor_is_told_holds_up_nobody(lab: Lab) -> None:
    oid = lab.network()
    group = lab.made("one.secgroup.allocate", "NAME=web\nRULE=[PROTOCOL=TCP,RULE_TYPE=inbound,RANGE=80]")
    vm = lab.running_vm(f"NETWORK_ID={oid},SECURITY_GROUPS={group}")
    lab.made("one.secgroup.commit", group, False)
    lab.made("one.secgroup.delete", group)
    lab.oned.settle()
    assert listed(lab.info("secgroup", 0), "UPDATED_VMS") == [vm]
    lab.made("one.vm.action", "terminate-hard", vm)
    lab.oned.settle()
    assert lab.oned.store.count(VM_USES) == 0


def test_a_change_reaches_many_vms_a_few_at_a_time(lab: Lab) -> None:
    oid = lab.network()
    for _ in range(MANY):
        lab.made("one.vm.allocate", f"CPU=0.1\nMEMORY=1\nNIC=[NETWORK_ID={oid}]", True)
    lab.made("one.vn.update", oid, "MTU=1300", 1)
    sizes = []
    while listed(lab.info("vn", oid), "OUTDATED_VMS"):
        sizes.append(len(listed(lab.info("vn", oid), "OUTDATED_VMS")))
        lab.oned.settle()
    assert len(sizes) > 1
    assert sizes == sorted(sizes, reverse=True)
    assert len(listed(lab.info("vn", oid), "UPDATED_VMS")) == MANY
