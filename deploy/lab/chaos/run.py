"""One run from beginning to end: start, faults among clients, heal, settle, judge, report."""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from deploy.lab.chaos import report
from deploy.lab.chaos.clients import Group
from deploy.lab.chaos.cluster import Cluster, Health
from deploy.lab.chaos.faults import FAULTS, NEED_MARIADB
from deploy.lab.chaos.history import Clock, History, Sighting
from deploy.lab.chaos.nemesis import Nemesis
from deploy.lab.chaos.verdict import Check, Template, judge
from deploy.lab.definition import DatabaseKind
from deploy.lab.errors import LabError
from deploy.lab.folders import LabFolder
from services.common.oned import OnedClient, OnedFailure
from services.common.xmlrpc import Value

WATCH_S = 0.1
SETTLE_S = 60.0
AFTERMATH_S = 1.0
"""Clients go on for so long after the last fault is healed."""
POOL_ALL = (-2, -1, -1)
ANY = "any"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the options ask for. `report`: the folder for history and report."""

    servers: int
    db: DatabaseKind
    seconds: float
    faults: Sequence[str]
    groups: int
    seed: int
    report: Path

    def __post_init__(self) -> None:
        """LabError for a fault that there is not, or not on this database."""
        for name in self.faults:
            if name not in FAULTS:
                raise LabError(f"--faults: there is no {name!r}; there are {', '.join(FAULTS)}")
            if name in NEED_MARIADB and self.db != "mariadb":
                raise LabError(f"--faults: {name} needs --db mariadb")


def default_faults(db: DatabaseKind) -> list[str]:
    """All that this database allows."""
    return [name for name in FAULTS if db == "mariadb" or name not in NEED_MARIADB]


async def run(plan: Plan, say: Callable[[str], None]) -> bool:
    """Whether every check holds. LabError where the run itself could not be made."""
    plan.report.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="onelite-chaos-") as name,
        History(plan.report / "history.jsonl", Clock()) as history,
    ):
        checks = await _run_in(LabFolder(Path(name)), plan, history, say)
    report.write(plan.report, report.Facts(plan.servers, plan.db, plan.seed, checks), history)
    for check in checks:
        say(f"{'good' if check.good else 'BAD '}  {check.name} ({check.judged})")
        for problem in check.problems[:5]:
            say(f"      {problem}")
    say(f"report: {plan.report / 'report.html'}")
    return all(check.good for check in checks)


async def _run_in(folder: LabFolder, plan: Plan, history: History, say: Callable[[str], None]) -> list[Check]:
    """The daemons' logs are kept where something is wrong."""
    cluster = Cluster(folder, plan.servers, plan.db)
    checks: list[Check] = []
    try:
        say(f"starting {plan.servers} servers on {plan.db}; seed {plan.seed}")
        await cluster.start()
        history.clock.restart()
        checks = await _storm(plan, cluster, history, say)
    except BaseExceptionGroup as failures:
        ours, _ = failures.split(LabError)
        if ours is None:
            raise
        raise _first(ours) from None
    finally:
        await cluster.stop()
        if not (checks and all(check.good for check in checks)) and folder.log(ANY).parent.is_dir():
            report.keep_logs(folder.log(ANY).parent, plan.report / "logs")
    return checks


def _first(failures: BaseExceptionGroup[LabError]) -> LabError:
    first = failures.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def _storm(plan: Plan, cluster: Cluster, history: History, say: Callable[[str], None]) -> list[Check]:
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
            await Nemesis(cluster, plan.faults, rng, history, progress).run(plan.seconds)
            _require_healed(cluster)
            await asyncio.sleep(AFTERMATH_S)
            stop.set()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    progress("all faults are healed, waiting for equal states")
    hashes = await _settled(cluster)
    final = {server: await _templates(cluster.endpoints[server], session) for server in cluster.servers}
    return await asyncio.to_thread(judge, history.operations, final, hashes)


def _require_healed(cluster: Cluster) -> None:
    amiss = cluster.amiss() + ([] if cluster.network.whole else ["a link is still cut"])
    if amiss:
        raise LabError(f"not everything that was broken is mended: {', '.join(amiss)}")


async def _watch(cluster: Cluster, history: History) -> None:
    """Notes what every server says of itself, for the picture."""
    while True:
        healths = await asyncio.gather(*map(cluster.health, cluster.servers))
        for server, health in enumerate(healths):
            seen = health or Health(serving=False)
            history.sightings.append(
                Sighting(at_us=history.clock.now_us(), server=server, role=seen.role, term=seen.term)
            )
        await asyncio.sleep(WATCH_S)


async def _settled(cluster: Cluster) -> dict[int, str]:
    """Waits until all servers have applied the same and have the same hash; whatever they have when time is up."""
    deadline = time.monotonic() + SETTLE_S
    while True:
        found = [health for health in await asyncio.gather(*map(cluster.health, cluster.servers)) if health]
        equal = len({(health.applied, health.commit, health.state_hash) for health in found}) == 1
        if equal and len(found) == len(cluster.servers) and all(health.serving for health in found):
            break
        if time.monotonic() > deadline:
            break
        await asyncio.sleep(WATCH_S)
    healths = await asyncio.gather(*map(cluster.health, cluster.servers))
    return {n: f"{health.applied}:{health.state_hash}" if health else "no answer" for n, health in enumerate(healths)}


async def _templates(endpoint: str, session: str) -> list[Template]:
    try:
        pool: Value = await OnedClient([endpoint]).call(session, "one.templatepool.info", *POOL_ALL)
    except OnedFailure as failure:
        raise LabError(f"{endpoint} cannot be read after the run: {failure}") from failure
    return [
        Template(int(each.findtext("ID", "-1")), each.findtext("NAME", ""), each.findtext("TEMPLATE/VALUE", ""))
        for each in ET.fromstring(str(pool)).iter("VMTEMPLATE")
    ]
