"""Drivers that touch nothing and answer at once, or fail."""

from __future__ import annotations

from services.oned_lite.drivers.datastore_dummy import DummyDatastore
from services.oned_lite.drivers.files import FileThreads
from services.oned_lite.drivers.monitor_dummy import DummyMonitor
from services.oned_lite.drivers.port import Driver
from services.oned_lite.drivers.transfer import DummyTransfer
from services.oned_lite.drivers.vmm_dummy import DummyHypervisor
from services.oned_lite.lifecycle.work import Work, WorkResult

_DRIVERS: dict[str, Driver] = {
    "ds": DummyDatastore(),
    "im": DummyMonitor(),
    "tm": DummyTransfer(),
    "vmm": DummyHypervisor(FileThreads()),
}


def result_of(work: Work, *, ok: bool) -> WorkResult:
    """What the dummy driver of its family says; networks, hooks and marketplaces just do what they are told."""
    driver = _DRIVERS.get(work.driver.partition("/")[0])
    if not ok or driver is None:
        return WorkResult(key=work.key, ok=ok, message="" if ok else "simulated")
    running = driver.run(work)
    try:
        running.__await__().__next__()
    except StopIteration as done:
        assert isinstance(done.value, WorkResult)
        return done.value
    raise AssertionError(f"driver {work.driver} waits for something")
