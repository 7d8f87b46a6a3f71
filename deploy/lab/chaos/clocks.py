"""Wall clocks of the daemons that go wrong while they run: libfaketime, loaded before each of them.

A daemon asks a file of its own how far its clock is off, once a second. What measures passing time (CLOCK_MONOTONIC) is
left alone: no wrong wall clock of a real machine changes that either.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from deploy.lab import programs
from deploy.lab.topology import Process

LIBRARIES = ("usr/lib/*/faketime/libfaketimeMT.so.1", "usr/lib*/faketime/libfaketimeMT.so.1")
SHARED_MEMORY = Path("/dev/shm")
READ_AGAIN_S = 1
TRIAL_S = 86_400.0
TRIAL_TOLERANCE_S = 60.0


def why_not(folder: Path) -> str:
    """Why clocks cannot be put wrong here; empty if they can. Tries it with a program that tells the time."""
    if _library() is None:
        return "needs libfaketime; on Debian: apt-get install libfaketime"
    trial = Clocks([folder / "trial"])
    trial.put(0, TRIAL_S)
    command = (*trial.environment(0), sys.executable, "-c", "import time; print(time.time())")
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    try:
        works = abs(float(told) - time.time() - TRIAL_S) < TRIAL_TOLERANCE_S
    except ValueError:
        works = False
    return "" if works else "libfaketime has no effect here"


class Clocks:
    """`files[n]` says how far the clock of server `n` is off."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        for server in range(len(files)):
            self.put(server, 0.0)

    def put(self, server: int, ahead_s: float) -> None:
        """Ahead of the true time, or behind it where that is negative."""
        file = self._files[server]
        fresh = file.with_suffix(".new")
        fresh.write_text(f"{ahead_s:+.3f}\n")
        fresh.replace(file)

    def place(self, process: Process, server: int) -> Process:
        """The daemon, started with that clock."""
        return replace(process, argv=(*self.environment(server), *process.argv))

    def environment(self, server: int) -> tuple[str, ...]:
        """What comes before a command to give it the clock."""
        return (
            programs.find("env"),
            f"LD_PRELOAD={_library()}",
            f"FAKETIME_TIMESTAMP_FILE={self._files[server]}",
            f"FAKETIME_CACHE_DURATION={READ_AGAIN_S}",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
            "FAKETIME_FORCE_MONOTONIC_FIX=0",  # its "fix" makes every timed wait of a thread wrong
            "NO_FAKE_STAT=1",
        )


def forget(pid: int) -> None:
    """Removes what libfaketime leaves of a process that was killed."""
    for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        (SHARED_MEMORY / name).unlink(missing_ok=True)


def _library() -> Path | None:
    return next((path for pattern in LIBRARIES for path in sorted(Path("/").glob(pattern))), None)
