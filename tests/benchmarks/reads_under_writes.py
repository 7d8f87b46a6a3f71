"""Reads while writes run at full speed, and a zone with very many objects: how long it takes to start, its memory, and how
soon a server with an empty database has caught up. Run by hand: `python -m tests.benchmarks.reads_under_writes --help`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import threading
import time
import xmlrpc.client

from tests.benchmarks import load, machine, zone
from tests.benchmarks.machine import percentile, resident_mb
from tests.support.oned import SESSION, Oned

READ_P99_MS = 20.0
READERS, READER_PAUSE_S = 6, 0.01
START_S, CATCH_UP_S, MEMORY_MB = 10.0, 20.0, 600.0
CLIENTS = 64
BATCH = 100
FILLERS = 4


def reads(measured: zone.Measured, seconds: float) -> bool:
    """Readers on every server while `CLIENTS` clients write through the leader."""
    leader = measured.zone.leader()
    users = zone.make_users(leader, CLIENTS)
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
    """`objects` templates, in batches of system.multicall."""
    numbers = iter(range(0, objects, BATCH))
    taking = threading.Lock()

    def work() -> None:
        with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{leader.port}/RPC2", allow_none=True) as proxy:
            while True:
                with taking:
                    first = next(numbers, None)
                if first is None:
                    return
                last = min(first + BATCH, objects)
                for result in proxy.system.multicall([_allocate(n) for n in range(first, last)]):  # type: ignore[union-attr]
                    assert isinstance(result, list) and result[0][0], result

    fillers = [threading.Thread(target=work) for _ in range(FILLERS)]
    began = time.monotonic()
    for filler in fillers:
        filler.start()
    for filler in fillers:
        filler.join()
    print(f"{objects} templates made in {time.monotonic() - began:.1f} s", flush=True)


def _allocate(number: int) -> dict[str, object]:
    text = f'NAME = "t{number}"\nCPU = 0.1\nMEMORY = 128\nVCPU = 1\nDISK = [ SIZE = 64, TYPE = fs ]\nNOTE = "rack {number}"'
    return {"methodName": "one.template.allocate", "params": [SESSION, text]}


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
    memory_mb = max(resident_mb(one.process.pid) for one in measured.zone.servers if one.process is not None)
    good = took_s <= START_S and memory_mb <= MEMORY_MB
    bar = _verdict(good, f"{START_S:.0f} s, {MEMORY_MB:.0f} MB")
    print(f"start of all three after a power cut: {took_s:.1f} s, {memory_mb:.0f} MB each at most   {bar}", flush=True)
    return good


def catch_up(measured: zone.Measured) -> bool:
    """A follower loses its database and comes back empty, while a few clients write on."""
    leader = measured.zone.leader()
    follower = next(server for server in measured.zone.servers if server is not leader)
    number = measured.zone.servers.index(follower)
    follower.kill()
    if measured.databases:
        measured.databases[number].execute("DROP DATABASE opennebula")
    shutil.rmtree(follower.log.parent / f"data{number}")
    writing = load.start(zone.updates([leader], zone.make_users(leader, 4, "late"), 15.0))
    index = leader.health()["commit"]
    began = time.monotonic()
    follower.start()
    zone.until_caught_up(follower, index)
    took_s = time.monotonic() - began
    written = load.finish(writing)
    good = took_s <= CATCH_UP_S and not written.failures
    print(
        f"an empty server has caught up after {took_s:.1f} s, beside {written.per_s:.0f} writes/s"
        f" ({written.failures} failed)   {_verdict(good, f'{CATCH_UP_S:.0f} s')}",
        flush=True,
    )
    return good


def _verdict(good: bool, bar: str) -> str:
    return "good" if good else f"MISSED: {bar}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Reads beside writes (p99 of 20 ms); 100,000 objects: start in 10 s, 600 MB, an empty server in 20 s.",
        epilog="example: python -m tests.benchmarks.reads_under_writes --objects 10000",
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of reading and writing")
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--db", choices=["mariadb", "sqlite"], default="mariadb")
    arguments = parser.parse_args()
    print(machine.describe(), flush=True)
    with zone.running(arguments.db) as measured:
        good = [reads(measured, arguments.seconds)]
        fill(measured.zone.leader(), arguments.objects)
        good += [start(measured), catch_up(measured)]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
