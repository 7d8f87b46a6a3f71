"""Reads while writes run at full speed, and a zone with very many objects: how long it takes to start, its memory, its
first list, and how soon a server with an empty database has caught up. Run by hand:
`python -m tests.benchmarks.reads_under_writes --help`.

Seconds of CPU are of one server without its database. They say what is our own doing where the machine is busy with
other things.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import time
import xmlrpc.client

from tests.benchmarks import load, machine, zone
from tests.benchmarks.machine import percentile, resident_mb
from tests.benchmarks.reads import Connection, cpu_s, prepared
from tests.support.oned import SESSION, Oned

READ_P99_MS = 20.0
READERS, READER_PAUSE_S = 6, 0.01
START_S, CATCH_UP_S, MEMORY_MB, HEARTBEAT_S = 10.0, 20.0, 600.0, 0.1
CLIENTS = 64
LATE_WRITERS = 16
HOUR_S = 3600.0
_LATE = re.compile(r'^oned_loop_late_seconds_bucket\{le="([^"]+)",time="(\w+)"\} (\S+)', re.MULTILINE)


def reads(measured: zone.Measured, seconds: float, prefix: str) -> bool:
    """Readers on every server while `CLIENTS` clients write through the leader."""
    leader = measured.zone.leader()
    users = zone.make_users(leader, CLIENTS, prefix)
    writing = load.start(zone.updates([leader], users, seconds))
    reading = load.start(zone.infos(measured.zone.servers, users, READERS, seconds - 1, READER_PAUSE_S))
    read, written = load.finish(reading), load.finish(writing)
    p50, p99 = (1000 * percentile(read.latencies_s, each) for each in (50, 99))
    good = p99 <= READ_P99_MS and not read.failures
    print(
        f"reads beside {written.per_s:.0f} writes/s: {read.per_s:.0f}/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms,"
        f" failed {read.failures}   {_verdict(good, f'p99 {READ_P99_MS:.0f} ms')}",
        flush=True,
    )
    return good


def fill(leader: Oned, objects: int) -> None:
    """`objects` templates."""
    text = 'NAME = "tCOUNT"\nCPU = 0.1\nMEMORY = 128\nVCPU = 1\nDISK = [ SIZE = 64, TYPE = fs ]\nNOTE = "rack COUNT"'
    made = load.finish(
        load.start(
            load.Plan(
                ports=[leader.port],
                path="/RPC2",
                content_type="text/xml",
                bodies=[xmlrpc.client.dumps((SESSION, text), "one.template.allocate")],
                good=zone.GOOD,
                connections=CLIENTS,
                seconds=HOUR_S,
                requests=objects,
            )
        )
    )
    assert not made.failures, made.first_failure
    print(f"{objects} templates made in {made.seconds:.1f} s, {made.per_s:.0f}/s", flush=True)


def start(measured: zone.Measured) -> bool:
    """All servers are killed and started again, at the same time."""
    index = measured.zone.leader().health()["commit"]
    measured.zone.kill()
    began = time.monotonic()
    for server in measured.zone.servers:
        server.start()
    for server in measured.zone.servers:
        zone.until_caught_up(server, index)
    took_s = time.monotonic() - began
    worked_s = max(cpu_s(pid) for pid in _pids(measured))
    memory_mb = max(map(resident_mb, _pids(measured)))
    good = took_s <= START_S and memory_mb <= MEMORY_MB
    print(
        f"start of all three after a power cut: {took_s:.1f} s ({worked_s:.1f} s CPU), {memory_mb:.0f} MB each at most"
        f"   {_verdict(good, f'{START_S:.0f} s, {MEMORY_MB:.0f} MB')}",
        flush=True,
    )
    return good


def first_list(measured: zone.Measured) -> None:
    """The whole pool, from a follower that has just started, and once more."""
    follower = measured.zone.followers()[0]
    assert follower.process is not None
    for name in ("first", "second"):
        connection = Connection(follower.port)
        began, worked_s = time.monotonic(), cpu_s(follower.process.pid)
        size = connection.ask(prepared("one.templatepool.info", -2, -1, -1, -1))
        took_s, worked_s = time.monotonic() - began, cpu_s(follower.process.pid) - worked_s
        connection.close()
        print(f"{name} list of the pool: {took_s:.2f} s ({worked_s:.2f} s CPU), {size / 1e6:.0f} MB", flush=True)


def catch_up(measured: zone.Measured) -> bool:
    """A follower loses its database and comes back empty, while clients write on."""
    leader = measured.zone.leader()
    follower = next(server for server in measured.zone.servers if server is not leader)
    number = measured.zone.servers.index(follower)
    follower.kill()
    if measured.databases:
        measured.databases[number].execute("DROP DATABASE opennebula")
    shutil.rmtree(follower.log.parent / f"data{number}")
    users = zone.make_users(leader, LATE_WRITERS, "late")
    late, term = _late(leader), leader.health()["term"]
    writing = load.start(zone.updates([leader], users, CATCH_UP_S))
    index = leader.health()["commit"]
    began = time.monotonic()
    follower.start()
    zone.until_caught_up(follower, index)
    took_s = time.monotonic() - began
    assert follower.process is not None
    worked_s = cpu_s(follower.process.pid)
    written = load.finish(writing)
    good = took_s <= CATCH_UP_S and not written.failures
    print(
        f"an empty server has caught up after {took_s:.1f} s ({worked_s:.1f} s CPU), beside {written.per_s:.0f} writes/s"
        f" ({written.failures} failed)   {_verdict(good, f'{CATCH_UP_S:.0f} s')}",
        flush=True,
    )
    longest = {time: _longest(late[time], counts) for time, counts in _late(leader).items()}
    smooth = longest["own"] <= HEARTBEAT_S and leader.health()["term"] == term
    print(
        f"meanwhile the leader's loop kept others waiting for at most {longest['own']} s by its own work,"
        f" {longest['wall']} s by the wall clock   {_verdict(smooth, f'{HEARTBEAT_S} s of its own, the same leader')}",
        flush=True,
    )
    return good and smooth


def away(measured: zone.Measured, entries: int) -> bool:
    """A follower that keeps its database misses very many entries."""
    leader, follower = measured.zone.leader(), measured.zone.followers()[0]
    follower.kill()
    users = zone.make_users(leader, CLIENTS, "away")
    written = load.finish(load.start(zone.updates([leader], users, HOUR_S, entries)))
    began = time.monotonic()
    follower.start()
    zone.until_caught_up(follower, leader.health()["commit"])
    took_s = time.monotonic() - began
    good = took_s <= CATCH_UP_S and not written.failures
    print(
        f"a server that was away for {len(written.latencies_s)} entries ({written.seconds:.0f} s of writing) has caught up"
        f" after {took_s:.1f} s   {_verdict(good, f'{CATCH_UP_S:.0f} s')}",
        flush=True,
    )
    return good


def _pids(measured: zone.Measured) -> list[int]:
    return [server.process.pid for server in measured.zone.servers if server.process is not None]


def _late(server: Oned) -> dict[str, dict[float, float]]:
    """How often the loop was late, by kind of time and by bound (cumulated)."""
    found: dict[str, dict[float, float]] = {}
    for bound, time_, count in _LATE.findall(server.page("/metrics")[1].decode()):
        found.setdefault(time_, {})[float(bound)] = float(count)
    return found


def _longest(before: dict[float, float], now: dict[float, float]) -> float:
    """The bound that no delay between two looks was above."""
    happened = {bound: count - before[bound] for bound, count in now.items()}
    return min(bound for bound, count in happened.items() if count == happened[float("inf")])


def _verdict(good: bool, bar: str) -> str:
    return "good" if good else f"MISSED: {bar}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Reads beside writes (p99 of 20 ms); 100,000 objects: start in 10 s, 600 MB, an empty server in 20 s.",
        epilog="example: python -m tests.benchmarks.reads_under_writes --objects 10000",
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of reading and writing")
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--away", type=int, default=50_000, help="entries that a server misses, say 1000000")
    parser.add_argument("--db", choices=["mariadb", "sqlite"], default="mariadb")
    arguments = parser.parse_args()
    print(machine.describe(), flush=True)
    with zone.running(arguments.db) as measured:
        good = [reads(measured, arguments.seconds, "few")]
        fill(measured.zone.leader(), arguments.objects)
        good += [reads(measured, arguments.seconds, "many"), start(measured)]
        first_list(measured)
        good += [catch_up(measured), away(measured, arguments.away)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
