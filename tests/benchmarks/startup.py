"""How long `oned-lite --solo --ephemeral` takes to its first answer, and how large it is then.

`python -m tests.benchmarks.startup` prints one line per start: seconds by the wall clock, seconds of CPU (which other work
on the machine does not lengthen much), and the resident set. Bars: 0.5 s and 80 MB on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onelite_pytest.daemons import Oned

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Start:
    wall_s: float
    cpu_s: float
    rss_mb: float


def measured(folder: Path) -> Start:
    """One start, to the first good answer of /healthz."""
    daemon = Oned.alone(folder)
    began = time.monotonic()
    daemon.start()
    wall_s = time.monotonic() - began
    try:
        proc = Path(f"/proc/{daemon.pid}")
        user, system = proc.joinpath("stat").read_text().rpartition(")")[2].split()[11:13]
        status = dict(line.split(":", 1) for line in proc.joinpath("status").read_text().splitlines())
        return Start(wall_s, (int(user) + int(system)) / TICKS_PER_S, int(status["VmRSS"].split()[0]) / 1024)
    finally:
        daemon.stop()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=5)
    for _ in range(parser.parse_args(argv).starts):
        with tempfile.TemporaryDirectory() as folder:
            start = measured(Path(folder))
        print(f"{start.wall_s:.2f} s   {start.cpu_s:.2f} s CPU   {start.rss_mb:.0f} MB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
