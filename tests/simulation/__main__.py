"""Runs seeds: `python -m tests.simulation --seeds 1..1000`."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from .run import Plan, Result, run, shrink


def seeds(text: str) -> range:
    first, _, last = text.partition("..")
    try:
        return range(int(first), int(last or first) + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not A..B") from None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=seeds, default=range(1, 101), help="A..B, both included (default 1..100)")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--trace", action="store_true", help="print the whole trace of a failing seed")
    args = parser.parse_args()
    began, done, acknowledged = time.monotonic(), 0, 0
    with ProcessPoolExecutor(args.workers) as pool:
        for result in pool.map(run, (Plan(seed) for seed in args.seeds), chunksize=4):
            done += 1
            acknowledged += result.acknowledged
            if result.violation:
                report(shrink(result), whole=args.trace)
                return 1
            pace = done / (time.monotonic() - began)
            print(
                f"\r{done} of {len(args.seeds)} seeds, {acknowledged} answered calls, {pace:.1f}/s", end="", flush=True
            )
    print()
    return 0


def report(result: Result, *, whole: bool) -> None:
    plan = result.plan
    print(f"\nseed {plan.seed} ({plan.servers} servers) fails: {result.violation}")
    print(f"shortest found: {plan.faulty_us / 1e6:.1f} s of {', '.join(sorted(plan.kinds)) or 'no faults'}")
    print("\n".join(result.trace if whole else result.trace[-40:]))


if __name__ == "__main__":
    sys.exit(main())
