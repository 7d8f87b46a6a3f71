"""Makes a plan that shows a difference smaller, as long as it goes on showing one of the same kind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from tests.balancer.likeness.conf import Node
from tests.balancer.likeness.plan import Plan
from tests.balancer.likeness.play import Difference, Result, play
from tests.balancer.likeness.servers import Servers

BUDGET_S = 60.0
KEPT = ("listen", "root", "log_format", "access_log", "location /", "proxy_pass", "return")
"""Without these, nothing is seen, or nginx looks for files."""


async def shrink(result: Result, upstreams: Servers, budget_s: float = BUDGET_S) -> Result:
    """The smallest plan found within ``budget_s`` seconds that differs in what the first difference is about."""
    deadline = time.monotonic() + budget_s
    what = result.differences[0].what
    number = _number(result.differences[0])
    best = result
    progressed = True
    while progressed:
        progressed = False
        for smaller in _smaller(best.plan, number):
            if time.monotonic() > deadline:
                return best
            try:
                tried = await play(smaller, upstreams)
            except AssertionError:
                continue  # nginx does not take what is left of the file
            if any(each.what == what and _number(each) == number for each in tried.differences):
                best, progressed = tried, True
                break
    return best


def _number(difference: Difference) -> int:
    return difference.request.number if difference.request else -1


def _smaller(plan: Plan, number: int) -> Iterator[Plan]:
    """Each a little less, the boldest first."""
    requests = plan.requests
    if len(requests) > 1:
        yield replace(plan, requests=tuple(one for one in requests if one.number == number))
        half = len(requests) // 2
        yield replace(plan, requests=requests[half:])
        for gone in requests[:-1]:
            yield replace(plan, requests=tuple(one for one in requests if one is not gone))
    for nodes in _fewer(plan.nodes):
        yield replace(plan, nodes=nodes)
    for asked in requests[:1] if len(requests) == 1 else ():
        for index in range(len(asked.fields)):
            yield replace(plan, requests=(replace(asked, fields=asked.fields[:index] + asked.fields[index + 1 :]),))
        for index in range(len(asked.answers)):
            yield replace(plan, requests=(replace(asked, answers=asked.answers[:index] + asked.answers[index + 1 :]),))


def _fewer(nodes: tuple[Node, ...]) -> Iterator[tuple[Node, ...]]:
    """Without one node, whole blocks first."""
    for index in sorted(range(len(nodes)), key=lambda index: nodes[index].inside is None):
        if not nodes[index].line.startswith(KEPT):
            yield nodes[:index] + nodes[index + 1 :]
    for index, node in enumerate(nodes):
        for inside in _fewer(node.inside) if node.inside else ():
            yield (*nodes[:index], Node(node.line, inside), *nodes[index + 1 :])
