"""One run from beginning to end: start, faults among clients, heal, settle, judge, report."""

from __future__ import annotations

import asyncio
import random
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import msgspec

from deploy.lab.chaos import databases, disks, holdings, report
from deploy.lab.chaos.clients import Group
from deploy.lab.chaos.cluster import Cluster, Health, ServerFolder
from deploy.lab.chaos.history import Clock, History, Sighting
from deploy.lab.chaos.holdings import Holdings
from deploy.lab.chaos.means import Means
from deploy.lab.chaos.nemesis import Nemesis
from deploy.lab.chaos.verdict import Check, End, Template, judge
from deploy.lab.definition import DatabaseKind
from deploy.lab.errors import LabError
from services.common.oned import OnedClient, OnedFailure
from services.common.xmlrpc import Value

WATCH_S = 0.1
SETTLE_S = 60.0
AFTERMATH_S = 1.0
"""Clients go on for so long after the last fault is healed."""
POOL_ALL = (-2, -1, -1)
ANY = "any"

Say = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the options ask for, and the means for it. `report`: the folder for history and report."""

    servers: int
    db: DatabaseKind
    seconds: float
    means: Means
    groups: int
    seed: int
    report: Path


async def run(plan: Plan, say: Say) -> bool:
    """Whether every check holds. LabError where the run itself could not be made."""
    plan.report.mkdir(parents=True, exist_ok=True)
    for name, reason in plan.means.left_out.items():
        say(f"left out: {name}, which {reason}")
    with (
        holdings.held(plan.servers if plan.means.network == "namespaces" else 0, _disks(plan)) as held,
        History(plan.report / "history.jsonl", Clock()) as history,
    ):
        checks = await _run_in(held, plan, history, say)
    summary = report.write(plan.report, plan, checks, history)
    for check in checks:
        say(f"{check.verdict:<8}{check.name} ({check.judged})")
        for problem in (*check.problems, *check.undecided)[:5]:
            say(f"        {problem}")
    say(f"longest time without an acknowledged write: {summary.longest_without_writes_s:.1f} s")
    say(f"report: {plan.report / 'report.html'}")
    return summary.good


def _disks(plan: Plan) -> Callable[[Path], list[Path]]:
    servers = range(plan.servers) if plan.means.file_systems else ()
    return lambda folder: [ServerFolder(folder).disk(server) for server in servers]


async def _run_in(held: Holdings, plan: Plan, history: History, say: Say) -> list[Check]:
    """The daemons' logs are kept where something is wrong, or writes stood still for long."""
    cluster = Cluster(held, plan.servers, plan.db, plan.means)
    checks: list[Check] = []
    try:
        say(f"starting {plan.servers} servers on {plan.db}, links by {plan.means.network}; seed {plan.seed}")
        await cluster.start()
        history.clock.restart()
        checks = await _storm(plan, cluster, history, say)
    except BaseExceptionGroup as failures:
        ours, _ = failures.split(LabError)
        if ours is None:
            raise
        raise _first(ours) from None
    finally:
        for mount in map(Path, held.mounts):
            disks.thaw(mount)  # a process that waits for its disk cannot be stopped
        await cluster.stop()
        logs = cluster.folder.log(ANY).parent
        if report.worth_logs(checks, history) and logs.is_dir():
            report.keep_logs(logs, plan.report / "logs")
    return checks


def _first(failures: BaseExceptionGroup[LabError]) -> LabError:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def _storm(plan: Plan, cluster: Cluster, history: History, say: Say) -> list[Check]:
    rng = random.Random(plan.seed)
    session = ":".join(cluster.folder.administrator())

    def progress(line: str) -> None:
        seconds = history.clock.now_us() / 1e6
        done = ", ".join(f"{history.count(outcome)} {outcome}" for outcome in ("ok", "failed", "unknown"))
        say(f"{seconds:6.1f} s  {line:<44} {done}")

    stop = asyncio.Event()
    watching = asyncio.create_task(_watch(cluster, history))
    try:
        async with asyncio.TaskGroup() as tasks:
            for number in range(plan.groups):
                group = Group(number, cluster.endpoints, session, history, plan.seed)
                tasks.create_task(group.run(stop))
            await Nemesis(cluster, plan.means.faults, rng, history, progress).run(plan.seconds)
            _require_healed(cluster)
            await asyncio.sleep(AFTERMATH_S)
            stop.set()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    progress("all faults are healed, waiting for equal states")
    end = await _end(cluster, session)
    return await asyncio.to_thread(judge, history, end)


def _require_healed(cluster: Cluster) -> None:
    amiss = cluster.amiss() + ([] if cluster.network.whole else ["a link is still cut"])
    if amiss:
        raise LabError(f"not everything that was broken is mended: {', '.join(amiss)}")


async def _watch(cluster: Cluster, history: History) -> None:
    """Notes what every server says of itself, for the picture and for the judges of times."""

    async def look(server: int) -> None:
        health = await cluster.health(server)
        at_us = history.clock.now_us()
        if health is None:
            history.sightings.append(Sighting(at_us=at_us, server=server, role="", term=0))
            return
        seen = Sighting(
            at_us=at_us,
            server=server,
            role=health.role,
            term=health.term,
            skew_s=round(health.time - time.time()),
            problem="" if health.database == "ok" else health.database,
        )
        history.sightings.append(seen)

    while True:
        await asyncio.gather(*map(look, cluster.servers))
        await asyncio.sleep(WATCH_S)


async def _end(cluster: Cluster, session: str) -> End:
    healths = await _settled(cluster)
    applied = max((health.applied for health in healths.values() if health), default=0)
    found = await databases.contents(cluster, applied)
    return End(
        templates={server: await _templates(cluster.endpoints[server], session) for server in cluster.servers},
        hashes={n: f"{health.applied}:{health.state_hash}" if health else "no answer" for n, health in healths.items()},
        databases={server: content.tables for server, content in found.items()},
    )


async def _settled(cluster: Cluster) -> dict[int, Health | None]:
    """Waits until all servers have applied the same and have the same hash; whatever they have when time is up."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        healths = await asyncio.gather(*map(cluster.health, cluster.servers))
        found = [health for health in healths if health and health.serving]
        equal = len({(health.applied, health.commit, health.state_hash) for health in found}) == 1
        if (equal and len(found) == len(healths)) or time.monotonic() > deadline:
            return dict(enumerate(healths))
        await asyncio.sleep(WATCH_S)


async def _templates(endpoint: str, session: str) -> list[Template]:
    try:
        pool: Value = await OnedClient([endpoint]).call(session, "one.templatepool.info", *POOL_ALL)
    except OnedFailure as failure:
        raise LabError(f"{endpoint} cannot be read after the run: {failure}") from failure
    return [
        Template(
            oid=int(each.findtext("ID", "-1")),
            name=each.findtext("NAME", ""),
            value=each.findtext("TEMPLATE/VALUE", ""),
            made_s=int(each.findtext("REGTIME", "0")),
        )
        for each in ET.fromstring(str(pool)).iter("VMTEMPLATE")
    ]
