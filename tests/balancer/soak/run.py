"""One seed: a balancer among clients and servers of every temper, then quiet, then the accounts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import signal
import ssl
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.balancer.programs import Program
from tests.balancer.soak.clients import Visitor
from tests.balancer.soak.scene import LIMIT, VARIANTS, Scene
from tests.balancer.soak.upstreams import CALM, World
from tests.balancer.support import request
from tests.support.ports import free_port

AT_ONCE = 40
SPARE = 6
"""Descriptors for clients of the status page."""

_BAD = re.compile(
    r"Traceback|not handled|never retrieved|Exception|worker died|worker hangs|not reloaded| error ", re.I
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is run. ``upgrades`` also replaces the program in place."""

    seed: int
    clients: int
    workers: int
    upgrades: bool


@dataclass(frozen=True)
class Result:
    """``violation`` is empty where everything was conserved; ``tally`` counts what happened."""

    plan: Plan
    violation: str
    tally: Counter[str] = field(repr=False)
    kilobytes: int = 0


class Run:
    def __init__(self, plan: Plan, folder: Path, certificate: Path, session: aiohttp.ClientSession) -> None:
        self._plan = plan
        self._folder = folder
        self._certificate = certificate
        self._mood = random.Random(plan.seed)
        self._world = World()
        self._session = session
        self._over = asyncio.Event()  # no more visits
        self._old: list[int] = []  # programs that were replaced, and leave when their last client has
        self.tally: Counter[str] = Counter()
        self.held: dict[str, Any] = {}  # what there still is that ends some time
        self.kilobytes = 0

    async def go(self) -> None:
        """Raises AssertionError where something is not as it should be."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self._certificate, self._certificate.with_suffix(".key"))
        start = self._world.start
        self._scene = Scene(
            calm=[await start(name) for name in CALM],
            wild=[await start(name) for name in "uvw"],
            single=[await start("x")],
            secure=[await start(name, context) for name in "st"],
            tls_port=free_port(),
            certificate=self._certificate,
        )
        settings = {**self._scene.settings(0), "workers": self._plan.workers}
        self._program = Program(self._folder, self._session, settings)
        try:
            await self._program.start()
            await self._play()
        finally:
            await self._program.stop()
            await self._world.stop()

    async def _play(self) -> None:
        program = self._program
        await self._warm_up()
        before = await self._settled()
        operator = asyncio.create_task(self._operate())
        room = asyncio.Semaphore(AT_ONCE)
        try:
            async with asyncio.TaskGroup() as visits:
                for number in range(self._plan.clients):
                    await room.acquire()
                    visit = visits.create_task(self._visit(number))
                    visit.add_done_callback(lambda _: room.release())
                    await asyncio.sleep(self._mood.choice((0, 0.002, 0.01)))
        finally:
            self._over.set()
            await operator
        await self._account(before)
        log = [line for line in program.log.read_text().splitlines() if _BAD.search(line)]
        assert not log, "\n".join(log[:40])

    async def _visit(self, number: int) -> None:
        seed = f"{self._plan.seed}.{number}"
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await Visitor(self._world, self._program.port, self._scene.tls_port, seed, self.tally).live()

    async def _warm_up(self) -> None:
        for path in ("/calm/", "/wild/", "/secure/"):
            client = await self._program.client()
            assert (await client.get(path, "X-Id: <w>")).status == 200
            client.close()

    # What changes meanwhile

    async def _operate(self) -> None:
        acts = [self._reload, self._drain, self._come_and_go]
        number = 0
        while not self._over.is_set():
            await asyncio.sleep(self._mood.choice((0.2, 0.5, 1.0)))
            number += 1
            act = self._upgrade if self._plan.upgrades and number == 3 else self._mood.choice(acts)
            self.tally[act.__name__] += 1
            await act()

    async def _reload(self) -> None:
        self._program.configure(**self._scene.settings(self._mood.randrange(1, VARIANTS)))
        self._program.signal(signal.SIGHUP)

    async def _drain(self) -> None:
        calm = (await self._peers("calm"))[0]["id"]
        for drain in (True, False):
            await self._ask("PATCH", f"/upstreams/calm/servers/{calm}", {"drain": drain})
            await asyncio.sleep(0.05)

    async def _come_and_go(self) -> None:
        """A server leaves its group and comes back."""
        group = self._mood.choice(("calm", "wild", "tight"))
        peers = await self._peers(group)
        if len(peers) > 1:
            await self._ask("DELETE", f"/upstreams/{group}/servers/{peers[0]['id']}")
            await asyncio.sleep(0.05)
            server = {"address": peers[0]["address"], "max_conns": peers[0]["max_conns"]}
            await self._ask("POST", f"/upstreams/{group}/servers", server)

    async def _peers(self, group: str) -> list[Any]:
        return list((await self._ask("GET", "/status"))["upstreams"][group]["peers"])

    async def _ask(self, method: str, path: str, value: object = None) -> Any:
        """The runtime API, once more where an upgrade comes between."""
        said: list[Any] = []

        async def asked() -> bool:
            said.append(await self._program.api(method, path, value))
            return True

        await self._program.until(asked)
        return said[-1]

    async def _upgrade(self) -> None:
        program, old = self._program, self._program.pid
        program.signal(signal.SIGUSR2)
        await program.until(lambda: program.pid not in (0, old))
        os.kill(old, signal.SIGQUIT)
        self._old.append(old)

    # Accounts

    async def _account(self, before: Counter[str]) -> None:
        self._program.configure(**self._scene.settings(0))
        await self._ask("POST", "/reload", {})
        after = await self._settled()
        status = await self._program.status()
        self.tally["requests"] = status["requests"]
        assert after.total() <= before.total() + SPARE, f"descriptors: {after - before}"
        assert all(worker["restarts"] == 0 for worker in status["workers"])
        await self._limits_are_whole()

    async def _settled(self) -> Counter[str]:
        """What is held when nothing is in progress; fails when it never comes to that."""
        await self._program.until(self._is_quiet)
        self.kilobytes = sum(map(_kilobytes, self._pids()))
        return self._descriptors()

    async def _is_quiet(self) -> bool:
        status = await self._program.status()
        groups = status["upstreams"]
        held: dict[str, Any] = {
            f"{name}/{peer['address']}": peer["active"] for name, group in groups.items() for peer in group["peers"]
        }
        held |= {f"{name} queue": group["queued"] for name, group in groups.items()}
        held |= {f"{name} idle": group["idle_connections"] for name, group in groups.items()}
        held |= {"clients": status["connections"]["active"] + status["connections"]["idle"]}
        held |= {"requests without a status": status["requests"] - sum(status["statuses"].values())}
        held |= {f"process {pid}": _runs(pid) for pid in self._old}
        self.held = {name: count for name, count in held.items() if count}
        return not self.held

    async def _limits_are_whole(self) -> None:
        """Just as many requests as before find room under a limit: it was given back exactly."""
        for key in range(3):
            lines = (f"X-Key: {key}", "X-Ways: hangs", f"X-Id: <l{key}>")
            clients = [await self._program.client() for _ in range(LIMIT + 1)]
            for client in clients:
                client.send(request("GET", "/limited/", *lines))
            answers = [await client.answer() for client in clients]
            statuses = sorted(answer.status for answer in answers)
            assert statuses == [429] + [504] * LIMIT, f"limits of requests in progress: {statuses}"

    def _pids(self) -> list[int]:
        """The program and its workers."""
        pid = self._program.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def _descriptors(self) -> Counter[str]:
        """How many of each kind are open, in all processes; memory of a group that is gone waits for the collector."""
        names = [str(entry.readlink()) for pid in self._pids() for entry in Path(f"/proc/{pid}/fd").iterdir()]
        kinds = Counter(name.partition(":[")[0] for name in names if "balancer-zone-spare" not in name)
        del kinds["/dev/null"]  # uvloop has one in reserve, from the first use of its own sockets on
        return kinds


def _kilobytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def _runs(pid: int) -> bool:
    path = Path(f"/proc/{pid}/stat")
    return path.exists() and path.read_text().split()[2] != "Z"


async def run(plan: Plan, folder: Path, certificate: Path) -> Result:
    async with aiohttp.ClientSession() as session:
        one, violation = Run(plan, folder, certificate, session), ""
        try:
            await one.go()
        except* AssertionError as found:
            violation = "\n".join(str(error)[:3000] for error in found.exceptions)
            violation += f"\nstill there: {one.held}"
        return Result(plan, violation, one.tally, one.kilobytes)
