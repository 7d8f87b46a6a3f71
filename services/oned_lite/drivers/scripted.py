"""Outcomes of driver work that somebody has written down beforehand, so that every state of an object can be provoked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import Annotated, Literal

import msgspec

from services.oned_lite.lifecycle.work import Work, WorkResult

from .port import Driver

RULES_MAX = 1000
Seconds = Annotated[float, msgspec.Meta(ge=0, le=10 * 365 * 86400)]


class Outcome(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What becomes of one piece of work, after `delay_s`: `run` lets the driver do it, `success` and `failure` are said
    without doing anything (`message` is the driver's text, `values` what it found out, such as DEPLOY_ID), `silence`
    gives no answer until the work's deadline is over."""

    result: Literal["run", "success", "failure", "silence"] = "run"
    message: str = ""
    values: dict[str, str] = {}
    delay_s: Seconds = 0.0


class OutcomeRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The work that is meant, and its outcomes one after the other.

    `driver` ("vmm/dummy", "tm/*") and `action` ("deploy", "snapshot_*") are patterns; `kind` is the object's ("vm",
    "image", "host"), `oid` its id. A list that `cycle`s begins anew; one that does not is used up, and what comes next
    goes to the following rule or to the driver itself.
    """

    outcomes: Annotated[tuple[Outcome, ...], msgspec.Meta(min_length=1, max_length=1000)]
    driver: str = "*"
    action: str = "*"
    kind: str = "*"
    oid: int | None = None
    cycle: bool = False

    def means(self, work: Work) -> bool:
        return (
            fnmatchcase(work.driver, self.driver)
            and fnmatchcase(work.key.action, self.action)
            and fnmatchcase(work.key.table.removesuffix("_pool"), self.kind)
            and self.oid in (None, work.key.oid)
        )


class Script:
    """Rules in the order in which they were given; the first that means a piece of work decides on it."""

    def __init__(self) -> None:
        self._rules: list[OutcomeRule] = []
        self._given: list[int] = []

    @property
    def rules(self) -> tuple[OutcomeRule, ...]:
        return tuple(self._rules)

    def add(self, rule: OutcomeRule) -> None:
        """Raises ValueError where there are too many."""
        if len(self._rules) >= RULES_MAX:
            raise ValueError(f"there are {RULES_MAX} rules already; take some out first")
        self._rules.append(rule)
        self._given.append(0)

    def clear(self) -> None:
        self._rules.clear()
        self._given.clear()

    def next_for(self, work: Work) -> Outcome | None:
        """None: as the driver will."""
        for position, rule in enumerate(self._rules):
            given = self._given[position]
            if rule.means(work) and (rule.cycle or given < len(rule.outcomes)):
                self._given[position] = given + 1
                return rule.outcomes[given % len(rule.outcomes)]
        return None


class ScriptedDrivers:
    """Stands before the real drivers. `sleep` is the daemon's own, which goes with a clock that is put forward."""

    def __init__(self, drivers: Driver, script: Script, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._drivers = drivers
        self._script = script
        self._sleep = sleep

    async def run(self, work: Work) -> WorkResult:
        outcome = self._script.next_for(work)
        if outcome is None:
            return await self._drivers.run(work)
        await self._sleep(min(outcome.delay_s, work.timeout_s))
        if outcome.result == "silence" or outcome.delay_s >= work.timeout_s:
            await self._sleep(work.timeout_s - min(outcome.delay_s, work.timeout_s))
            return no_answer(work)
        if outcome.result == "run":
            return await self._drivers.run(work)
        values = tuple(outcome.values.items())
        return WorkResult(key=work.key, ok=outcome.result == "success", message=outcome.message, values=values)


def no_answer(work: Work) -> WorkResult:
    """What a driver's silence comes to when the deadline is over."""
    return WorkResult(key=work.key, ok=False, message=f"driver {work.driver} gave no answer in {work.timeout_s:g} s")
