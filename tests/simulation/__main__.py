"""Runs seeds: `python -m tests.simulation --seeds 1..1000`.

Exit codes: 0 everything held, 1 a promise was broken (the seed and the smallest failing run found are printed),
2 wrong arguments, 130 interrupted.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice

from .coverage import report
from .plan import FAULTY_US, KINDS, Plan, plan
from .run import Result, run
from .shrink import BUDGET_S, shrink

PROGRESS_S = 10.0


def seeds(text: str) -> range:
    first, _, last = text.partition("..")
    try:
        found = range(int(first), int(last or first) + 1)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither A..B nor one number") from None
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} holds no seed")
    return found


def kinds(text: str) -> frozenset[str]:
    chosen = frozenset(filter(None, text.split(",")))
    unknown = sorted(chosen.difference(KINDS))
    if unknown:
        raise argparse.ArgumentTypeError(f"no such fault: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    return chosen


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return int(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Whole servers in one process, in virtual time, under faults drawn from seeds. The same seed is the "
        "same run.\nEach run: faults, then everything heals, then progress and equal states are demanded.",
        epilog="faults: " + ", ".join(KINDS) + "\n\nexit codes: 0 everything held, 1 a promise was broken, 2 wrong "
        "arguments, 130 interrupted\n\nexamples:\n"
        "  python -m tests.simulation --seeds 1..5000\n"
        "  python -m tests.simulation --seeds 1..500 --servers 5 --kinds membership,crash,lost-disk\n"
        "  python -m tests.simulation --seeds 17 --trace 400",
    )
    option = parser.add_argument
    option("--seeds", type=seeds, default=range(1, 101), metavar="A..B", help="default 1..100; or a single one")
    option("--servers", type=positive, metavar="N", help="how many found the zone (default: 3, 5 or 7, by the seed)")
    option("--kinds", type=kinds, metavar="A,B,…", help="only these faults (default: about half of them, by the seed)")
    option("--seconds", type=float, default=FAULTY_US / 1e6, help="of virtual time with faults (default %(default)g)")
    option("--workers", type=positive, default=os.cpu_count(), help="processes (default: one for each core)")
    option("--trace", type=positive, default=80, metavar="LINES", help="of a failing run (default %(default)s)")
    option("--shrink-s", type=float, default=BUDGET_S, help="time for making it smaller (default %(default)g)")
    option("--keep-going", action="store_true", help="name all failing seeds instead of ending at the first")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    plans = [
        plan(seed, servers=args.servers, kinds=args.kinds, faulty_us=int(args.seconds * 1e6)) for seed in args.seeds
    ]
    passed: list[Result] = []
    failed: list[Result] = []
    progress = Progress(len(plans))
    try:
        for result in results(plans, args.workers):
            (failed if result.violation else passed).append(result)
            progress.show(len(passed), failed)
            if result.violation and args.keep_going:
                print(f"\n{headline(result)}", flush=True)
            elif result.violation:
                break
    except KeyboardInterrupt:
        print("\ninterrupted")
        return 130
    print()
    print(report(result.coverage for result in (*passed, *failed)))
    print(times((*passed, *failed)))
    if failed and not args.keep_going:
        print(f"\n{headline(failed[0])}\nmaking it smaller …", flush=True)
        print(story(shrink(failed[0], args.shrink_s), args.trace))
    return 1 if failed else 0


def results(plans: list[Plan], workers: int) -> Iterator[Result]:
    """In the order of the plans. Leaving early leaves the rest undone."""
    if workers == 1:
        yield from map(run, plans)
        return
    with ProcessPoolExecutor(workers) as pool:
        waiting = iter(plans)
        under_way = [pool.submit(run, one) for one in islice(waiting, 4 * workers)]
        try:
            while under_way:
                result = under_way.pop(0).result()
                under_way.extend(pool.submit(run, one) for one in islice(waiting, 1))
                yield result
        finally:
            pool.shutdown(cancel_futures=True)


class Progress:
    """One line that is written over where somebody looks, a line now and then where not."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began = self._shown = time.monotonic()

    def show(self, passed: int, failed: list[Result]) -> None:
        now, done = time.monotonic(), passed + len(failed)
        if not sys.stdout.isatty() and now - self._shown < PROGRESS_S and done < self._total:
            return
        self._shown = now
        pace = done / max(now - self._began, 1e-9)
        failures = f", {len(failed)} failed" if failed else ""
        end = "" if sys.stdout.isatty() else "\n"
        print(
            f"\r{done} of {self._total} seeds{failures}, {pace:.1f}/s"[sys.stdout.isatty() ^ 1 :], end=end, flush=True
        )


def headline(result: Result) -> str:
    return f"seed {result.plan.seed} ({result.plan.servers} servers): {result.violation.strip().splitlines()[-1]}"


def story(result: Result, lines: int) -> str:
    """What happened in the smallest failing run, for people."""
    found = result.plan
    parts = [
        f"smallest: {found.servers} servers, {found.faulty_us / 1e6:g} s of faults, "
        f"{len(found.strikes)} of them: {'; '.join(map(str, found.strikes)) or 'none'}",
        *result.trace[-lines:],
        f"{result.violation}",
    ]
    return "\n".join(parts)


def times(done: Iterable[Result]) -> str:
    runs = list(done)
    worst, slowest = max(one.worst_us for one in runs) / 1e6, max(one.converged_us for one in runs) / 1e6
    return (
        f"a healthy majority acknowledged a write within {worst:.2f} s of virtual time at the latest; "
        f"{slowest:.2f} s after healing at the latest all states were equal"
    )


if __name__ == "__main__":
    sys.exit(main())
