"""Active checks at work, and what they look at in an answer."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Awaitable, Callable

import pytest

from services.balancer.core.health import CheckSettings, HeaderRule, Match, StatusRange
from services.balancer.core.peers import State, Verdict
from services.balancer.estate import decode, encode, estate, take_up
from services.balancer.plane.prober import probe
from services.balancer.server import Balancer
from services.balancer.site import build
from services.balancer.status.changes import Changes
from services.common import logs
from tests.balancer.support import Upstream, always, answer, eventually, running, settings_for

Start = Callable[..., Awaitable[Upstream]]
FAST = {"interval_s": 0.05, "timeout_s": 0.5, "uri": "/healthz"}


async def test_a_failing_server_is_unhealthy_until_it_passes_again(upstream: Start) -> None:
    sick = await upstream("sick", always(answer(b"", "500 E")))
    settings = settings_for([sick, await upstream("well")], group={"health_check": {**FAST, "fails": 2, "passes": 2}})
    async with running(settings) as balancer:
        peer = balancer.peer(0)
        await eventually(lambda: peer.state(0) is State.UNHEALTHY)
        assert peer.stats.checks >= 2 and peer.stats.last_check_note == "status 500"
        assert [(await balancer.get()).body for _ in range(3)] == [b"well"] * 3
        sick._handler = always(answer(b"sick"))
        await eventually(lambda: peer.state(0) is State.UP)
        assert {(await balancer.get()).body for _ in range(4)} == {b"well", b"sick"}
    assert peer.fails == 0, "active failures are not passive ones"


async def test_a_mandatory_check_keeps_a_server_out_until_its_first_pass(upstream: Start) -> None:
    slow = await upstream("slow", always(answer(b"", "503 E")))
    settings = settings_for(
        [slow, await upstream("b")], group={"health_check": {**FAST, "fails": 99, "mandatory": True}}
    )
    async with running(settings) as balancer:
        await eventually(lambda: balancer.peer(1).state(0) is State.UP)
        assert balancer.peer(0).state(0) is State.CHECKING
        assert [(await balancer.get()).body for _ in range(3)] == [b"b"] * 3


async def test_a_killed_server_is_noticed_without_any_traffic(upstream: Start) -> None:
    servers = [await upstream("a"), await upstream("b")]
    async with running(settings_for(servers, group={"health_check": FAST})) as balancer:
        await eventually(lambda: balancer.peer(0).stats.checks > 0)
        await servers[0].stop()
        await eventually(lambda: balancer.peer(0).state(0) is State.UNHEALTHY)
        assert balancer.peer(0).stats.requests == 0


async def test_a_check_that_asks_for_the_leader_sends_everything_to_it(upstream: Start) -> None:
    follower = await upstream("follower", always(answer(b"follower", "503 Not the leader")))
    leader = await upstream("leader")
    check = {**FAST, "uri": "/leader", "mandatory": True}
    async with running(settings_for([follower, leader], group={"health_check": check})) as balancer:
        await eventually(lambda: balancer.peer(1).state(0) is State.UP)
        assert [(await balancer.get()).body for _ in range(4)] == [b"leader"] * 4


async def test_half_a_verdict_and_the_time_of_the_next_check_can_be_left_to_others(upstream: Start) -> None:
    server = await upstream("a", always(answer(b"", "503 No")))
    checks = [{"interval_s": 60, "fails": 2, "uri": uri} for uri in ("/soon", "/later")]
    settings = settings_for([server], group={"health_check": checks})
    async with running(settings) as first:
        await eventually(lambda: first.peer(0).stats.check_fails == 2)
        left = decode(encode(await estate(first.balancer, Changes(first.balancer, None))))
    soon, later = left.checks["app"][server.address]
    assert (soon.fails, later.fails) == (1, 1) and later.due > first.balancer.time() + 30
    left.checks["app"][server.address][0] = dataclasses.replace(soon, due=first.balancer.time())
    second = Balancer(build(settings), logs.get("balancer"))
    take_up(second, left)
    await second.start()
    try:
        (group,) = second.groups.values()
        await eventually(lambda: group.peers[0].verdict is Verdict.UNHEALTHY)
        assert sorted(head.split()[1] for head in server.heads) == [b"/later", b"/soon", b"/soon"]
        assert second.prober.known()["app"][server.address][1] == later
    finally:
        await second.stop(grace_s=0)


async def test_verdicts_end_with_the_checks_that_gave_them(upstream: Start) -> None:
    sick = await upstream("sick", always(answer(b"sick", "500 E")))
    settings = settings_for([sick, await upstream("b")], group={"health_check": FAST})
    async with running(settings) as balancer:
        await eventually(lambda: balancer.peer(0).state(0) is State.UNHEALTHY)
        without = settings_for([sick, await upstream("c")])
        await balancer.balancer.reload(build(without))
        assert balancer.peer(0).state(0) is State.UP


async def test_checks_may_require_variables(upstream: Start) -> None:
    cold = await upstream("cold", always(answer(b"cold", "200 OK", "X-State: cold")))
    warm = await upstream("warm", always(answer(b"warm", "200 OK", "X-State: warm")))
    ready = {"name": "ready", "source": "$upstream_http_x_state", "values": {"warm": "1"}, "default": "0"}
    check = {**FAST, "require": ["$status", "$ready"]}
    async with running(settings_for([cold, warm], group={"health_check": check}, maps=[ready])) as balancer:
        await eventually(lambda: balancer.peer(0).state(0) is State.UNHEALTHY)
        assert balancer.peer(0).stats.last_check_note == "require"
        assert [(await balancer.get()).body for _ in range(3)] == [b"warm"] * 3


@pytest.mark.parametrize(
    ("match", "passes"),
    [
        (Match(), True),
        (Match((StatusRange(201, 299),)), False),
        (Match((StatusRange(500, 599),), negate_status=True), True),
        (Match(headers=(HeaderRule("X-Role", "leader"),)), True),
        (Match(headers=(HeaderRule("X-Role", pattern=re.compile("follow")),)), False),
        (Match(headers=(HeaderRule("X-Away", negate=True),)), True),
        (Match(body=re.compile(b'"ok": *true')), True),
        (Match(body=re.compile(b"ok"), negate_body=True), False),
    ],
)
async def test_what_a_check_looks_at(upstream: Start, match: Match, passes: bool) -> None:
    server = await upstream("a", always(answer(b'{"ok": true}', "200 OK", "X-Role: leader")))
    assert (await probe(server.address, CheckSettings(match=match)) == "") is passes


@pytest.mark.parametrize(
    ("wire", "complaint"),
    [
        (b"", "no answer"),
        (b"garbage\r\n\r\n", "malformed answer"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "status 404"),
    ],
)
async def test_complaints_name_the_reason(upstream: Start, wire: bytes, complaint: str) -> None:
    server = await upstream("a", always(wire, close=True))
    assert (await probe(server.address, CheckSettings())).startswith(complaint)


async def test_a_check_of_a_dead_or_silent_server_fails(upstream: Start) -> None:
    async def silent(up: Upstream, *_: object) -> None:
        await up.release.wait()

    server = await upstream("a", silent)
    assert await probe(server.address, CheckSettings(timeout_s=0.1)) == "timed out"
    server.release.set()
    await server.stop()
    assert "refused" in (await probe(server.address, CheckSettings(timeout_s=1))).lower()
