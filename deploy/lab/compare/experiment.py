"""Carries out a plan: for each run a fresh balancer before the three servers, the load, the fault, and what was seen.

Balancer, servers and load are processes of their own; this one breaks, watches and writes down.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

from deploy.lab import processes
from deploy.lab.compare import arrangements, watch
from deploy.lab.compare.analysis import Flaw, flaws
from deploy.lab.compare.arrangements import Place
from deploy.lab.compare.crew import POLL_S, READY_WITHIN_S, Crew, end, free_port
from deploy.lab.compare.faults import FAULTS, Change, Condition, Script
from deploy.lab.compare.history import Costs, History, without_blinks
from deploy.lab.compare.load import Load, Order
from deploy.lab.compare.packets import Tap
from deploy.lab.compare.plan import Plan, Run
from deploy.lab.compare.schedule import arrivals
from deploy.lab.errors import LabError
from deploy.lab.processes import ProcessId
from deploy.lab.supervisor import last_line
from services.common.settings import Address

Progress = Callable[[int, History], None]
"""Told of each run when it is done: how many are, and what was seen."""

MADE_AGAIN = {Flaw.LATE, Flaw.UNSETTLED}
"""What is the machine's fault and not the balancer's, and may be gone the next time."""

BREATH_S = 0.1
"""Between the order to the load and the start of the run, so that the first request is in time."""


async def carry_out(plan: Plan, folder: Path, progress: Progress) -> None:
    """Every run of the plan, one after the other. `folder` is for settings, logs and sockets."""
    async with contextlib.AsyncExitStack() as stack:
        crew = await stack.enter_async_context(Crew(folder, plan.service_s))
        load = await stack.enter_async_context(Load())
        tap = await stack.enter_async_context(Tap(crew.doors)) if Tap.allowed() else None
        stage = Stage(plan, crew, load, tap)
        for number, run in enumerate(plan.runs(), start=1):
            progress(number, await stage.good_run(run, folder / f"{number:03}-{run.arrangement}-{run.fault}"))


class Stage:
    """What all runs have in common."""

    def __init__(self, plan: Plan, crew: Crew, load: Load, tap: Tap | None) -> None:
        self._plan, self._crew, self._load, self._tap = plan, crew, load, tap
        self._servers = {name: server.address for name, server in crew.servers.items()}

    async def good_run(self, run: Run, folder: Path) -> History:
        """The run; where the machine spoiled it, made again as often as the plan allows. The last one counts."""
        for tries in range(1, self._plan.again + 2):
            here = folder / f"{tries}"
            here.mkdir(parents=True)
            history = replace(await self.one_run(run, here), tries=tries)
            if not MADE_AGAIN & flaws(history, self._plan):
                break
        return history

    async def one_run(self, run: Run, folder: Path) -> History:
        """Heals the servers, starts the balancer, and then everything at once: load, fault, and watching."""
        plan, crew = self._plan, self._crew
        await crew.heal()
        place = Place(Address("127.0.0.1", free_port()), crew.probe_port, folder)
        due = arrivals(plan.seed * 1000 + run.repetition, plan.rate, plan.seconds, plan.posts, plan.kept)
        async with self._balancer(run, place) as balancer:
            probes, costs = await crew.probes(), self._costs(balancer)
            start_s = time.monotonic() + BREATH_S
            clock = _clock(start_s)
            if self._tap is not None:
                self._tap.start(start_s)
            eye = watch.Eye(run.arrangement, place.log, self._servers, plan.checks.fail_timeout_s)
            watching = asyncio.create_task(watch.watch(eye, clock))
            breaking = asyncio.create_task(_break(FAULTS[run.fault](plan.fault_s), plan.lead_s, crew, clock))
            try:
                requests = await self._load.send(Order(*place.listen, start_s, due, plan.stall_s, plan.patience_s))
                changes = await breaking
                died = processes.condition(balancer) is processes.Condition.ENDED
                spent = self._costs(balancer)
                watching.cancel()
                return History(
                    run,
                    plan.seconds,
                    requests,
                    without_blinks(await watching),
                    tuple(changes),
                    await crew.probes() - probes,
                    self._tap.seen() if self._tap is not None else None,
                    Costs(max(0.0, spent.balancer_s - costs.balancer_s), spent.servers_s - costs.servers_s),
                    died=died,
                    blind=self._tap is not None and self._tap.lost() > 0,
                )
            finally:
                watching.cancel()
                breaking.cancel()

    def _costs(self, balancer: ProcessId) -> Costs:
        return Costs(processes.cpu_s(balancer), self._crew.cpu_s())

    @contextlib.asynccontextmanager
    async def _balancer(self, run: Run, place: Place) -> AsyncIterator[ProcessId]:
        """Runs the balancer; it accepts connections when the body begins."""
        arrangement = arrangements.arrange(run.arrangement, self._plan.checks, self._servers, place)
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
            yield process
        finally:
            try:
                async with asyncio.timeout(2):
                    await end(process, signal.SIGTERM)
            except TimeoutError:
                await end(process, signal.SIGKILL)


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


def _clock(start_s: float) -> Callable[[], float]:
    return lambda: time.monotonic() - start_s


async def _accepts(place: Place) -> bool:
    try:
        _, writer = await asyncio.open_connection(*place.listen)
    except OSError:
        return False
    writer.close()
    return True
