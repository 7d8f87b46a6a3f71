"""Written-down outcomes: which piece of work gets which."""

from __future__ import annotations

import msgspec
import pytest

from services.oned_lite.drivers.scripted import RULES_MAX, Outcome, OutcomeRule, Script, ScriptedDrivers
from services.oned_lite.lifecycle.work import Work, WorkKey, WorkResult

DONE, FAILED = Outcome(result="success"), Outcome(result="failure", message="no")


def work(action: str = "deploy", driver: str = "vmm/dummy", oid: int = 3, timeout_s: float = 60) -> Work:
    return Work(key=WorkKey("vm_pool", oid, 1, action), driver=driver, timeout_s=timeout_s)


def results(script: Script, *works: Work) -> list[str | None]:
    found = [script.next_for(one) for one in works]
    return [None if one is None else one.result for one in found]


def test_a_rule_means_work_by_driver_action_kind_and_object() -> None:
    script = Script()
    script.add(OutcomeRule(outcomes=(FAILED,), driver="vmm/*", action="de*", kind="vm", oid=3, cycle=True))

    assert results(script, work()) == ["failure"]
    assert results(script, work("save"), work(driver="tm/shared"), work(oid=4)) == [None, None, None]


def test_a_used_up_rule_leaves_the_work_to_the_next_one() -> None:
    script = Script()
    script.add(OutcomeRule(outcomes=(FAILED, FAILED)))
    script.add(OutcomeRule(outcomes=(DONE,), action="deploy"))

    assert results(script, *[work()] * 4) == ["failure", "failure", "success", None]


def test_rules_are_bounded() -> None:
    script = Script()
    for _ in range(RULES_MAX):
        script.add(OutcomeRule(outcomes=(DONE,)))
    with pytest.raises(ValueError, match="take some out first"):
        script.add(OutcomeRule(outcomes=(DONE,)))


@pytest.mark.parametrize("text", ['{"outcomes": []}', '{"outcomes": [{"result": "maybe"}]}', '{"outcome": 1}'])
def test_a_rule_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=OutcomeRule)


class Real:
    async def run(self, work: Work) -> WorkResult:
        return WorkResult(key=work.key, ok=True, message="really")


@pytest.mark.parametrize(
    ("outcome", "message", "slept_s"),
    [
        (Outcome(result="run", delay_s=5), "really", 5),
        (Outcome(result="failure", message="no room"), "no room", 0),
        (Outcome(result="silence"), "driver vmm/dummy gave no answer in 60 s", 60),
        (Outcome(result="success", delay_s=90), "driver vmm/dummy gave no answer in 60 s", 60),
    ],
)
async def test_an_outcome_comes_after_its_delay_and_never_after_the_deadline(
    outcome: Outcome, message: str, slept_s: float
) -> None:
    script, slept = Script(), list[float]()
    script.add(OutcomeRule(outcomes=(outcome,)))

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    result = await ScriptedDrivers(Real(), script, sleep).run(work())

    assert (result.message, sum(slept)) == (message, slept_s)
