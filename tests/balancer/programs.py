"""The balancer as a program of its own, with workers and whatever else is a process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from services.balancer.pidfile import read_pid
from tests.balancer.support import RawClient, Upstream
from tests.support.ports import free_port

COMMAND = str(Path(sys.executable).with_name("balancer-lite"))
START_S = 30.0
"""A machine that runs many tests at a time may take long to start a handful of interpreters."""


class Program:
    """A running balancer-lite, known by its pid file like to its operators."""

    def __init__(self, folder: Path, session: aiohttp.ClientSession, settings: dict[str, Any]) -> None:
        self._session = session
        self.config = folder / "balancer.yaml"
        self.pid_file = folder / "pid"
        self.log = folder / "log"
        self.port, self._status = free_port(), free_port()
        self.settings = {
            "listen": f"127.0.0.1:{self.port}", "status": f"127.0.0.1:{self._status}", "pid_file": str(self.pid_file),
            **settings,
        }  # fmt: skip
        self._processes: list[asyncio.subprocess.Process] = []
        self._clients: list[RawClient] = []
        self.configure()

    @property
    def pid(self) -> int:
        return read_pid(self.pid_file)

    def configure(self, **changes: Any) -> None:
        """Write the settings file, with some keys changed."""
        self.settings |= changes
        self.config.write_text(yaml.safe_dump(self.settings))

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._processes.append(
                await asyncio.create_subprocess_exec(COMMAND, "--config", str(self.config), stdout=log, stderr=log)
            )
        await self.until(self._serves)

    def _serves(self) -> bool:
        assert self._processes[-1].returncode is None, self.log.read_text()
        return self.pid == self._processes[-1].pid

    async def ended(self) -> int:
        """Wait for the end of the program that was started last; returns its exit status."""
        async with asyncio.timeout(START_S):
            return await self._processes[-1].wait()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def stop(self) -> None:
        """End every process that was started, or that those have started."""
        for client in self._clients:
            client.writer.transport.abort()
        for pid in {self.pid, *(process.pid for process in self._processes if process.returncode is None)} - {0}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for process in self._processes:
            await process.wait()
        await self.until(lambda: not self.pid or not Path(f"/proc/{self.pid}").exists())

    async def until(self, condition: Callable[[], object | Awaitable[object]]) -> None:
        """Wait until a condition holds; it may have to be awaited, and may fail to connect until then."""
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError, aiohttp.ClientError):
                seen = condition()
                if await seen if isinstance(seen, Awaitable) else seen:
                    return
            assert time.monotonic() < deadline, f"the condition did not become true\n{self.log.read_text()}"
            await asyncio.sleep(0.02)

    async def says(self, text: str) -> None:
        """Wait for words in the log."""
        await self.until(lambda: text in self.log.read_text())

    # As clients and operators see it

    async def client(self) -> RawClient:
        self._clients.append(RawClient(*await asyncio.open_connection("127.0.0.1", self.port)))
        return self._clients[-1]

    async def bodies(self, count: int) -> str:
        """What so many clients get, one after the other, each on a connection of its own."""
        seen = ""
        for _ in range(count):
            client = await self.client()
            seen += (await client.get()).body.decode()
            client.close()
        return seen

    async def api(self, method: str, path: str, value: object = None) -> Any:
        url = f"http://127.0.0.1:{self._status}/api{path}"
        async with self._session.request(method, url, json=value) as answer:
            return await answer.json() if answer.content_type == "application/json" else await answer.text()

    async def status(self) -> Any:
        return await self.api("GET", "/status")

    async def peers(self) -> list[Any]:
        return list((await self.status())["upstreams"]["app"]["peers"])

    async def metric(self, name: str) -> float:
        async with self._session.get(f"http://127.0.0.1:{self._status}/metrics") as answer:
            lines = (await answer.text()).splitlines()
        return float(next(line for line in lines if line.startswith(name + " ")).split()[1])


@contextlib.asynccontextmanager
async def program(folder: Path, upstreams: list[Upstream], **settings: Any) -> AsyncIterator[Program]:
    """A program with one group ``app``; keys of ``server`` and ``group`` go to those parts."""
    server, group = settings.pop("server", {}), settings.pop("group", {})
    servers = [{"address": up.address, **server} for up in upstreams]
    value = {
        "upstreams": {"app": {"servers": servers, "method": "least_conn", **group}},
        "locations": [{"path": "/", "upstream": "app"}],
        **settings,
    }
    async with aiohttp.ClientSession() as session:
        running = Program(folder, session, value)
        try:
            await running.start()
            yield running
        finally:
            await running.stop()
