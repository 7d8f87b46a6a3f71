"""The daemons under test, and their databases: real processes of the lab whose links go through relays."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace

import msgspec
import yaml

from deploy.lab import parts, ports
from deploy.lab.chaos.relay import Network
from deploy.lab.definition import DatabaseKind, Definition
from deploy.lab.folders import LabFolder
from deploy.lab.processes import Condition
from deploy.lab.readiness import http_get
from deploy.lab.supervisor import Supervisor
from deploy.lab.topology import Process, Topology
from services.common.settings import Address

LINEARIZABLE = ["one.template.info"]
HEALTH_WITHIN_S = 1.0


class Health(msgspec.Struct, frozen=True):
    """What /healthz tells; the state before a database is read has none of it."""

    serving: bool
    role: str = ""
    term: int = 0
    applied: int = 0
    commit: int = 0
    state_hash: str = ""


class Cluster:
    """`servers` daemons. They are numbered from 0 here; the processes of the first are oned1 and mariadb1."""

    def __init__(self, folder: LabFolder, servers: int, db: DatabaseKind) -> None:
        self.folder = folder
        self.servers = range(servers)
        self.db = db
        self.network = Network()
        self._definition = _definition(servers, db)
        self._supervisor = Supervisor(Topology(()), folder, lambda line: None)
        self.endpoints = [parts.endpoint(each) for each in self._definition.addresses.frontends]

    async def start(self) -> None:
        """LabError if a server does not come up."""
        self.folder.create()
        frontends = self._definition.addresses.frontends
        relays = await self.network.open([frontend.peer for frontend in frontends])
        self._supervisor.topology = self._topology(relays)
        await self._supervisor.start(self._supervisor.topology.processes)

    async def stop(self) -> None:
        await self._supervisor.stop(self._supervisor.topology.processes)
        await self.network.close()

    # ------------------------------------------------------------------ one process: oned1, mariadb1
    def kill(self, name: str) -> None:
        self._supervisor.kill(self._named(name))

    def pause(self, name: str) -> None:
        self._supervisor.pause(self._named(name))

    def resume(self, name: str) -> None:
        self._supervisor.resume(self._named(name))

    async def start_again(self, name: str) -> None:
        """Until it answers; not until it can serve, which may take other servers."""
        await self._supervisor.start(self._named(name), sick_within_s=0)

    def amiss(self) -> list[str]:
        """Processes that do not run."""
        return [
            f"{seen.process.name} is {seen.condition.value}"
            for seen in self._supervisor.look_at_all()
            if seen.condition is not Condition.RUNNING
        ]

    async def health(self, server: int) -> Health | None:
        """None where it does not answer."""
        try:
            async with asyncio.timeout(HEALTH_WITHIN_S):
                _, body = await http_get(self._definition.addresses.frontends[server].oned, "/healthz")
            return msgspec.json.decode(body, type=Health)
        except (OSError, EOFError, TimeoutError, msgspec.DecodeError):
            return None

    async def leader(self) -> int | None:
        """The one of the highest term, where several think so."""
        healths = await asyncio.gather(*map(self.health, self.servers))
        leaders = [(health.term, n) for n, health in enumerate(healths) if health and health.role == "leader"]
        return max(leaders)[1] if leaders else None

    def _named(self, name: str) -> tuple[Process, ...]:
        return self._supervisor.topology.select((name,))

    def _topology(self, relays: Mapping[tuple[int, int], Address]) -> Topology:
        numbers = [server + 1 for server in self.servers]
        password = self.folder.database_password.read_text().strip()
        databases = [parts.mariadb(self.folder, n, password) for n in numbers] if self.db == "mariadb" else []
        daemons = [_relayed(parts.oned(self.folder, self._definition, n), n - 1, relays) for n in numbers]
        return Topology((*databases, *daemons))


def _relayed(process: Process, server: int, relays: Mapping[tuple[int, int], Address]) -> Process:
    """The daemon finds the others behind their relays, and its reads can be judged."""
    (config,) = process.files
    settings = yaml.safe_load(config.text)
    for member in settings["cluster"]["servers"]:
        if member["id"] != server:
            member["peer"] = str(relays[server, member["id"]])
    settings["raft"] = {"linearizable": LINEARIZABLE}
    return replace(process, files=(replace(config, text=yaml.safe_dump(settings, sort_keys=False)),))


def _definition(servers: int, db: DatabaseKind) -> Definition:
    """On addresses that hardly anybody uses, so that labs and runs do not meet."""
    rng = random.SystemRandom()
    if ports.has_own_addresses():
        return Definition(frontends=servers, db=db, network=f"127.{rng.randint(100, 250)}.{rng.randint(1, 250)}")
    return Definition(frontends=servers, db=db, ports=rng.randint(20_000, 30_000))
