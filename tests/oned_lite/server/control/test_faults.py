"""Which call a fault is put in the way of, and what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from services.common.xmlrpc import Fault, Value, decode_response, encode_response
from services.oned_lite.api.catalogue import METHODS
from services.oned_lite.server.control.backend import WatchedBackend
from services.oned_lite.server.control.calls import CALLS_MAX, HIDDEN, CallLog
from services.oned_lite.server.control.faults import NO_DOCUMENT, FaultRule, Faults

SERVED = encode_response([True, 5, 0])


class Served:
    """A backend that answers at once and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def call(self, method: str, arguments: list[Value], answered: Callable[[bytes], None]) -> Callable[[], None]:
        self.calls += 1
        answered(SERVED)
        return lambda: None


async def answers(rule: FaultRule, calls: int = 1) -> tuple[list[bytes], Served, CallLog]:
    backend, faults, log = Served(), Faults(), CallLog(METHODS)
    faults.add(rule)
    watched, found = WatchedBackend(backend, log, faults, lambda: 1000), list[bytes]()
    for _ in range(calls):
        watched.call("one.vm.info", ["ann:pw", 1], found.append)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    return found, backend, log


async def test_an_error_before_the_call_keeps_it_from_happening() -> None:
    (document,), backend, log = await answers(FaultRule(method="one.vm.*", then="error", code=1024, message="gone"))

    assert decode_response(document) == [False, "[one.vm.info] gone", 1024, -1, -1]
    assert backend.calls == 0
    assert [(one.outcome, one.code, one.user, one.arguments) for one in log.calls] == [("error", 1024, "ann", [1])]


async def test_a_cut_after_the_call_loses_its_answer_only() -> None:
    (document,), backend, log = await answers(FaultRule(then="reset", when="after"))

    assert document == NO_DOCUMENT
    assert backend.calls == 1
    assert log.calls[0].outcome == "cut"


async def test_a_fault_goes_for_so_many_calls() -> None:
    found, backend, _log = await answers(FaultRule(then="fault", code=-9, times=2), calls=3)

    for document in found[:2]:
        with pytest.raises(Fault):
            decode_response(document)
    assert found[2] == SERVED
    assert backend.calls == 1


async def test_a_call_that_hangs_is_noted_without_an_answer() -> None:
    found, backend, log = await answers(FaultRule(then="hang"))

    assert (found, backend.calls) == ([], 0)
    assert log.calls[0].outcome == "none"


async def test_calls_that_hang_are_cut_when_faults_are_cleared() -> None:
    backend, faults = Served(), Faults()
    faults.add(FaultRule(then="hang"))
    watched, found = WatchedBackend(backend, CallLog(METHODS), faults, lambda: 1000), list[bytes]()
    watched.call("one.vm.info", ["ann:pw", 1], found.append)
    gone = watched.call("one.vm.info", ["ann:pw", 1], found.append)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gone()

    faults.clear()

    assert found == [NO_DOCUMENT]


def test_other_methods_are_left_alone() -> None:
    faults = Faults()
    faults.add(FaultRule(method="one.image.*"))
    assert faults.take("one.vm.info") is None
    assert faults.take("one.image.info") is not None


def test_calls_are_kept_without_secrets_and_in_bounds() -> None:
    log = CallLog(METHODS)
    log.add("one.user.passwd", ["oneadmin:pw", 2, "new secret"], at=1)
    log.add("one.nosuch", ["oneadmin:pw", "who knows what"], at=1)
    assert [one.arguments for one in log.calls] == [[2, HIDDEN], [HIDDEN]]

    for _ in range(CALLS_MAX):
        log.add("one.vm.info", ["a:b", 1], at=1)
    assert len(log.calls) == CALLS_MAX
    assert log.calls[-1].number == CALLS_MAX + 2
