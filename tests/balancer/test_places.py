"""Limits on what is in progress: of one process, and of several that count in shared memory."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from services.balancer.core.places import ALL_CLIENTS, OwnPlaces
from services.balancer.plane.shared_places import WAYS, KeptPlaces, SharedPlaces
from tests.balancer.programs import START_S, program
from tests.balancer.support import RawClient, Upstream, answer, request

Start = Callable[..., Awaitable[Upstream]]
KEY = ("zone", b"10.0.0.1")


@pytest.fixture
def kept() -> Iterator[KeptPlaces]:
    kept = KeptPlaces.create()
    yield kept
    kept.close()


def worker(kept: KeptPlaces, column: int) -> SharedPlaces:
    kept.grant(column)
    return SharedPlaces(os.dup(kept.fd), column)


def test_a_process_alone_counts_by_zone_and_key() -> None:
    places = OwnPlaces()
    assert [places.take(KEY, 2), places.take(KEY, 2), places.take(KEY, 2)] == [True, True, False]
    assert places.take(("zone", b"10.0.0.2"), 1) and places.take(("other", KEY[1]), 1)
    places.give_back(KEY)
    assert [places.take(KEY, 2), places.take(KEY, 2)] == [True, False]


def test_a_limit_holds_for_all_workers_together(kept: KeptPlaces) -> None:
    one, two = worker(kept, 1), worker(kept, 2)
    assert [one.take(KEY, 3), two.take(KEY, 3), one.take(KEY, 3)] == [True, True, True]
    assert [one.take(KEY, 3), two.take(KEY, 3)] == [False, False]
    assert two.take(("other", KEY[1]), 1) and two.take(ALL_CLIENTS, 1)
    one.give_back(KEY)
    assert [two.take(KEY, 3), one.take(KEY, 3)] == [True, False]


def test_what_a_dead_worker_counted_is_given_back(kept: KeptPlaces) -> None:
    one, two = worker(kept, 1), worker(kept, 2)
    assert one.take(KEY, 2) and two.take(KEY, 2) and not two.take(KEY, 2)
    kept.strike_out(1)
    assert [two.take(KEY, 2), two.take(KEY, 2)] == [True, False]
    another = worker(kept, 1)
    two.give_back(KEY)
    assert [another.take(KEY, 2), another.take(KEY, 2)] == [True, False]


def test_rows_are_used_again_and_nobody_is_let_in_uncounted() -> None:
    kept = KeptPlaces.create(buckets=16)
    kept.grant(1)
    places = SharedPlaces(os.dup(kept.fd), 1, buckets=16)
    rows = 16 * WAYS
    for zone in ("one", "another"):
        taken = [place for number in range(rows * 2) if places.take(place := (zone, b"%d" % number), 1)]
        assert rows * 0.9 < len(taken) <= rows
        for place in taken:
            places.give_back(place)
    kept.close()


COUNTS = """
import sys
from services.balancer.plane.shared_places import SharedPlaces
places = SharedPlaces(int(sys.argv[1]), int(sys.argv[2]))
place, taken = ("zone", b"10.0.0.1"), 0
print("ready", flush=True)
sys.stdin.readline()
for _ in range(5000):
    if places.take(place, 100):
        taken += 1
    elif taken:
        places.give_back(place)
        taken -= 1
print(taken, flush=True)
sys.stdin.read()
"""


def test_who_served_alone_counts_on_among_workers(kept: KeptPlaces) -> None:
    one = worker(kept, 1)
    kept.take_over({KEY: 2, ALL_CLIENTS: 1})
    assert [one.take(KEY, 3), one.take(KEY, 3), kept.take(KEY, 3)] == [True, False, False]
    for _ in range(2):
        kept.give_back(KEY)
    assert [kept.take(KEY, 3), one.take(KEY, 3), one.take(KEY, 3)] == [True, True, False]


def test_who_is_in_without_a_place_is_let_go(kept: KeptPlaces) -> None:
    """No room for a key that is over all limits already: it is not counted, and gives nothing back."""
    small = KeptPlaces.create(buckets=1)
    small.grant(1)
    keys = [("zone", b"%d" % number) for number in range(WAYS + 1)]
    small.take_over(dict.fromkeys(keys, 1))
    for key in keys:
        small.give_back(key)
    assert all(small.take(key, 1) for key in keys[:WAYS])
    small.close()


def test_processes_that_count_at_the_same_time_never_exceed_a_limit(kept: KeptPlaces) -> None:
    processes = []
    for column in ("1", "2"):
        kept.grant(int(column))
        process = subprocess.Popen(
            [sys.executable, "-c", COUNTS, str(kept.fd), column], pass_fds=[kept.fd],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
    try:
        assert [line_of(process) for process in processes] == ["ready", "ready"]
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        counted = sum(int(line_of(process)) for process in processes)
        assert 0 < counted <= 100
        third = worker(kept, 3)
        while third.take(KEY, 100):
            counted += 1
        assert counted == 100
    finally:
        for process in processes:
            process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def hold(up: Upstream, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes) -> None:
    await up.release.wait()
    writer.write(answer(up.name.encode()))


async def test_clients_and_requests_are_limited_over_all_workers(upstream: Start, tmp_path: Path) -> None:
    server = await upstream("a", hold)
    limited = {"path": "/", "upstream": "app", "conn_limits": [{"key": "$remote_addr", "most": 5}]}
    clients = {"connections_per_address": 20}
    async with program(tmp_path, [server], workers=2, locations=[limited], clients=clients) as running:
        held = [await running.client() for _ in range(20)]
        for client in held:
            client.send(request("GET", "/"))

        async def refused() -> bool:
            return bool((await running.status())["statuses"]["5xx"] == 15)

        await running.until(refused)
        await running.until(lambda: len(server.heads) == 5)
        over = await running.client()
        assert (await over.answer(within_s=START_S)).status == 503
        assert [worker["requests"] > 0 for worker in (await running.status())["workers"]] == [True, True]
        over.close()
        for worker in (await running.status())["workers"]:
            os.kill(worker["pid"], signal.SIGKILL)
        outcomes = [await outcome(client) for client in held]
        assert (outcomes.count(503), outcomes.count(0)) == (15, 5), "five were in progress"
        server.release.set()

        async def has_room() -> bool:
            """What the dead held is given back."""
            client = await running.client()
            client.send(request("GET", "/"))
            return (await client.answer(within_s=START_S)).status == 200

        await running.until(has_room)


async def outcome(client: RawClient) -> int:
    try:
        return (await client.answer(within_s=START_S)).status
    except (ConnectionError, asyncio.IncompleteReadError):
        return 0
