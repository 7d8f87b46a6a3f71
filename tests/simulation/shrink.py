"""Makes a failing plan smaller, as long as it goes on failing: fewer kinds of faults, fewer servers, less time, fewer
strikes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from .plan import Plan
from .run import Result, run

BUDGET_S = 60.0


def shrink(result: Result, budget_s: float = BUDGET_S) -> Result:
    """The smallest failing run found within `budget_s` seconds."""
    deadline = time.monotonic() + budget_s
    best, progressed = result, True
    while progressed:
        progressed = False
        for smaller in _smaller(best.plan):
            if time.monotonic() > deadline:
                return best
            tried = run(smaller)
            if tried.violation:
                best, progressed = tried, True
                break
    return best


def _smaller(plan: Plan) -> Iterator[Plan]:
    """Each a little less, the boldest first."""
    for percent in (25, 50, 75, 90):
        faulty_us = plan.faulty_us * percent // 100
        yield replace(plan, faulty_us=faulty_us, strikes=tuple(one for one in plan.strikes if one.at_us < faulty_us))
    for servers in range(3, plan.servers):
        yield replace(plan, servers=servers)
    for kind in plan.kinds:
        yield replace(plan, strikes=tuple(one for one in plan.strikes if one.kind != kind))
    for strike in plan.strikes:
        yield replace(plan, strikes=tuple(one for one in plan.strikes if one is not strike))
