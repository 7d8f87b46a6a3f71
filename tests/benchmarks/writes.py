"""Replicated, durable writes per second, and how long one takes. Run by hand: `python -m tests.benchmarks.writes --help`.

On a machine that does other things too, the CPU time that a write costs says more than the wall clock.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from itertools import zip_longest

from tests.benchmarks import etcd, load, machine, zone
from tests.benchmarks.machine import percentile
from tests.benchmarks.reads import cpu_s

WRITES_PER_S = 1000.0
SINGLE_P50_MS = 5.0


def report(name: str, result: load.Result, verdict: str = "") -> None:
    latencies = [1000 * each for each in result.latencies_s]
    print(
        f"{name:<40}{result.per_s:6.0f}/s   p50 {percentile(latencies, 50):7.2f} ms"
        f"   p99 {percentile(latencies, 99):7.2f} ms   failed {result.failures}   {verdict}",
        flush=True,
    )
    if result.failures:
        print(f"    first failure: {result.first_failure}")


def ours(db: str, clients: int, seconds: float) -> bool:
    with zone.running(db) as measured:
        leader = measured.zone.leader()
        users = zone.make_users(leader, clients)
        load.finish(load.start(zone.updates([leader], users, 1.0)))
        before = _cpu_s(measured)
        many = load.finish(load.start(zone.updates([leader], users, seconds)))
        each_us = [
            1e6 * (now - then) / len(many.latencies_s) for now, then in zip(_cpu_s(measured), before, strict=True)
        ]
        fast = many.per_s >= WRITES_PER_S
        report(f"one.user.update, {clients} clients, {db}", many, "good" if fast else f"MISSED: {WRITES_PER_S:.0f}/s")
        print(f"    CPU time of a write on each server: {', '.join(f'{us:.0f}' for us in each_us)} µs")
        spread = load.finish(load.start(zone.updates(measured.zone.servers, users, seconds)))
        report(f"  the same through all servers, {db}", spread)
        single = load.finish(load.start(zone.updates([leader], users[:1], seconds)))
        quick = percentile(single.latencies_s, 50) * 1000 <= SINGLE_P50_MS
        report(f"one.user.update, 1 client, {db}", single, "good" if quick else f"MISSED: p50 {SINGLE_P50_MS} ms")
        report(f"  {clients} clients, a server standing still", _with_a_paused_server(measured, users, seconds))
        return fast and quick


def _with_a_paused_server(measured: zone.Measured, users: Sequence[int], seconds: float) -> load.Result:
    """The majority must not wait for it."""
    paused = measured.zone.followers()[0]
    paused.signal(signal.SIGSTOP)
    try:
        return load.finish(load.start(zone.updates([measured.zone.leader()], users, seconds)))
    finally:
        paused.signal(signal.SIGCONT)


def _cpu_s(measured: zone.Measured) -> list[float]:
    """Of each server with its database."""
    servers = [server.process.pid for server in measured.zone.servers if server.process is not None]
    databases = [database.pid for database in measured.databases]
    return [cpu_s(pid) + (cpu_s(db) if db else 0.0) for pid, db in zip_longest(servers, databases) if pid]


def theirs(clients: int, seconds: float) -> None:
    if not etcd.installed():
        print("etcd is not installed; to measure it beside ours: apt-get install etcd-server")
        return
    with etcd.running() as port:
        report(f"etcd put, {clients} clients", load.finish(load.start(etcd.puts(port, clients, seconds))))
        report("etcd put, 1 client", load.finish(load.start(etcd.puts(port, 1, seconds))))


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Durable writes on three servers of this machine: 1,000/s with 64 clients, p50 of 5 ms with one.",
        epilog="example: python -m tests.benchmarks.writes --seconds 10 --db mariadb sqlite",
    )
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--db", nargs="+", choices=["mariadb", "sqlite"], default=["mariadb"])
    arguments = parser.parse_args()
    print(machine.describe())
    good = [ours(db, arguments.clients, arguments.seconds) for db in arguments.db]
    theirs(arguments.clients, arguments.seconds)
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
