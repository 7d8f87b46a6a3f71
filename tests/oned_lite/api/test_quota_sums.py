"""Whatever people do, quotas count what the objects say: no more, no less."""

from __future__ import annotations

import random
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

from services.common.xmlrpc import Value
from tests.oned_lite.local import LocalOned

ADMIN = "oneadmin:opennebula"
OWNERS = {2: "ann:annpw", 3: "bob:bobpw"}
STEPS = 120
NETWORK = "NAME=lan\nVN_MAD=dummy\nBRIDGE=br0\nAR=[TYPE=IP4,IP=10.0.0.1,SIZE=200]"
RUNNING = {"1", "2", "3", "10", "11"}
DONE = "6"
MAKING = {"one.vm.allocate", "one.image.allocate", "one.image.clone", "one.vn.reserve"}


class World:
    """A daemon with two users, a host and datastores, and a dice that chooses what happens next."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.oned = LocalOned(folder)
        self.dice = random.Random(seed)
        for session in OWNERS.values():
            name, password = session.split(":")
            self.made("one.user.allocate", ADMIN, name, password, "core", [1])
        self.made("one.group.allocate", ADMIN, "devs")
        self.made("one.datastore.allocate", ADMIN, "NAME=sys\nTYPE=SYSTEM_DS\nTM_MAD=dummy", 0)
        self.images = self.made("one.datastore.allocate", ADMIN, "NAME=img\nDS_MAD=dummy\nTM_MAD=dummy", 0)
        self.host = self.made("one.host.allocate", ADMIN, "h1", "dummy", "dummy", 0)
        self.net = self.made("one.vn.allocate", ADMIN, NETWORK, -1)
        self.made("one.vn.chmod", ADMIN, self.net, 1, 1, 1, 1, 1, 0, 1, 0, 0)
        self.oned.settle()

    def made(self, method: str, session: str, *arguments: Value) -> int:
        answer = self.oned.call(method, session, *arguments)
        assert answer[0] is True, answer
        return int(answer[1])

    def tree(self, method: str, *arguments: Value) -> ET.Element:
        return ET.fromstring(self.oned.call(method, ADMIN, *arguments)[1])

    def some(self, pool: str, *arguments: Value) -> int:
        found = [int(row.findtext("ID", "0")) for row in self.tree(pool, -2, -1, -1, *arguments)]
        return self.dice.choice(found) if found else 0

    def step(self) -> tuple[str, list[Value]]:
        """One call, sensible or not, by somebody; then the drivers may finish, or not yet."""
        dice = self.dice
        vm, image = self.some("one.vmpool.info", -1), self.some("one.imagepool.info")
        size = dice.randint(1, 90)
        net = self.some("one.vnpool.info")
        nic = f"NIC=[NETWORK_ID={net}]"
        disk = dice.choice(["", nic, f"{nic}\n{nic}", f"DISK=[TYPE=fs,SIZE={size}]", f"DISK=[IMAGE_ID={image}]"])
        capacity = f"CPU={dice.choice(['0.5', '1', '1.3'])}\nMEMORY={dice.randint(1, 256)}"
        owner = dice.choice([*OWNERS.values(), ADMIN])
        calls: list[tuple[str, list[Value]]] = [
            *[("one.vm.allocate", [f"{capacity}\n{disk}", dice.random() < 0.2])] * 4,
            *[("one.vm.deploy", [vm, self.host])] * 4,
            ("one.vm.action", [dice.choice(["terminate-hard", "poweroff", "suspend", "undeploy", "stop"]), vm]),
            ("one.vm.action", ["resume", vm]),
            ("one.vm.resize", [vm, capacity, False]),
            ("one.vm.attach", [vm, disk or "DISK=[TYPE=swap,SIZE=5]"]),
            ("one.vm.detach", [vm, 0]),
            ("one.vm.attachnic", [vm, nic]),
            ("one.vm.detachnic", [vm, 0]),
            *[("one.vn.reserve", [self.net, f"NAME=r{dice.random()}\nSIZE={dice.randint(1, 4)}"])] * 2,
            ("one.vn.delete", [net if net != self.net else -1]),
            ("one.vm.diskresize", [vm, 0, str(size + 40)]),
            ("one.vm.disksnapshotcreate", [vm, 0, "snap"]),
            ("one.vm.disksaveas", [vm, 0, f"saved{dice.random()}", "", -1]),
            ("one.vm.chown", [vm, dice.choice([-1, 0, 2, 3]), dice.choice([-1, 0, 1, 100])]),
            ("one.vm.recover", [vm, dice.choice([3, 4])]),
            ("one.image.allocate", [f"NAME=i{dice.random()}\nSIZE={size}\nTYPE=DATABLOCK", self.images]),
            ("one.image.clone", [image, f"c{dice.random()}"]),
            ("one.image.persistent", [image, dice.random() < 0.5]),
            ("one.image.chown", [image, dice.choice([-1, 0, 2, 3]), dice.choice([-1, 0, 1, 100])]),
            ("one.image.delete", [image]),
            ("one.user.quota", [2, f"VM=[VMS={dice.randint(1, 6)},RUNNING_CPU=3]"]),
        ]
        method, arguments = dice.choice(calls)
        self.oned.call(method, owner if method in MAKING or dice.random() < 0.2 else ADMIN, *arguments)
        if dice.random() < 0.8:
            self.oned.settle()
        return method, arguments


def counted(world: World, kind: str, oid: int) -> dict[str, float]:
    """What one user's or group's quotas say is used; nothing is left out."""
    tree = world.tree(f"one.{kind}.info", oid)
    found: dict[str, float] = {}
    for container in ("VM_QUOTA/VM", "DATASTORE_QUOTA/DATASTORE", "IMAGE_QUOTA/IMAGE", "NETWORK_QUOTA/NETWORK"):
        for line in tree.findall(container):
            name = f"{line.findtext('ID', '')} "
            for cell in line:
                if cell.tag.endswith("_USED"):
                    found[f"{container} {name}{cell.tag.removesuffix('_USED')}"] = float(cell.text or 0)
    return {name: value for name, value in found.items() if value}


def said(world: World, tag: str, oid: int) -> dict[str, float]:
    """The same, added up from what VMs and images show."""
    sums: Counter[str] = Counter()
    for vm in world.tree("one.vmpool.infoextended", -2, -1, -1, -1):
        if vm.findtext(tag) == str(oid) and vm.findtext("STATE") != DONE:
            add_vm(sums, vm)
    for image in world.tree("one.imagepool.info", -2, -1, -1):
        if image.findtext(tag) == str(oid):
            line = f"DATASTORE_QUOTA/DATASTORE {image.findtext('DATASTORE_ID')}"
            snapshots = sum(int(one.text or 0) for one in image.findall("SNAPSHOTS/SNAPSHOT/SIZE"))
            sums[f"{line} IMAGES"] += 1
            sums[f"{line} SIZE"] += int(image.findtext("SIZE", "0")) + snapshots
    for net in world.tree("one.vnpool.info", -2, -1, -1):
        parent = net.findtext("PARENT_NETWORK_ID")
        if parent and net.findtext(tag) == str(oid):
            reserved = sum(int(one.text or 0) for one in net.findall("AR_POOL/AR/SIZE"))
            sums[f"NETWORK_QUOTA/NETWORK {parent} LEASES"] += reserved
    return {name: pytest.approx(value, abs=0.006) for name, value in sums.items() if value}


def add_vm(sums: Counter[str], vm: ET.Element) -> None:
    cpu, memory = float(vm.findtext("TEMPLATE/CPU", "0")), int(vm.findtext("TEMPLATE/MEMORY", "0"))
    prefixes = ("", "RUNNING_") if vm.findtext("STATE") in RUNNING else ("",)
    for prefix in prefixes:
        for metric, value in (("VMS", 1), ("CPU", cpu), ("MEMORY", memory)):
            sums[f"VM_QUOTA/VM  {prefix}{metric}"] += value  # type: ignore[assignment]
    for nic in vm.findall("TEMPLATE/NIC"):
        sums[f"NETWORK_QUOTA/NETWORK {nic.findtext('NETWORK_ID')} LEASES"] += 1
    for disk in vm.findall("TEMPLATE/DISK"):
        image = disk.findtext("IMAGE_ID")
        size = int(disk.findtext("SIZE", "0"))
        if image is not None:
            sums[f"IMAGE_QUOTA/IMAGE {image} RVMS"] += 1
        if image is None or (disk.findtext("CLONE") == "YES" and disk.findtext("CLONE_TARGET") == "SYSTEM"):
            snapshots = int(disk.findtext("DISK_SNAPSHOT_TOTAL_SIZE", "0"))
            sums["VM_QUOTA/VM  SYSTEM_DISK_SIZE"] += size + snapshots
        else:
            grown = size - int(disk.findtext("ORIGINAL_SIZE", str(size)))
            sums[f"DATASTORE_QUOTA/DATASTORE {disk.findtext('DATASTORE_ID')} SIZE"] += max(0, grown)


@pytest.mark.parametrize("seed", range(4))
def test_quotas_equal_what_the_objects_say_after_any_calls(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    for _ in range(STEPS):
        call = world.step()
        for uid in OWNERS:
            assert counted(world, "user", uid) == said(world, "UID", uid), call
        for gid in (1, 100):
            assert counted(world, "group", gid) == said(world, "GID", gid), call
