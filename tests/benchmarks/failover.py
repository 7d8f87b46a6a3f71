"""How long writes stand still when the leader dies, stops or hangs.

Run by hand: `python -m tests.benchmarks.failover --help`.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import threading
import time
import xmlrpc.client
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.benchmarks import machine, zone
from tests.benchmarks.machine import percentile
from tests.support.oned import Oned, until

KILL_P50_S, KILL_P99_S = 0.5, 1.5
STOP_S = 0.2
ELECTION_TIMEOUT_S = 1.0
PAUSE_S = ELECTION_TIMEOUT_S + 0.5
WRITER_PAUSE_S = 0.005
APPEND = 1


@dataclass
class Writer:
    """Writes through one server, one call after the other, and notes what became of each: (sent at, answered at, good)."""

    server: Oned
    user: int
    calls: list[tuple[float, float, bool]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(WRITER_PAUSE_S):
            sent = time.monotonic()
            good = self._write(len(self.calls))
            self.calls.append((sent, time.monotonic(), good))

    def _write(self, number: int) -> bool:
        try:
            answer = self.server.call("one.user.update", self.user, f"N={number}", APPEND)
        except (OSError, xmlrpc.client.Error) as error:
            self.problems.append(str(error))
            return False
        if not answer[0]:
            self.problems.append(str(answer[1]))
        return bool(answer[0])

    def acknowledged_after(self, moment: float) -> float | None:
        """When the first write was acknowledged that was sent after `moment`."""
        return next((answered for sent, answered, good in tuple(self.calls) if good and sent > moment), None)

    def end(self) -> None:
        self._ended.set()
        self._thread.join()


def _writers(measured: zone.Measured, users: Sequence[int]) -> tuple[Oned, list[Writer]]:
    """The leader, and a writer through each other server that has written well already."""
    leader = measured.zone.leader()
    survivors = [server for server in measured.zone.servers if server is not leader]
    writers = [Writer(server, user) for server, user in zip(survivors, users, strict=False)]
    for writer in writers:
        until(lambda writer=writer: writer.acknowledged_after(0.0))  # type: ignore[misc]
    return leader, writers


def _first(writers: Sequence[Writer], moment: float) -> float:
    """Seconds from `moment` to the first write sent after it and acknowledged by any survivor."""

    def acknowledged() -> list[float]:
        return [found for writer in writers if (found := writer.acknowledged_after(moment)) is not None]

    until(acknowledged)
    return min(acknowledged()) - moment


def kill_once(measured: zone.Measured, users: Sequence[int]) -> float:
    leader, writers = _writers(measured, users)
    moment = time.monotonic()
    leader.kill()
    took_s = _first(writers, moment)
    for writer in writers:
        writer.end()
    _bring_back(measured, leader)
    return took_s


def stop_once(measured: zone.Measured, users: Sequence[int]) -> tuple[float, list[str]]:
    """The longest that a write through a survivor took while the leader stopped, and the failures."""
    leader, writers = _writers(measured, users)
    for writer in writers:
        writer.problems.clear()
    moment = time.monotonic()
    leader.stop()
    _first(writers, time.monotonic())
    for writer in writers:
        writer.end()
    longest = max(done - sent for writer in writers for sent, done, _ in writer.calls if done > moment)
    problems = [problem for writer in writers for problem in writer.problems]
    _bring_back(measured, leader)
    return longest, problems


def pause_once(measured: zone.Measured, users: Sequence[int]) -> tuple[float, float, bool]:
    """How long until a survivor leads, and until a write goes through one; whether a read of the old leader, sent while it
    hangs and answered when it goes on, is stale."""
    leader, writers = _writers(measured, users)
    moment = time.monotonic()
    leader.signal(signal.SIGSTOP)
    try:
        until(lambda: any(writer.server.leads() for writer in writers))
        led_s = time.monotonic() - moment
        took_s = _first(writers, moment)
        for writer in writers:
            writer.end()
        new = next(writer for writer in writers if writer.acknowledged_after(moment))
        until(lambda: new.server.call("one.user.update", new.user, "LAST=yes", APPEND)[0])
        answers: list[str] = []
        reader = threading.Thread(target=lambda: answers.append(_read(leader, new.user)))
        reader.start()
    finally:
        leader.signal(signal.SIGCONT)
    reader.join()
    until(lambda: not leader.leads() or leader.health().get("term", 0) > 0)
    _serving(measured)
    _clear(measured, new.user)
    return led_s, took_s, bool(answers[0]) and "<LAST>" not in answers[0]


def _read(server: Oned, user: int) -> str:
    """The user's XML; empty where the server refuses."""
    try:
        good, text, *_ = server.call("one.user.info", user)
    except (OSError, xmlrpc.client.Error):
        return ""
    return re.sub(r"<!\[CDATA\[|\]\]>", "", str(text)) if good else ""


def _clear(measured: zone.Measured, user: int) -> None:
    assert measured.zone.leader().call("one.user.update", user, "N=0", 0)[0]


def _bring_back(measured: zone.Measured, server: Oned) -> None:
    server.start()
    _serving(measured)


def _serving(measured: zone.Measured) -> None:
    leader = measured.zone.leader()
    index = leader.health()["commit"]
    for server in measured.zone.servers:
        zone.until_caught_up(server, index)
    until(lambda: len(measured.zone.leader().health()["peers"]) == len(measured.zone.servers) - 1)


def _verdict(good: bool, bar: str) -> str:
    return "good" if good else f"MISSED: {bar}"


def kills(measured: zone.Measured, users: Sequence[int], count: int) -> bool:
    times = []
    for number in range(count):
        times.append(kill_once(measured, users))
        print(f"\r  kill {number + 1} of {count}: {times[-1]:.3f} s ", end="", file=sys.stderr, flush=True)
    p50, p99 = percentile(times, 50), percentile(times, 99)
    good = p50 <= KILL_P50_S and p99 <= KILL_P99_S
    bar = _verdict(good, f"p50 {KILL_P50_S} s, p99 {KILL_P99_S} s")
    print(
        f"\nkill -9 of the leader, {count} times: next write after p50 {p50:.3f} s, p99 {p99:.3f} s,"
        f" most {max(times):.3f} s   {bar}"
    )
    return good


def stops(measured: zone.Measured, users: Sequence[int], count: int) -> bool:
    found = [stop_once(measured, users) for _ in range(count)]
    longest = max(seconds for seconds, _ in found)
    problems = [problem for _, several in found for problem in several]
    good = longest <= STOP_S and not problems
    print(
        f"clean stop of the leader, {count} times: longest write {longest:.3f} s, failed requests {len(problems)}"
        f"   {_verdict(good, f'{STOP_S} s, none failed')}"
    )
    for problem in problems[:3]:
        print(f"    {problem}")
    return good


def pauses(measured: zone.Measured, users: Sequence[int], count: int) -> bool:
    found = [pause_once(measured, users) for _ in range(count)]
    led_s, written_s = max(led_s for led_s, _, _ in found), max(took_s for _, took_s, _ in found)
    stale = sum(stale for _, _, stale in found)
    good = led_s <= PAUSE_S and not stale
    print(
        f"paused leader, {count} times: new one after at most {led_s:.3f} s, next write {written_s:.3f} s,"
        f" stale linearizable reads {stale}"
        f"   {_verdict(good, f'{PAUSE_S} s, none stale')}"
    )
    return good


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Time without writes: leader killed, stopped, paused. Three servers on this machine.",
        epilog="example: python -m tests.benchmarks.failover --kills 50",
    )
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--stops", type=int, default=5)
    parser.add_argument("--pauses", type=int, default=5)
    parser.add_argument("--db", choices=["mariadb", "sqlite"], default="mariadb")
    arguments = parser.parse_args()
    print(machine.describe(), flush=True)
    with zone.running(arguments.db, raft={"linearizable": ["one.user.info"]}) as measured:
        users = zone.make_users(measured.zone.leader(), len(measured.zone.servers))
        results = [
            stops(measured, users, arguments.stops),
            pauses(measured, users, arguments.pauses),
            kills(measured, users, arguments.kills),
        ]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
