"""Scheduled actions are done when they are due, and say what became of them."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.oned_lite.local import LocalOned

ADMIN = "oneadmin:opennebula"


class Lab:
    def __init__(self, folder: Path) -> None:
        self.oned = LocalOned(folder, scheduler=True)
        self.ask("one.host.allocate", "h1", "dummy", "dummy", 0)
        self.ask("one.datastore.allocate", "NAME=sys\nTYPE=SYSTEM_DS\nTM_MAD=dummy", 0)
        self.oned.settle()
        self.vm = self.ask("one.vm.allocate", "NAME=a\nCPU=1\nMEMORY=64", False)
        self.oned.settle()

    def ask(self, method: str, *arguments: object) -> int:
        answer = self.oned.call(method, ADMIN, *arguments)  # type: ignore[arg-type]
        assert answer[0] is True, answer
        return int(answer[1])

    def schedule(self, text: str) -> None:
        self.ask("one.vm.schedadd", self.vm, f"SCHED_ACTION=[{text}]")
        self.oned.settle()

    def xml(self) -> str:
        return str(self.oned.call("one.vm.info", ADMIN, self.vm)[1])


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_an_action_is_done_once_its_time_has_come(lab: Lab) -> None:
    lab.schedule(f"ACTION=poweroff,TIME={int(time.time()) + 3600}")
    assert "<STATE>3</STATE>" in lab.xml()
    lab.schedule("ACTION=poweroff,TIME=1000")
    assert "<STATE>8</STATE>" in lab.xml()
    assert len(re.findall("<SCHED_ACTION>", lab.xml())) == 1


def test_an_action_that_fails_says_why_and_changes_nothing(lab: Lab) -> None:
    lab.schedule("ACTION=release,TIME=1000")
    assert "<STATE>3</STATE>" in lab.xml()
    assert "This action is not available for state RUNNING" in lab.xml()


def test_a_repeated_action_moves_to_its_next_turn(lab: Lab) -> None:
    lab.schedule('ACTION=snapshot-create,ARGS=nightly,TIME=1000,REPEAT=3,DAYS="24"')
    found = re.search(r"<SCHED_ACTION>.*?<TIME>(\d+)</TIME>", lab.xml())
    assert found
    assert 0 < int(found[1]) - time.time() <= 24 * 3600
    assert "<NAME><![CDATA[nightly]]></NAME>" in lab.xml()
