"""A daemon without consensus, database or sockets: handlers, life cycles and drivers on one in-memory store.

For tests of what the API answers. Driver work runs when `settle()` is called, as if all drivers had just finished.
`python -m tests.oned_lite.local --only 'store-*' -v` replays recorded scenarios on it (seconds for all of them).
"""

from __future__ import annotations

import argparse
import asyncio
import fnmatch
import json
import os
import pathlib
import sys
import tempfile
import time
import xmlrpc.client
from collections import Counter
from typing import Any

import yaml

from services.common.xmlrpc import Fault, Value, decode_response
from services.oned_lite.api.bootstrap import bootstrap
from services.oned_lite.api.call import ClusterStatus
from services.oned_lite.api.catalogue import DUTIES, METHODS, TABLES, TIMERS
from services.oned_lite.api.configuration import default_configuration
from services.oned_lite.drivers.port import Driver
from services.oned_lite.drivers.registry import local_drivers
from services.oned_lite.lifecycle.hook_events import observe_changes
from services.oned_lite.lifecycle.work import Step, Work, required_work
from services.oned_lite.node.gate import Request, serve
from services.oned_lite.node.replica import encode_answer
from services.oned_lite.policy.sessions import Sessions
from services.oned_lite.state import Store, Transaction
from tests.parity import replay

SCENARIOS = pathlib.Path(__file__).parents[1] / "parity" / "scenarios"
ROUNDS_MAX = 200


class LocalOned:
    """One daemon's logic. `call()` answers like the wire: a list, or raises xmlrpc.client.Fault."""

    def __init__(self, folder: pathlib.Path, *, scheduler: bool = False) -> None:
        self.conf = default_configuration(datastore_location=folder / "datastores", port=2633)
        self.store = Store(TABLES)
        self.drivers: Driver = local_drivers(self.conf, folder)
        self.timers = [timer for timer in TIMERS if scheduler or timer.name != "scheduler"]
        self.sessions = Sessions()
        self.ahead_s = 0.0
        self._index = 0
        tx = Transaction(self.store, now=int(time.time()), seed=os.urandom(16))
        bootstrap(tx, self.conf, admin="oneadmin", password="opennebula", serveradmin_password="serverpass")
        self._commit(tx, "bootstrap")

    def now(self) -> int:
        """Epoch seconds; a scenario's pauses are skipped by setting the clock ahead."""
        return int(time.time() + self.ahead_s)

    def call(self, method: str, *arguments: Value) -> list[Any]:
        request = Request(method, arguments, self.now(), os.urandom(16))
        outcome = serve(METHODS, self.store, self.conf, ClusterStatus(), request, self.sessions)
        if outcome.defect:
            raise AssertionError(outcome.defect)
        if outcome.transaction is not None:
            self._commit(outcome.transaction, method)
        try:
            answer = decode_response(encode_answer(outcome.answer))
        except Fault as fault:
            raise xmlrpc.client.Fault(fault.code, fault.message) from fault
        assert isinstance(answer, list)
        return answer

    def settle(self) -> None:
        """Runs timers and all driver work that is due at once, until nothing is left to do."""
        for timer in self.timers:
            self._step(timer.name, timer.run)
        for _ in range(ROUNDS_MAX):
            works = self._required()
            if not works:
                return
            for duty, work in works:
                result = asyncio.run(self.drivers.run(work))
                self._step(work.key.action, lambda step, d=duty, w=work, r=result: d.finished(step, w, r))
        raise AssertionError("driver work does not come to an end")

    def _required(self) -> list[tuple[Any, Work]]:
        return [
            (duty, work)
            for duty in DUTIES
            for key in self.store.find(duty.table, duty.index, True)
            for work in required_work(self.store, duty, key, self.conf)
            if not work.delay_s
        ]

    def _step(self, origin: str, run: Any) -> None:
        tx = Transaction(self.store, now=self.now(), seed=os.urandom(16))
        run(Step(tx, self.conf))
        self._commit(tx, origin)

    def _commit(self, tx: Transaction, origin: str) -> None:
        if tx.rows:
            observe_changes(tx)
            self._index += 1
            self.store.apply(self._index, tx.change_set(origin))


class _LocalRun(replay.Run):  # type: ignore[misc]
    """The replay tool's scenario runner, asking a LocalOned instead of a socket."""

    def __init__(self, oned: LocalOned) -> None:
        super().__init__("http://127.0.0.1:1/")
        self.oned = oned

    def call(self, step: dict[str, Any]) -> list[Any]:
        params = [self.value(param) for param in step.get("params", [])]
        try:
            return self.oned.call(step["call"], self.value(step.get("as", replay.ADMIN)), *params)
        except xmlrpc.client.Fault as fault:
            return ["FAULT", fault.faultCode, fault.faultString]

    def step(self, step: dict[str, Any]) -> list[Any]:
        self.oned.ahead_s += step.get("sleep", 0)
        until = step.get("until")
        for _ in range(20):
            answer = self.call(step)
            if not until or self.holds(answer, until):
                break
            self.oned.settle()
        for name, where in step.get("save", {}).items():
            self.vars[name] = self.pick(answer, where)
        return answer


def replay_scenario(path: pathlib.Path) -> list[tuple[str, str, list[str]]]:
    """(method, verdict, why) of every step."""
    with tempfile.TemporaryDirectory() as folder:
        run = _LocalRun(LocalOned(pathlib.Path(folder)))
        expected = json.loads(path.with_suffix(".expected.json").read_text())
        steps = yaml.safe_load(path.read_text())["steps"]
        return [
            (want["call"], *replay.compare(want, run.step(step))) for want, step in zip(expected, steps, strict=True)
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="scenario names (globs)")
    parser.add_argument("-v", "--verbose", action="store_true", help="say why each step fell short")
    parser.add_argument("--lines", type=int, default=12, help="lines of why per step")
    args = parser.parse_args()
    totals: Counter[str] = Counter()
    for path in sorted(SCENARIOS.glob("*.yaml")):
        if args.only and not any(fnmatch.fnmatch(path.stem, pattern) for pattern in args.only):
            continue
        verdicts = replay_scenario(path)
        counts = Counter(verdict for _, verdict, _ in verdicts)
        totals.update(counts)
        for number, (method, verdict, why) in enumerate(verdicts, 1):
            if args.verbose and verdict != "pass":
                print(f"  {path.stem} step {number} {method}: {verdict}")
                print("".join(f"      {line}\n" for line in why[: args.lines]), end="")
        print(f"{path.stem}: {counts['pass']} pass, {counts['wording']} wording, {counts['fail']} fail", flush=True)
    print(f"steps: {totals['pass']} of {sum(totals.values())} pass, {totals['wording']} differ in wording only")
    sys.exit(0 if totals["pass"] == sum(totals.values()) else 1)


if __name__ == "__main__":
    main()
