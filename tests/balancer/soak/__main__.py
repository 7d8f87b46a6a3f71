"""Runs seeds: `python -m tests.balancer.soak --seeds 1..20 --clients 2000 --workers 2 --upgrades`.

Exit codes: 0 everything was conserved, 1 something was not (it is printed with its seed), 130 interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import uvloop

from tests.balancer.soak.run import Plan, run
from tests.balancer.support import self_signed
from tests.simulation.__main__ import positive, seeds

LOG_LINES = 40


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.balancer.soak", description=__doc__)
    option = parser.add_argument
    option("--seeds", type=seeds, default=range(1, 6), metavar="A..B", help="default 1..5; or a single one")
    option("--clients", type=positive, default=1000, metavar="N", help="of each seed (default %(default)s)")
    option("--workers", type=positive, default=1, metavar="N", help="of the balancer (default %(default)s)")
    option("--upgrades", action="store_true", help="replace the program in place, too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        certificate = self_signed(Path(folder), "one.example")
        for seed in args.seeds:
            plan = Plan(seed=seed, clients=args.clients, workers=args.workers, upgrades=args.upgrades)
            place = Path(folder, str(seed))
            place.mkdir()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                result = runner.run(run(plan, place, certificate))
            print(f"seed {seed}: {result.violation or 'ok'}; {result.kilobytes} KB; {dict(result.tally)}", flush=True)
            if result.violation:
                print("the balancer's log ends:", *(place / "log").read_text().splitlines()[-LOG_LINES:], sep="\n")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
