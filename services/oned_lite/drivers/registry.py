"""Which driver does which work."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from services.oned_lite.lifecycle.work import Work, WorkResult
from services.oned_lite.model.configuration import Configuration

from .datastore_dummy import DummyDatastore
from .datastore_fs import FolderDatastore
from .files import FileThreads
from .hook_local import HookRunner
from .market_http import FolderMarketplace
from .monitor_dummy import DummyMonitor
from .network import NetworkDriver
from .port import Driver
from .scripted import no_answer
from .transfer import SHARED_TRANSFERS, DummyTransfer, SharedTransfer, UnreachableTransfer
from .vmm_dummy import DummyHypervisor


class Drivers:
    """Finds the driver of a piece of work by its full name ("tm/shared") or its family ("tm"), and keeps its deadline."""

    def __init__(self, drivers: Mapping[str, Driver]) -> None:
        self._drivers = drivers

    async def run(self, work: Work) -> WorkResult:
        """Never raises but for cancellation."""
        family, _, _name = work.driver.partition("/")
        driver = self._drivers.get(work.driver) or self._drivers.get(family)
        if driver is None:
            return WorkResult(key=work.key, ok=False, message=f"no driver {work.driver}")
        try:
            async with asyncio.timeout(work.timeout_s):
                return await driver.run(work)
        except TimeoutError:
            return no_answer(work)


def local_drivers(conf: Configuration, data: Path) -> Drivers:
    """The drivers of a daemon whose own files are under `data`."""
    files = FileThreads()
    return Drivers(
        {
            "ds/dummy": DummyDatastore(),
            "ds/fs": FolderDatastore(files),
            "hook/local": HookRunner(data / "hooks"),
            "im/dummy": DummyMonitor(),
            "market/http": FolderMarketplace(files),
            "tm": UnreachableTransfer(),
            "tm/dummy": DummyTransfer(),
            **{f"tm/{name}": SharedTransfer(files) for name in SHARED_TRANSFERS},
            "vmm/dummy": DummyHypervisor(files),
            "vn": NetworkDriver(conf),
        }
    )
