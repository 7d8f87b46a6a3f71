"""Carries out a plan: for each run a fresh balancer before the three servers, the load, the fault, and what was seen."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from deploy.lab import processes
from deploy.lab.compare import arrangements, load, watch
from deploy.lab.compare.arrangements import Place
from deploy.lab.compare.crew import POLL_S, READY_WITHIN_S, Crew, end, free_address
from deploy.lab.compare.faults import FAULTS, Change, Condition, Script
from deploy.lab.compare.history import History, without_blinks
from deploy.lab.compare.plan import Plan, Run
from deploy.lab.compare.schedule import arrivals
from deploy.lab.errors import LabError
from deploy.lab.supervisor import last_line

Progress = Callable[[int, History], None]
"""Told of each run when it is done: how many are, and what was seen."""


async def carry_out(plan: Plan, folder: Path, progress: Progress) -> tuple[History, ...]:
    """Every run of the plan, one after the other. `folder` is for settings, logs and sockets."""
    histories: list[History] = []
    async with Crew(folder, plan.service_s) as crew:
        for number, run in enumerate(plan.runs(), start=1):
            here = folder / f"{number:03}-{run.arrangement}-{run.fault}"
            here.mkdir(parents=True)
            histories.append(await one_run(plan, run, crew, here))
            progress(number, histories[-1])
    return tuple(histories)


async def one_run(plan: Plan, run: Run, crew: Crew, folder: Path) -> History:
    """Heals the servers, starts the balancer, and then everything at once: load, fault, and watching."""
    await crew.heal()
    place = Place(free_address(), free_address(), folder)
    due = arrivals(plan.seed * 1000 + run.repetition, plan.rate, plan.seconds, plan.posts)
    async with _balancer(plan, run, crew, place):
        before = await crew.probes()
        clock = _clock()
        watching = asyncio.create_task(watch.watch(_eye(plan, run, crew, place), clock))
        breaking = asyncio.create_task(_break(FAULTS[run.fault](plan.fault_s), plan.lead_s, crew, clock))
        try:
            requests = await load.send_all(place.listen, due, clock, plan.stall_s, plan.patience_s)
            changes = await breaking
            probes = await crew.probes() - before
            watching.cancel()
            evictions = without_blinks(await watching)
            return History(run, plan.seconds, requests, evictions, tuple(changes), probes)
        finally:
            watching.cancel()
            breaking.cancel()


async def _break(script: Script, lead_s: float, crew: Crew, clock: Callable[[], float]) -> list[Change]:
    """The changes with their times from the start of the run: a fault from when it began, a cure when it was done."""
    done = []
    for change in script:
        await asyncio.sleep(max(0.0, lead_s + change.at_s - clock()))
        began_s = clock()
        await crew.servers[change.server].become(change.condition)
        at_s = clock() if change.condition is Condition.WELL else began_s
        done.append(Change(at_s, change.server, change.condition))
    return done


def _clock() -> Callable[[], float]:
    start = time.monotonic()
    return lambda: time.monotonic() - start


def _eye(plan: Plan, run: Run, crew: Crew, place: Place) -> watch.Eye:
    servers = {name: server.address for name, server in crew.servers.items()}
    match run.arrangement:
        case "nginx":
            return watch.NginxEye(place.log, servers, plan.checks.fail_timeout_s)
        case "haproxy":
            return watch.HaproxyEye(place.socket)
        case _:
            return watch.BalancerEye(place.status, servers)


@contextlib.asynccontextmanager
async def _balancer(plan: Plan, run: Run, crew: Crew, place: Place) -> AsyncIterator[None]:
    """Runs the balancer; it accepts connections when the body begins."""
    servers = {name: server.address for name, server in crew.servers.items()}
    arrangement = arrangements.arrange(run.arrangement, plan.checks, servers, place)
    arrangement.settings.write_text(arrangement.text)
    process = processes.spawn(arrangement.argv, place.log)
    try:
        deadline = time.monotonic() + READY_WITHIN_S
        while not await _accepts(place):
            if processes.condition(process) is processes.Condition.ENDED:
                raise LabError(f"{run.arrangement} ended while it started: {last_line(place.log)}")
            if time.monotonic() > deadline:
                raise LabError(f"{run.arrangement} is not ready after {READY_WITHIN_S:.0f} s; its log: {place.log}")
            await asyncio.sleep(POLL_S)
        yield
    finally:
        try:
            async with asyncio.timeout(2):
                await end(process, signal.SIGTERM)
        except TimeoutError:
            await end(process, signal.SIGKILL)


async def _accepts(place: Place) -> bool:
    try:
        _, writer = await asyncio.open_connection(*place.listen)
    except OSError:
        return False
    writer.close()
    return True
