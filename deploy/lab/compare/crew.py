"""The three web UIs of an experiment: starts them, breaks them, heals them, and counts what they got and what it cost."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from pathlib import Path

from deploy.lab import processes
from deploy.lab.compare.faults import Condition
from deploy.lab.compare.packets import NETWORK
from deploy.lab.compare.plan import SERVERS
from deploy.lab.errors import LabError
from deploy.lab.processes import ProcessId
from services.common.settings import Address

READY_WITHIN_S = 20.0
POLL_S = 0.02


def free_port() -> int:
    """A port that nobody uses just now on any of our addresses."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


async def end(process: ProcessId, signum: signal.Signals) -> None:
    """Ends a process of ours, frozen or not, and waits until it has let go of its ports."""
    processes.send(process, signum)
    processes.send(process, signal.SIGCONT)
    while processes.condition(process) is not processes.Condition.ENDED:  # noqa: ASYNC110 (it cannot tell us)
        await asyncio.sleep(POLL_S)
    processes.exit_of(process)


class Server:
    """One web UI and its process."""

    def __init__(self, name: str, address: Address, probe_port: int, folder: Path, service_s: float) -> None:
        self.name = name
        self.address = address
        self.probe_port = probe_port
        self._control = folder / f"{name}.sock"
        self._log = folder / f"{name}.log"
        self._service_s = service_s
        self._process: ProcessId | None = None
        self._probes_before = 0
        self._cpu_before_s = 0.0

    async def become(self, condition: Condition) -> None:
        """Returns when it is so. A killed or stopped one comes back as a new process."""
        match condition:
            case Condition.KILLED | Condition.STOPPED:
                await self._note()
                await self.end(signal.SIGKILL if condition is Condition.KILLED else signal.SIGTERM)
            case Condition.PAUSED:
                assert self._process is not None
                processes.send(self._process, signal.SIGSTOP)
            case _:
                await self._run()
                await self._tell(condition.value)

    async def end(self, signum: signal.Signals = signal.SIGKILL) -> None:
        if self._process is not None:
            await end(self._process, signum)
            self._process = None

    async def probes(self) -> int:
        """Health checks that it received so far, over all its lives."""
        return self._probes_before + int(await self._tell("probes"))

    def cpu_s(self) -> float:
        """Processor seconds that it used so far, over all its lives."""
        return self._cpu_before_s + (processes.cpu_s(self._process) if self._process is not None else 0.0)

    async def _note(self) -> None:
        if self._process is not None:
            self._probes_before, self._cpu_before_s = await self.probes(), self.cpu_s()

    async def _run(self) -> None:
        if self._process is not None:
            processes.send(self._process, signal.SIGCONT)
            return
        words = (self.name, str(self.address), str(self.probe_port), str(self._control), str(self._service_s))
        self._control.unlink(missing_ok=True)
        self._process = processes.spawn((sys.executable, "-m", "deploy.lab.compare.backend", *words), self._log)
        try:
            async with asyncio.timeout(READY_WITHIN_S):
                while not await self._answers(self._process):  # noqa: ASYNC110 (it cannot tell us)
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            raise LabError(f"{self.name} of the comparison did not start; its log: {self._log}") from None

    async def _answers(self, process: ProcessId) -> bool:
        if processes.condition(process) is processes.Condition.ENDED:
            raise LabError(f"{self.name} of the comparison ended while it started; its log: {self._log}")
        try:
            return bool(await self._tell("probes"))
        except (FileNotFoundError, ConnectionError):
            return False

    async def _tell(self, word: str) -> str:
        async with asyncio.timeout(READY_WITHIN_S):
            reader, writer = await asyncio.open_unix_connection(str(self._control))
            try:
                writer.write(f"{word}\n".encode())
                return (await reader.readline()).decode().strip()
            finally:
                writer.close()


class Crew:
    """All three. `async with` starts them and leaves nothing running."""

    def __init__(self, folder: Path, service_s: float) -> None:
        port, self.probe_port = free_port(), free_port()
        self.servers = {
            name: Server(name, Address(f"{NETWORK}.{place}", port), self.probe_port, folder, service_s)
            for place, name in enumerate(SERVERS, start=1)
        }

    @property
    def doors(self) -> dict[tuple[str, int], tuple[str, bool]]:
        """By host and port: whose it is, and whether it is for probes."""
        return {
            (server.address.host, port): (server.name, port == server.probe_port)
            for server in self.servers.values()
            for port in (server.address.port, server.probe_port)
        }

    async def __aenter__(self) -> Crew:
        try:
            await self.heal()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._end()

    async def heal(self) -> None:
        """All are well when it returns."""
        try:
            async with asyncio.TaskGroup() as group:
                for server in self.servers.values():
                    group.create_task(server.become(Condition.WELL))
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    async def probes(self) -> int:
        return sum([await server.probes() for server in self.servers.values()])

    def cpu_s(self) -> float:
        return sum(server.cpu_s() for server in self.servers.values())

    async def _end(self) -> None:
        for server in self.servers.values():
            await server.end()
