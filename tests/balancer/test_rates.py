"""Limits on the rate of requests: the arithmetic of the buckets, and the same limits behind a real nginx."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.balancer.core.rates import ONE, REFUSED, UNDELAYED, Levels, OwnBuckets, Rate, wait_ms
from services.balancer.plane.shared_buckets import WAYS, KeptBuckets, SharedBuckets
from tests.balancer.programs import program
from tests.balancer.support import Upstream, eventually, request, running, settings_for
from tests.balancer.test_nginx_parity import Front, both, upstream_block
from tests.balancer.test_nginx_parity import directory as directory

SALT = b"0123456789abcdef"
Start = Callable[..., Awaitable[Upstream]]


@pytest.mark.parametrize(
    ("rate", "times_ms", "waits"),
    [
        (Rate("z", 1000), [0, 0, 999, 1000, 1999, 2000], [0, -1, -1, 0, -1, 0]),
        (Rate("z", 2000, burst=3000), [0, 0, 0, 0, 0, 500, 5000], [0, 500, 1000, 1500, -1, 1500, 0]),
        (Rate("z", 2000, burst=3000, free=2000), [0, 0, 0, 0, 0], [0, 0, 0, 500, -1]),
        (Rate("z", 2000, burst=1000, free=UNDELAYED), [0, 0, 0, 499, 500], [0, 0, -1, -1, 0]),
        (Rate("z", 500), [0, 1999, 2000], [0, -1, 0]),
    ],
)
def test_buckets_leak_and_run_over(rate: Rate, times_ms: list[int], waits: list[int]) -> None:
    own, shared = OwnBuckets(SALT), KeptBuckets.create(sets=1)
    assert [wait_ms([(rate, b"k")], own, now_ms) for now_ms in times_ms] == waits
    assert [wait_ms([(rate, b"k")], shared, 5000 + now_ms) for now_ms in times_ms] == waits
    shared.close()


def test_buckets_in_shared_memory_are_those_of_all_processes() -> None:
    one, rate = KeptBuckets.create(sets=1), Rate("z", 1000, burst=2000)
    two = SharedBuckets(os.dup(one.fd), sets=1)
    assert [wait_ms([(rate, b"k")], buckets, 1000) for buckets in (one, two, one, two, one)] == [0, 1000, 2000, -1, -1]
    assert wait_ms([(Rate("other", 1000), b"k")], two, 1000) == 0
    for number in range(WAYS):
        assert wait_ms([(rate, b"%d" % number)], two, 2000) == 0, "the oldest make room"
    assert wait_ms([(rate, b"k")], one, 2000) == 0
    one.close()
    two.close()


async def test_rates_are_limited_over_all_workers(upstream: Start, tmp_path: Path) -> None:
    limit = {"key": "$remote_addr", "per_s": 0.01, "burst": 9, "undelayed": 9}
    limited = {"path": "/", "upstream": "app", "rate_limits": [limit]}
    async with program(tmp_path, [await upstream("a")], workers=2, locations=[limited]) as running:
        statuses = []
        for _ in range(24):
            client = await running.client()
            statuses.append((await client.get()).status)
            client.close()
        assert statuses == [200] * 10 + [503] * 14
        assert all(worker["requests"] for worker in (await running.status())["workers"])


def test_a_request_counts_for_all_its_limits_or_for_none() -> None:
    buckets, wide, narrow = OwnBuckets(SALT), Rate("w", 1000, burst=9000), Rate("n", 1000)
    both = [(wide, b"a"), (narrow, b"b")]
    assert [wait_ms(both, buckets, 0) for _ in range(3)] == [0, REFUSED, REFUSED]
    assert buckets.level(wide, b"a", 0) == ONE, "what was refused is not counted anywhere"
    assert wait_ms([], buckets, 0) == 0


Made = Callable[[], OwnBuckets | SharedBuckets]


@pytest.mark.parametrize("before", [lambda: OwnBuckets(SALT), lambda: KeptBuckets.create(sets=64)])
@pytest.mark.parametrize("after", [lambda: OwnBuckets(bytes(16)), lambda: KeptBuckets.create(sets=64)])
def test_buckets_can_be_left_to_others(before: Made, after: Made) -> None:
    rate, now_ms = Rate("z", 1000, burst=1000), 50_000
    old, new = before(), after()
    for number in range(20):
        for _ in range(2):
            wait_ms([(rate, b"%d" % number)], old, now_ms + number)
    left = msgspec.json.decode(msgspec.json.encode(old.known(15)), type=Levels)
    assert len(left.levels) == 15
    new.recall(left, now_ms + 10)
    waits = [wait_ms([(rate, b"%d" % number)], new, now_ms + 20) for number in range(20)]
    assert waits == [0] * 5 + [REFUSED] * 15, "the latest are known, and none is later than it can be"
    assert wait_ms([(rate, b"19")], new, now_ms + 2020) == 0, "they leak on"
    again = after()
    again.recall(new.known(100), now_ms + 2020)
    waits = [wait_ms([(rate, key)], again, now_ms + 2020) for key in (b"19", b"19", b"19", b"fresh")]
    assert waits == [1000, REFUSED, REFUSED, 0], "those that nobody asked for meanwhile, and those that somebody did"


def test_keys_that_came_last_are_remembered() -> None:
    buckets, rate = OwnBuckets(SALT), Rate("z", 1000, keys=2)
    waits = [wait_ms([(rate, key)], buckets, 0) for key in (b"a", b"b", b"a", b"c", b"a", b"b")]
    assert waits == [0, 0, REFUSED, 0, REFUSED, 0], "a has asked again before c came, so b made room"


@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=60),
    st.integers(1, 20_000),
    st.integers(0, 10),
    st.integers(0, 10),
)
def test_no_more_come_through_than_the_rate_and_the_burst_allow(
    gaps_ms: list[int], per_s: int, burst: int, free: int
) -> None:
    buckets, rate = OwnBuckets(SALT), Rate("z", per_s, burst * ONE, free * ONE)
    now_ms, let_in = 0, []
    for gap_ms in gaps_ms:
        now_ms += gap_ms
        delay_ms = wait_ms([(rate, b"k")], buckets, now_ms)
        if delay_ms != REFUSED:
            let_in.append(now_ms)
            assert 0 <= delay_ms <= burst * ONE * 1000 // per_s
    for first, since_ms in enumerate(let_in):
        for last in range(first, len(let_in)):
            leaked = (let_in[last] - since_ms) * per_s / 1000 + (last - first)  # cut off once for every request
            assert (last - first) * ONE <= burst * ONE + leaked + ONE


ZONES = "limit_req_zone $arg_k zone=slow:1m rate=2r/m; limit_req_zone $arg_j zone=other:1m rate=1r/m; "
LIMITS = {
    "/plain": "limit_req zone=slow;",
    "/burst": "limit_req zone=slow burst=2 nodelay; limit_req_status 429; limit_req_log_level warn;",
    "/free": "limit_req zone=slow burst=3 delay=3;",
    "/two": "limit_req zone=slow burst=3 nodelay; limit_req zone=other nodelay;",
    "/dry": "limit_req zone=slow; limit_req_dry_run on;",
    "/page": "limit_req zone=slow; error_page 503 @up;",
}


def limited(server: Upstream, locations: dict[str, str], zones: str) -> str:
    text = " ".join(f"location {path} {{ {limits} proxy_pass http://app; }}" for path, limits in locations.items())
    return (
        zones + upstream_block([server], [""]) + f"server {{ listen LISTEN; location @up {{ return 200 up; }} {text} }}"
    )


async def test_requests_that_come_too_fast_are_refused_alike(upstream: Start, directory: Path) -> None:
    async with both(directory, limited(await upstream("a"), LIMITS, ZONES)) as (theirs, ours):
        for path in LIMITS:
            for query in (f"?k={path}", "", f"?k={path}2&j=x", f"?j={path}"):
                seen = [
                    [(await front.send(request("GET", path + query))).status for _ in range(5)]
                    for front in (ours, theirs)
                ]
                assert seen[0] == seen[1], path + query


async def test_requests_wait_for_their_turn_alike(upstream: Start, directory: Path) -> None:
    zones = "limit_req_zone $arg_k zone=fast:1m rate=10r/s; "
    text = limited(await upstream("a"), {"/": "limit_req zone=fast burst=3 delay=1;"}, zones)

    async def waits(front: Front, wire: bytes) -> list[tuple[int, float]]:
        began = time.monotonic()

        async def send() -> tuple[int, float]:
            return (await front.send(wire)).status, time.monotonic() - began

        return sorted(await asyncio.gather(*(send() for _ in range(6))), key=lambda one: (one[0], one[1]))

    async with both(directory, text) as fronts:
        for front in fronts:
            for wire in (request("GET", "/?k=a"), request("POST", "/?k=b", body=b"body")):
                done = await waits(front, wire)
                assert [status for status, _ in done] == [200] * 4 + [503] * 2
                for (_, took_s), least_s in zip(done, (0, 0, 0.09, 0.19), strict=False):
                    assert took_s >= least_s


async def test_who_leaves_while_waiting_is_forgotten_and_pipelined_requests_wait_their_turn(upstream: Start) -> None:
    server = await upstream("a")
    limit = {"key": "$arg_k", "per_s": 5, "burst": 9}
    async with running(settings_for([server], location={"rate_limits": [limit]})) as handle:
        gone = await handle.client()
        gone.send(request("GET", "/1?k=a") + request("GET", "/2?k=a"))
        await gone.answer()
        gone.writer.transport.abort()
        client = await handle.client()
        client.send(request("GET", "/3?k=a") + request("GET", "/4"))
        assert [(await client.answer()).status for _ in range(2)] == [200, 200]
        await eventually(lambda: handle.balancer.engine.totals.client_aborts == 1)
        assert [head.split(b" ")[1] for head in server.heads] == [b"/1?k=a", b"/3?k=a", b"/4"]
