"""Whatever people do, an address has one holder at most, and who holds it and what the network says agree."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

from services.common.xmlrpc import Value
from tests.oned_lite.local import LocalOned

ADMIN, ANN = "oneadmin:opennebula", "ann:annpw"
ANN_UID = 2
STEPS = 150
RANGES = (
    "AR=[TYPE=IP4,IP=10.0.0.1,SIZE=6]",
    'AR=[TYPE=IP4,IP=10.0.0.4,SIZE=4,MAC="02:11:00:00:00:01"]',
    'AR=[TYPE=IP6_STATIC,IP6="2001:db8::1",PREFIX_LENGTH=64,SIZE=4,MAC="02:22:00:00:00:01"]',
    'AR=[TYPE=IP4_6,IP=10.9.0.1,SIZE=3,GLOBAL_PREFIX="2001:a::",ULA_PREFIX="fd00:b::"]',
    'AR=[TYPE=ETHER,SIZE=3,MAC="02:33:00:00:00:01"]',
)
Holdings = Counter[tuple[int, str, str, int]]
"""How often each (network, MAC) is held, with the kind of holder and its id."""


class World:
    """A daemon with a few small networks, so that addresses run out, and a dice that chooses what happens next."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.oned = LocalOned(folder)
        self.dice = random.Random(seed)
        self.made("one.user.allocate", "ann", "annpw", "core", [1])
        self.made("one.datastore.allocate", "NAME=sys\nTYPE=SYSTEM_DS\nTM_MAD=dummy", 0)
        self.host = self.made("one.host.allocate", "h1", "dummy", "dummy", 0)
        self.routers = self.made("one.template.allocate", "NAME=vr\nCPU=0.1\nMEMORY=1\nVROUTER=YES")
        for number in range(2):
            self.made("one.vn.allocate", f"NAME=n{number}\nVN_MAD=bridge\n" + "\n".join(RANGES), -1)
        self.oned.settle()

    def made(self, method: str, *arguments: Value) -> int:
        answer = self.oned.call(method, ADMIN, *arguments)
        assert answer[0] is True, answer
        return int(answer[1])

    def pool(self, method: str, *arguments: Value) -> list[ET.Element]:
        return list(ET.fromstring(self.oned.call(method, ADMIN, *arguments)[1]))

    def some(self, method: str, *arguments: Value) -> int:
        rows = self.pool(method, -2, -1, -1, *arguments)
        return int(self.dice.choice(rows).findtext("ID", "0")) if rows else 0

    def address(self) -> str:
        last = self.dice.randint(0, 8)
        return self.dice.choice(
            [
                f"IP=10.0.0.{last}",
                f"IP=10.9.0.{last}",
                f'MAC="02:00:0a:00:00:0{last}"',
                f'MAC="02:33:00:00:00:0{last}"',
                f'IP6="2001:db8::{last}"',
            ]
        )

    def step(self) -> None:
        """One call, sensible or not, by somebody; then the drivers may finish, or not yet."""
        dice = self.dice
        method, arguments = dice.choice(self.calls())
        self.oned.call(method, ANN if dice.random() < 0.3 else ADMIN, *arguments)
        if dice.random() < 0.7:
            self.oned.settle()

    def calls(self) -> list[tuple[str, list[Value]]]:
        dice = self.dice
        network, vm, router = (
            self.some("one.vnpool.info"),
            self.some("one.vmpool.info", -1),
            self.some("one.vrouterpool.info"),
        )
        nic = f"NETWORK_ID={network}" + dice.choice(["", f",{self.address()}"])
        floating = dice.choice(["", ",FLOATING_IP=YES"])
        size, ar_id = dice.randint(1, 3), dice.randint(0, 6)
        into = dice.choice([f"NAME=r{dice.random()}", f"NETWORK_ID={network}"])
        calls: list[tuple[str, list[Value]]] = [
            ("one.vm.allocate", [f"CPU=0.1\nMEMORY=1\nNIC=[{nic}]\nNIC=[NETWORK_ID=0]", False]),
            ("one.vm.allocate", [f"CPU=0.1\nMEMORY=1\nNIC=[{nic}]", dice.random() < 0.1]),
            ("one.vm.allocate", [f"CPU=0.1\nMEMORY=1\nNIC=[{nic}]\nNIC_ALIAS=[NETWORK_ID=1,PARENT=NIC0]", False]),
            ("one.vm.deploy", [vm, self.host]),
            ("one.vm.deploy", [self.some("one.vmpool.info", 1), self.host]),
            ("one.vm.attachnic", [vm, f"NIC=[{nic}]"]),
            ("one.vm.attachnic", [vm, f"NIC_ALIAS=[{nic},PARENT=NIC0]"]),
            ("one.vm.detachnic", [vm, dice.randint(0, 2)]),
            ("one.vm.action", [dice.choice(["terminate-hard", "poweroff", "resume"]), vm]),
            ("one.vm.recover", [vm, dice.choice([3, 4])]),
            ("one.vm.chown", [vm, dice.choice([0, ANN_UID]), -1]),
            ("one.vn.hold", [network, f"LEASES=[{self.address()}]"]),
            ("one.vn.release", [network, f"LEASES=[{self.address()}]"]),
            ("one.vn.reserve", [network % 2, f"SIZE={size}\n{into}"]),
            ("one.vn.reserve", [network % 2, f"SIZE={size}\n{into}\nAR_ID={ar_id}"]),
            ("one.vn.reserve", [network % 2, f"SIZE={size}\n{into}\nAR_ID={ar_id}\n{self.address()}"]),
            ("one.vn.free_ar", [network, ar_id]),
            ("one.vn.add_ar", [network, dice.choice(RANGES)]),
            ("one.vn.update_ar", [network, f"AR=[AR_ID={ar_id},SIZE={dice.randint(1, 8)}]"]),
            ("one.vn.delete", [network]),
            ("one.vn.chown", [network, dice.choice([0, ANN_UID]), -1]),
            ("one.vrouter.allocate", [f"NAME=vr\nNIC=[{nic}{floating}]\nNIC=[NETWORK_ID=1,FLOATING_IP=YES]"]),
            ("one.vrouter.instantiate", [router, dice.randint(1, 2), self.routers, "", False, ""]),
            ("one.vrouter.attachnic", [router, f"NIC=[{nic}{floating}]"]),
            ("one.vrouter.detachnic", [router, dice.randint(0, 2)]),
            ("one.vrouter.delete", [router]),
        ]
        return calls

    # ------------------------------------------------------------------ two views of the same
    def networks(self) -> list[ET.Element]:
        oids = [row.findtext("ID", "") for row in self.pool("one.vnpool.info", -2, -1, -1)]
        return [ET.fromstring(self.oned.call("one.vn.info", ADMIN, int(oid))[1]) for oid in oids]

    def given(self, networks: list[ET.Element]) -> Holdings:
        """What the networks say they have given to VMs, routers and reservations."""
        found: Holdings = Counter()
        for network in networks:
            oid = int(network.findtext("ID", ""))
            for lease in network.iter("LEASE"):
                kind = next(tag for tag in ("VM", "VROUTER", "VNET") if lease.find(tag) is not None)
                holder = int(lease.findtext(kind, ""))
                if (kind, holder) != ("VM", -1):
                    found[oid, lease.findtext("MAC", ""), kind, holder] += 1
        return found

    def held(self, networks: list[ET.Element]) -> Holdings:
        """What VMs, routers and reservations say they have."""
        found: Holdings = Counter()
        for vm in self.pool("one.vmpool.infoextended", -2, -1, -1, -1):
            for nic in vm.findall("TEMPLATE/NIC") + vm.findall("TEMPLATE/NIC_ALIAS"):
                found[
                    int(nic.findtext("NETWORK_ID", "")), nic.findtext("MAC", ""), "VM", int(vm.findtext("ID", ""))
                ] += 1
        for router in self.pool("one.vrouterpool.info", -2, -1, -1):
            for nic in router.findall("TEMPLATE/NIC"):
                if (mac := nic.findtext("VROUTER_MAC", "")) != "":
                    found[int(nic.findtext("NETWORK_ID", "")), mac, "VROUTER", int(router.findtext("ID", ""))] += 1
        for network in networks:
            for one in network.iter("AR"):
                if one.find("PARENT_NETWORK_AR_ID") is not None:
                    first = int(one.findtext("MAC", "").replace(":", ""), 16)
                    for number in range(first, first + int(one.findtext("SIZE", ""))):
                        parent = int(network.findtext("PARENT_NETWORK_ID", ""))
                        text = ":".join(f"{number:012x}"[at : at + 2] for at in range(0, 12, 2))
                        found[parent, text, "VNET", int(network.findtext("ID", ""))] += 1
        return found


@pytest.mark.parametrize("seed", range(6))
def test_an_address_is_never_given_twice(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    for _ in range(STEPS):
        world.step()
        networks = world.networks()
        given = world.given(networks)
        assert given == world.held(networks)
        for network in networks:
            per_range = [Counter(lease.findtext("MAC") for lease in one.iter("LEASE")) for one in network.iter("AR")]
            assert all(count == 1 for counts in per_range for count in counts.values())
            assert int(network.findtext("USED_LEASES", "")) == sum(counts.total() for counts in per_range)


@pytest.mark.parametrize("seed", range(3))
def test_quotas_count_the_addresses_that_a_user_holds(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, 100 + seed)
    for _ in range(STEPS):
        world.step()
    world.oned.settle()
    networks = world.networks()
    owned = {("VM", int(row.findtext("ID", ""))) for row in world.pool("one.vmpool.info", ANN_UID, -1, -1, -1)}
    owned |= {("VNET", int(row.findtext("ID", ""))) for row in world.pool("one.vnpool.info", ANN_UID, -1, -1)}
    expected: Counter[int] = Counter()
    for (network, _mac, kind, holder), count in world.held(networks).items():
        if (kind, holder) in owned:
            expected[network] += count
    user = ET.fromstring(world.oned.call("one.user.info", ADMIN, ANN_UID)[1])
    used = {int(line.findtext("ID", "")): int(line.findtext("LEASES_USED", "")) for line in user.iter("NETWORK")}
    assert {network: count for network, count in used.items() if count} == dict(expected)
