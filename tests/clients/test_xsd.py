"""Info and pool answers are valid by OpenNebula's own XML schemas (XSD 1.1) wherever the real daemon's answers are.

The real daemon does not keep to its schemas everywhere: a VM that was never placed lacks TM_MAD_SYSTEM, attributes that
people add to address ranges or rules stand where none may. What counts as such is read from its recorded answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.clients import schemas
from tests.clients.world import Asked, World, faults

pytestmark = [pytest.mark.xdist_group("clients"), pytest.mark.timeout(240)]

RECORDED = Path(__file__).parents[1] / "parity" / "scenarios"
WITHOUT_SCHEMA = {"one.vmpool.infoextended", "one.hooklog.info", "one.userquota.info", "one.groupquota.info"}
"""The first gives whole VMs where the schema of its root has the short form; of the others no schema knows the root."""


def kind(fault: str) -> str:
    """Where it is and what was missed there, without positions: `/VM/TEMPLATE lacks TM_MAD_SYSTEM`."""
    path, _, reason = re.sub(r"\[\d+\]|\{.*?\}", "", fault).partition(": ")
    if expected := re.search(r"Tag '(\w+)' expected", reason):
        return f"{path} lacks {expected[1]}"
    if unexpected := re.search(r"Unexpected child with tag '(\w+)'", reason):
        return f"{path} has {unexpected[1]}"
    return f"{path}: {reason}"


@cache
def kinds_recorded() -> frozenset[str]:
    """What the schemas have against answers of the real daemon."""
    return frozenset(kind(fault) for xml in recorded() if (fault := schemas.fault(xml)))


def recorded() -> Iterator[str]:
    for path in sorted(RECORDED.glob("*.expected.json")):
        for step in json.loads(path.read_text()):
            answer = step["answer"]
            readable = "info" in step["call"] or step["call"].endswith(".monitoring")
            if readable and isinstance(answer, list) and answer[0] is True and str(answer[1]).startswith("<"):
                yield answer[1]


def whole_vms(asked: Asked) -> bool:
    return asked.method == "one.vmpool.infoset" and asked.arguments[1] is True


def judged(asked: Asked) -> str:
    if not str(asked.answer).startswith("<") or asked.method in WITHOUT_SCHEMA or whole_vms(asked):
        return ""
    fault = schemas.fault(without_locks(asked))
    return fault if fault and kind(fault) not in kinds_recorded() else ""


def without_locks(asked: Asked) -> str:
    """The schema of VM lists does not know LOCK."""
    answer: str = asked.answer
    return re.sub("<LOCK>.*?</LOCK>", "", answer) if asked.method.startswith("one.vmpool.info") else answer


def test_every_info_and_pool_answer_is_as_valid_as_the_real_daemon_s(answers: list[Asked]) -> None:
    assert len(answers) > 80
    assert not faults(answers, judged)


def test_nearly_all_are_valid_without_any_allowance(answers: list[Asked]) -> None:
    checked = [one for one in answers if str(one.answer).startswith("<") and one.method not in WITHOUT_SCHEMA]
    strictly = [one for one in checked if not schemas.fault(without_locks(one))]
    assert len(strictly) > 0.8 * len(checked)


def test_whole_vms_in_lists_are_valid_one_by_one(world: World) -> None:
    answer = world.do("one.vmpool.infoextended", -2, -1, -1, -2)
    bodies = re.findall("<VM>.*?</VM>", answer, re.DOTALL)
    assert len(bodies) > 8
    wrong = [fault for body in bodies if (fault := schemas.fault(body))]
    assert not [fault for fault in wrong if kind(fault) not in kinds_recorded()]


def test_the_schemas_tell_right_from_wrong(world: World) -> None:
    answer = world.do("one.vm.info", world.oids["busy"])
    assert not schemas.fault(answer)
    for before, after in (("STIME>", "STYME>"), ("<UID>0</UID>", "<UID>zero</UID>"), ("<NAME>", "<NAME/><NAME>")):
        fault = schemas.fault(answer.replace(before, after))
        assert fault
        assert kind(fault) not in kinds_recorded()
