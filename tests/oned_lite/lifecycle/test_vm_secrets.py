"""CONTEXT/PASSWORD of VMs, EC2_SECRET of hosts: encrypted where they lie, plain only for administrators who ask."""

from __future__ import annotations

import re
from pathlib import Path

from tests.oned_lite.local import LocalOned

ADMIN, ANN = "oneadmin:opennebula", "ann:secret"
SECRET = "hunter2"


def password(xml: str, tag: str = "PASSWORD") -> str:
    found = re.search(rf"<{tag}><!\[CDATA\[(.*?)\]\]></{tag}>", xml)
    return found[1] if found else ""


def test_the_password_in_a_context_is_encrypted(tmp_path: Path) -> None:
    oned = LocalOned(tmp_path)
    oned.call("one.user.allocate", ADMIN, "ann", "secret", "core", [])
    vm = oned.call("one.vm.allocate", ANN, f"CPU=1\nMEMORY=16\nCONTEXT=[PASSWORD={SECRET}]", True)[1]
    shown = password(oned.call("one.vm.info", ANN, vm, False)[1])
    assert shown
    assert shown != SECRET
    assert password(oned.call("one.vm.info", ANN, vm, True)[1]) == shown
    assert password(oned.call("one.vm.info", ADMIN, vm, True)[1]) == SECRET
    assert SECRET not in oned.call("one.vmpool.infoextended", ADMIN, -2, -1, -1, -2, "")[1]


def test_a_new_password_is_encrypted_as_well(tmp_path: Path) -> None:
    oned = LocalOned(tmp_path)
    vm = oned.call("one.vm.allocate", ADMIN, "CPU=1\nMEMORY=16\nCONTEXT=[PASSWORD=old]", True)[1]
    assert oned.call("one.vm.updateconf", ADMIN, vm, f"CONTEXT=[PASSWORD={SECRET}]", 1)[0] is True
    assert SECRET not in oned.call("one.vm.info", ADMIN, vm, False)[1]
    assert password(oned.call("one.vm.info", ADMIN, vm, True)[1]) == SECRET


def test_a_hosts_secrets_are_encrypted(tmp_path: Path) -> None:
    oned = LocalOned(tmp_path)
    host = oned.call("one.host.allocate", ADMIN, "h", "dummy", "dummy", 0)[1]
    oned.call("one.host.update", ADMIN, host, f"EC2_SECRET={SECRET}", 1)
    assert SECRET not in oned.call("one.host.info", ADMIN, host, False)[1]
    assert password(oned.call("one.host.info", ADMIN, host, True)[1], "EC2_SECRET") == SECRET
