"""What figures depend on: how fast this machine makes bytes durable, and how busy it is."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

BLOCK = bytes(4096)


def fdatasync_per_s(seconds: float = 2.0) -> float:
    """Appends of 4 KiB, each made durable, one after the other."""
    with tempfile.TemporaryFile() as file:
        count, began = 0, time.perf_counter()
        while (took := time.perf_counter() - began) < seconds:
            file.write(BLOCK)
            file.flush()
            os.fdatasync(file.fileno())
            count += 1
        return count / took


def describe() -> str:
    """One line for the top of a report."""
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} CPUs, load average {load:.1f} before, {fdatasync_per_s():.0f} fdatasync/s"


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that `percent` of all are not above (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def resident_mb(pid: int) -> float:
    """Memory of a process that is in RAM."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
