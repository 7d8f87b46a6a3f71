"""Hooks: set off by what was committed, run as processes, remembered in a bounded log."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oned_lite.local import LocalOned

ADMIN = "oneadmin:opennebula"


class Lab:
    def __init__(self, folder: Path) -> None:
        self.oned = LocalOned(folder)
        self.datastore = self.ask("one.datastore.allocate", "NAME=d\nDS_MAD=dummy\nTM_MAD=dummy", -1)
        self.oned.settle()

    def ask(self, method: str, *arguments: object) -> int:
        answer = self.oned.call(method, ADMIN, *arguments)  # type: ignore[arg-type]
        assert answer[0] is True, answer
        return int(answer[1])

    def image(self, name: str) -> int:
        image = self.ask("one.image.allocate", f"NAME={name}\nSIZE=1", self.datastore)
        self.oned.settle()
        return image

    def log(self, hook: int) -> str:
        return str(self.oned.call("one.hook.info", ADMIN, hook)[1])


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    yield Lab(tmp_path)


def outputs(xml: str) -> list[str]:
    return re.findall(r"<STDOUT><!\[CDATA\[(.*?)]]></STDOUT>", xml, re.DOTALL)


def test_a_state_hook_gets_the_object_that_entered_the_state(lab: Lab) -> None:
    hook = lab.ask(
        "one.hook.allocate",
        'NAME=h\nTYPE=state\nRESOURCE=IMAGE\nSTATE=READY\nCOMMAND="/bin/cat"\nARGUMENTS="$TEMPLATE"\nARGUMENTS_STDIN=yes',
    )
    lab.image("first")
    (output,) = outputs(lab.log(hook))
    assert "<NAME>first</NAME>" in base64.b64decode(output).decode()


def test_a_state_hook_waits_for_entering_not_for_staying(lab: Lab) -> None:
    hook = lab.ask("one.hook.allocate", "NAME=h\nTYPE=state\nRESOURCE=IMAGE\nSTATE=READY\nCOMMAND=/bin/true")
    image = lab.image("a")
    lab.ask("one.image.rename", image, "b")
    lab.oned.settle()
    assert len(outputs(lab.log(hook))) == 1


def test_an_api_hook_sees_failures_too_and_never_the_session(lab: Lab) -> None:
    hook = lab.ask(
        "one.hook.allocate",
        'NAME=h\nTYPE=api\nCALL=one.image.rename\nCOMMAND="/usr/bin/base64 -d"\nARGUMENTS="$API"\nARGUMENTS_STDIN=yes',
    )
    assert lab.oned.call("one.image.rename", ADMIN, 77, "x")[0] is False
    lab.oned.settle()
    log = lab.log(hook)
    assert "<RESULT>0</RESULT>" in log
    assert "opennebula" not in base64.b64decode(re.findall(r"<ARGUMENTS><!\[CDATA\[([\w+/=]+)", log)[-1]).decode()


def test_a_failed_execution_can_be_run_again(lab: Lab, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    hook = lab.ask(
        "one.hook.allocate", f'NAME=h\nTYPE=state\nRESOURCE=IMAGE\nSTATE=READY\nCOMMAND="/usr/bin/test -e {flag}"'
    )
    lab.image("a")
    flag.touch()
    lab.ask("one.hook.retry", hook, 0)
    lab.oned.settle()
    assert re.findall(r"<CODE>(\d+)</CODE>", lab.log(hook)) == ["1", "0"]
    failed = lab.oned.call("one.hooklog.info", ADMIN, -1, -1, hook, -1)[1]
    assert re.findall(r"<EXECUTION_ID>(\d+)<", failed) == ["0"]


def test_the_log_keeps_the_last_executions_only(lab: Lab) -> None:
    hook = lab.ask("one.hook.allocate", "NAME=h\nTYPE=api\nCALL=one.image.rename\nCOMMAND=/bin/true")
    for _ in range(25):
        lab.oned.call("one.image.rename", ADMIN, 77, "x")
    lab.oned.settle()
    kept = [int(number) for number in re.findall(r"<EXECUTION_ID>(\d+)<", lab.log(hook))]
    assert kept == list(range(5, 25))


def test_an_api_hook_on_delete_is_told_what_was_deleted(lab: Lab) -> None:
    hook = lab.ask(
        "one.hook.allocate",
        'NAME=h\nTYPE=api\nCALL=one.document.delete\nCOMMAND="/usr/bin/base64 -d"\nARGUMENTS="$API"\nARGUMENTS_STDIN=yes',
    )
    document = lab.ask("one.document.allocate", "NAME=gone\nA=1", 100)
    lab.ask("one.document.delete", document)
    lab.oned.settle()
    assert "<EXTRA><DOCUMENT><ID>0</ID>" in lab.log(hook)
