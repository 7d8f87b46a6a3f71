"""New objects that are refused while they are being stored: what stays of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.oned_lite.local import LocalOned

ADMIN = "oneadmin:opennebula"
HOOK = 'NAME=h\nTYPE=api\nCALL="one.vm.allocate"\nCOMMAND="/bin/true"'
VM = "CPU=1\nMEMORY=64"


@pytest.fixture
def oned(tmp_path: Path) -> LocalOned:
    return LocalOned(tmp_path)


def ask(oned: LocalOned, method: str, *arguments: object) -> int:
    answer = oned.call(method, ADMIN, *arguments)  # type: ignore[arg-type]
    assert answer[0] is True, answer
    return int(answer[1])


def refused(oned: LocalOned, method: str, *arguments: object) -> str:
    answer = oned.call(method, ADMIN, *arguments)  # type: ignore[arg-type]
    assert answer[0] is False, answer
    return str(answer[1])


@pytest.mark.parametrize(
    ("method", "bad", "good"), [("one.hook.allocate", "NAME=x\nTYPE=odd", HOOK), ("one.vm.allocate", "CPU=1", VM)]
)
def test_only_the_first_id_of_a_pool_is_lost(oned: LocalOned, method: str, bad: str, good: str) -> None:
    refused(oned, method, bad)
    refused(oned, method, bad)
    assert ask(oned, method, good) == 1
    refused(oned, method, bad)
    assert ask(oned, method, good.replace("NAME=h", "NAME=i")) == 2


def test_a_call_that_is_not_allowed_costs_no_id(oned: LocalOned) -> None:
    ask(oned, "one.user.allocate", "ann", "secret", "", [])
    assert oned.call("one.hook.allocate", "ann:secret", HOOK)[0] is False
    assert ask(oned, "one.hook.allocate", HOOK) == 0


def test_a_vm_of_a_persistent_copy_that_cannot_be_made_leaves_its_images_free(oned: LocalOned) -> None:
    datastore = ask(oned, "one.datastore.allocate", "NAME=d\nDS_MAD=dummy\nTM_MAD=dummy", -1)
    oned.settle()
    image = ask(oned, "one.image.allocate", "NAME=i\nSIZE=1", datastore)
    oned.settle()
    broken = f'NAME=t\nCPU=1\nMEMORY=64\nDISK=[IMAGE_ID={image}]\nGRAPHICS=[PORT="none"]'
    template = ask(oned, "one.template.allocate", broken)

    refused(oned, "one.template.instantiate", template, "mine", False, "", True)
    oned.settle()

    assert "<RUNNING_VMS>0</RUNNING_VMS>" in str(oned.call("one.image.info", ADMIN, image + 1)[1])
    assert "<ID>" not in str(oned.call("one.vmpool.info", ADMIN, -2, -1, -1, -1)[1])


def test_a_vm_that_stays_after_a_wrong_schedule_counts_in_quotas(oned: LocalOned) -> None:
    uid = ask(oned, "one.user.allocate", "ann", "secret", "", [])
    answer = oned.call("one.vm.allocate", "ann:secret", f"{VM}\nSCHED_ACTION=[ACTION=nonsense, TIME=1]")
    assert answer[0] is False
    assert re.search(r"<VMS_USED>(<!\[CDATA\[)?1\b", str(oned.call("one.user.info", ADMIN, uid)[1]))
