"""Driver work under way: started, delayed and stopped as the node says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from services.common import logs
from services.oned_lite.drivers.port import Driver
from services.oned_lite.lifecycle.work import Work, WorkKey, WorkResult

log = logs.get("drivers")


class WorkRunner:
    """`finished` gets every result, except of work that was stopped. `sleep` is that of the daemon's clock."""

    def __init__(
        self, drivers: Driver, finished: Callable[[WorkResult], None], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._drivers = drivers
        self._finished = finished
        self._sleep = sleep
        self._running: dict[WorkKey, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Work) -> None:
        self.stop(work.key)
        task = asyncio.get_running_loop().create_task(self._run(work))
        self._running[work.key] = task
        task.add_done_callback(lambda done: self._forget(work.key, done))

    def stop(self, key: WorkKey) -> None:
        task = self._running.pop(key, None)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """Stops everything and waits for it."""
        tasks = tuple(self._running.values())
        self._running.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, work: Work) -> None:
        await self._sleep(work.delay_s)
        try:
            result = await self._drivers.run(work)
        except Exception as error:
            log.exception("driver failed", driver=work.driver, action=work.key.action, oid=work.key.oid)
            result = WorkResult(key=work.key, ok=False, message=f"driver {work.driver} failed: {error}")
        self._finished(result)

    def _forget(self, key: WorkKey, task: asyncio.Task[None]) -> None:
        if self._running.get(key) is task:
            del self._running[key]
