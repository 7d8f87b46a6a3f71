"""Runs seeds: `python -m tests.balancer.likeness --seeds 1..500`.

Exit codes: 0 no difference but those on purpose, 1 a difference (the seed and the smallest case found are printed),
2 wrong arguments, 130 interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

import uvloop

from services.common import logs
from tests.balancer.likeness.plan import REQUESTS, plan
from tests.balancer.likeness.play import play
from tests.balancer.likeness.servers import servers
from tests.balancer.likeness.shrink import BUDGET_S, shrink
from tests.simulation.__main__ import positive, seeds


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.balancer.likeness",
        description="Random nginx.confs and requests before a real nginx and before the balancer.",
    )
    option = parser.add_argument
    option("--seeds", type=seeds, default=range(1, 101), metavar="A..B", help="default 1..100; or a single one")
    option("--requests", type=positive, default=REQUESTS, metavar="N", help="for each file (default %(default)s)")
    option("--shrink-s", type=float, default=BUDGET_S, help="time for making a case smaller (default %(default)g)")
    option("--keep-going", action="store_true", help="show all seeds that differ instead of ending at the first")
    option("--show", action="store_true", help="print the files and requests of the seeds, do nothing")
    return parser.parse_args()


async def main() -> int:
    args = arguments()
    if args.show:
        print("\n\n".join(str(plan(seed, args.requests)) for seed in args.seeds))
        return 0
    logs.setup("balancer", "critical", "text")
    excused: Counter[str] = Counter()
    differing = 0
    async with servers() as upstreams:
        for seed in args.seeds:
            result = await play(plan(seed, args.requests), upstreams)
            excused.update(result.excused)
            if not result.differences:
                continue
            differing += 1
            print(f"seed {seed}: {len(result.differences)} differences", flush=True)
            smallest = await shrink(result, upstreams, args.shrink_s)
            print(smallest.plan.text, *smallest.differences, sep="\n", flush=True)
            if not args.keep_going:
                break
    print(f"{len(args.seeds)} seeds, {differing} with differences; on purpose:")
    for why, count in excused.most_common():
        print(f"  {count:6} {why}")
    return 1 if differing else 0


if __name__ == "__main__":
    try:
        sys.exit(uvloop.run(main()))
    except KeyboardInterrupt:
        sys.exit(130)
