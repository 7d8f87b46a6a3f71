"""The daemons under test, and their databases: real processes of the lab, whose links, clocks and disks can be broken."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import yaml

from deploy.lab import parts, ports
from deploy.lab.chaos import clocks, disks, namespaces
from deploy.lab.chaos.clocks import Clocks
from deploy.lab.chaos.disks import Disks, FileSystems, SizeLimits
from deploy.lab.chaos.holdings import Holdings
from deploy.lab.chaos.means import Means
from deploy.lab.chaos.namespaces import Namespaces
from deploy.lab.chaos.network import Network, NetworkKind
from deploy.lab.chaos.relay import Relays
from deploy.lab.definition import DatabaseKind, Definition
from deploy.lab.folders import LabFolder
from deploy.lab.processes import Condition
from deploy.lab.readiness import http_get
from deploy.lab.supervisor import Supervisor
from deploy.lab.topology import Process, Topology

LINEARIZABLE = ["one.template.info"]
HEALTH_WITHIN_S = 1.0


class Health(msgspec.Struct, frozen=True):
    """What /healthz tells; the state before a database is read has none of it. `time`: of its wall clock, seconds."""

    serving: bool
    role: str = ""
    term: int = 0
    applied: int = 0
    commit: int = 0
    state_hash: str = ""
    time: int = 0
    database: str = ""


@dataclass(frozen=True, slots=True)
class ServerFolder(LabFolder):
    """A lab's folder in which everything that a server stores is in one place, which may be a disk of its own."""

    def data(self, name: str) -> Path:
        return self.disk(int(name.split(".")[0][-1]) - 1) / name

    def disk(self, server: int) -> Path:
        return self.root / "disks" / str(server + 1)


class Cluster:
    """`servers` daemons. They are numbered from 0 here; the processes of the first are oned1 and mariadb1."""

    def __init__(self, holdings: Holdings, servers: int, db: DatabaseKind, means: Means) -> None:
        self.folder = ServerFolder(Path(holdings.folder))
        self.servers = range(servers)
        self.db = db
        self.network: Network = Namespaces(holdings.namespaces) if means.network == "namespaces" else Relays()
        self.disks: Disks = SizeLimits(self._pid)
        self.clocks: Clocks | None = None
        self._means = means
        self._definition = _definition(servers, db, means.network)
        self._supervisor = Supervisor(Topology(()), self.folder, lambda line: None)
        self.endpoints = [parts.endpoint(each) for each in self._definition.addresses.frontends]

    async def start(self) -> None:
        """LabError if a server does not come up."""
        self.folder.create()
        if self._means.file_systems:
            folders = [self.folder.disk(server) for server in self.servers]
            await asyncio.gather(*(asyncio.to_thread(disks.make, folder, disks.SIZE_MB[self.db]) for folder in folders))
            self.disks = FileSystems(folders)
        if self._means.clocks:
            self.clocks = Clocks([self.folder.root / "run" / f"clock{server + 1}" for server in self.servers])
        await self.network.open([frontend.peer for frontend in self._definition.addresses.frontends])
        self._supervisor.topology = self._topology()
        await self._supervisor.start(self._supervisor.topology.processes)

    async def stop(self) -> None:
        await self._supervisor.stop(self._supervisor.topology.processes)
        await self.network.close()

    # ------------------------------------------------------------------ one process: oned1, mariadb1
    def kill(self, name: str) -> None:
        (process,) = self._named(name)
        pid = self._supervisor.look(process).pid
        self._supervisor.kill((process,))
        if pid is not None and self.clocks is not None:
            clocks.forget(pid)

    def pause(self, name: str) -> None:
        self._supervisor.pause(self._named(name))

    def resume(self, name: str) -> None:
        self._supervisor.resume(self._named(name))

    async def start_again(self, name: str) -> None:
        """Until it answers; not until it can serve, which may take other servers."""
        await self._supervisor.start(self._named(name), sick_within_s=0)

    def ended(self, server: int) -> list[str]:
        """Processes of a server that have ended, what others need first."""
        ours = [f"mariadb{server + 1}"] * (self.db == "mariadb") + [f"oned{server + 1}"]
        return [name for name in ours if self._supervisor.look(*self._named(name)).condition is Condition.ENDED]

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

    def _pid(self, server: int) -> int | None:
        return self._supervisor.look(*self._named(f"oned{server + 1}")).pid

    def _named(self, name: str) -> tuple[Process, ...]:
        return self._supervisor.topology.select((name,))

    def _topology(self) -> Topology:
        numbers = [server + 1 for server in self.servers]
        password = self.folder.database_password.read_text().strip()
        databases = [parts.mariadb(self.folder, n, password) for n in numbers] if self.db == "mariadb" else []
        daemons = [self._daemon(server) for server in self.servers]
        return Topology((*databases, *daemons))

    def _daemon(self, server: int) -> Process:
        """On links and with a clock that can be broken, and with reads that can be judged."""
        process = _linearizable(parts.oned(self.folder, self._definition, server + 1))
        if self.clocks is not None:
            process = self.clocks.place(process, server)
        return self.network.place(process, server)


def _linearizable(process: Process) -> Process:
    (config,) = process.files
    settings = {**yaml.safe_load(config.text), "raft": {"linearizable": LINEARIZABLE}}
    return replace(process, files=(replace(config, text=yaml.safe_dump(settings, sort_keys=False)),))


def _definition(servers: int, db: DatabaseKind, network: NetworkKind) -> Definition:
    """In namespaces, or on addresses that hardly anybody uses, so that labs and runs do not meet."""
    rng = random.SystemRandom()
    if network == "namespaces":
        return Definition(frontends=servers, db=db, network=namespaces.NETWORK)
    if ports.has_own_addresses():
        return Definition(frontends=servers, db=db, network=f"127.{rng.randint(100, 250)}.{rng.randint(1, 250)}")
    return Definition(frontends=servers, db=db, ports=rng.randint(20_000, 30_000))
