"""`onelite compare`: its options, its progress, and the files it leaves."""

from __future__ import annotations

import argparse
import asyncio
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TypeVar

from deploy.lab.compare import arrangements, experiment, history, picture
from deploy.lab.compare.analysis import figures, summarize, summary_rows
from deploy.lab.compare.faults import FAULTS
from deploy.lab.compare.history import History
from deploy.lab.compare.page import page, show
from deploy.lab.compare.plan import (
    ARRANGEMENTS,
    QUICK_AFTER_S,
    QUICK_CHECKS,
    QUICK_FAULT_S,
    QUICK_FAULTS,
    QUICK_LEAD_S,
    QUICK_PATIENCE_S,
    Checks,
    Plan,
)
from deploy.lab.compare.texts import Language, Words
from deploy.lab.errors import LabError
from deploy.lab.foreground import Interrupted, until_interrupted

T = TypeVar("T", Plan, Checks)
Say = Callable[[str], None]

DESCRIPTION = """\
Runs the same open-loop load against three small web UIs behind each arrangement of health checks in turn, breaks one of
the UIs, and writes down what users saw: an HTML page with charts, CSV files, and a PNG where Chromium is installed.

A lab need not be up; nothing of one is touched."""

EPILOG = """\
examples:
  onelite compare --quick                                   a meaningful page in less than three minutes
  onelite compare --quick --language pt --out resultado
  onelite compare --arrangements passive,active --faults kill,errors --repetitions 3
  onelite compare --faults drop --fail-timeout 5 --interval 0.5 --fails 1 --rate 100
"""

OVERHEAD_S = 1.0
"""What starting and stopping a balancer adds to a run."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command. Those without a value of their own depend on --quick."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="few faults, short times, hasty checks")
    parser.add_argument(
        "--arrangements", type=_names(ARRANGEMENTS), metavar="LIST", help=f"of {','.join(ARRANGEMENTS)} (default: all)"
    )
    parser.add_argument(
        "--faults",
        type=_names(tuple(FAULTS)),
        metavar="LIST",
        help=f"of {','.join(FAULTS)} (default: all; with --quick {','.join(QUICK_FAULTS)})",
    )
    parser.add_argument("--out", type=Path, default=Path("compare"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--language", choices=["en", "pt"], default="en", help="of the page (default: %(default)s)")
    load = parser.add_argument_group("load and times (seconds)")
    load.add_argument("--rate", type=_positive, metavar="R", help="requests per second (default: 60)")
    load.add_argument("--repetitions", type=_count, metavar="N", help="of every run (default: 1)")
    load.add_argument("--fault-after", dest="lead_s", type=_positive, metavar="S", help="default: 4")
    load.add_argument("--fault-lasts", dest="fault_s", type=_positive, metavar="S", help="default: 12")
    load.add_argument("--then", dest="after_s", type=_positive, metavar="S", help="go on after the cure (default: 14)")
    load.add_argument("--seed", type=int, metavar="N", help="of the arrival times (default: 1)")
    checks = parser.add_argument_group("checks (seconds)")
    for name, kind in (("max_fails", _count), ("fail_timeout_s", _count), ("fails", _count), ("passes", _count),
                       ("interval_s", _positive), ("probe_timeout_s", _positive), ("connect_timeout_s", _positive),
                       ("read_timeout_s", _positive)):  # fmt: skip
        option = f"--{name.removesuffix('_s').replace('_', '-')}"
        default = f"default: {getattr(Checks(), name):g}, with --quick {getattr(QUICK_CHECKS, name):g}"
        checks.add_argument(option, dest=name, type=kind, metavar="S" if name.endswith("_s") else "N", help=default)


def plan_of(arguments: argparse.Namespace) -> tuple[Plan, tuple[str, ...]]:
    """The plan that the options mean, and the arrangements that cannot be run here. LabError if none can."""
    wanted = arguments.arrangements or ARRANGEMENTS
    here = tuple(name for name in wanted if arrangements.installed(name))
    if not here:
        raise LabError(f"none of {', '.join(wanted)} is installed; on Debian: apt-get install {' '.join(wanted)}")
    plan = _quick(here) if arguments.quick else Plan(arrangements=here, faults=tuple(FAULTS))
    plan = replace(_with(plan, arguments), arrangements=here)
    return replace(plan, checks=_with(plan.checks, arguments)), tuple(name for name in wanted if name not in here)


def compare(arguments: argparse.Namespace, say: Say) -> int:
    """Runs the experiment and writes its files; after a Ctrl-C, those of the runs that were done."""
    plan, absent = plan_of(arguments)
    out: Path = arguments.out
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabError(f"--out {out}: {error.strerror}") from error
    for name in absent:
        say(f"{name} is not installed, so it is left out; on Debian: apt-get install {name}")
    seen: list[History] = []
    try:
        with tempfile.TemporaryDirectory(prefix="onelite-compare-") as folder:
            asyncio.run(until_interrupted(_run(plan, Path(folder), seen, say)))
    except Interrupted:
        if not seen:
            raise
        say("interrupted; the report shows the runs that were done")
    _write(plan, seen, absent, out, arguments.language, say)
    return 0


async def _run(plan: Plan, folder: Path, seen: list[History], say: Say) -> None:
    total = len(tuple(plan.runs()))
    began = time.monotonic()
    say(f"{total} runs of {plan.seconds:g} s: about {_clock(total * (plan.seconds + OVERHEAD_S))}")
    say(f"{'':>9}  {'fault':<9} {'behind':<8} {'errors':>6} {'stalls':>6}  {'detected':>8} {'back':>8}   left")

    def progress(number: int, one: History) -> None:
        seen.append(one)
        left_s = (time.monotonic() - began) / number * (total - number)
        say(f"{number:>4}/{total:<4}  {_row(one)}  {_clock(left_s):>5}")

    await experiment.carry_out(plan, folder, progress)


def _row(one: History) -> str:
    words, numbers = Words("en"), figures(one)
    detected, back = (show(name, getattr(numbers, name), words) for name in ("detect_s", "recover_s"))
    return (
        f"{one.run.fault:<9} {one.run.arrangement:<8} {numbers.errors:>6.0f} {numbers.stalls:>6.0f}  "
        f"{detected:>8} {back:>8}"
    )


def _write(
    plan: Plan, seen: Sequence[History], absent: Sequence[str], out: Path, language: Language, say: Say
) -> None:
    summaries = summarize(seen)
    report = out / "report.html"
    report.write_text(page(plan, seen, summaries, absent, Words(language)))
    history.write_requests(out / "requests.csv", seen)
    history.write_events(out / "events.csv", seen)
    heads = ("arrangement", "fault", "repetitions", "figure", "median", "low", "high")
    history.write_rows(out / "summary.csv", heads, summary_rows(summaries))
    say(f"wrote {report}, and beside it requests.csv, events.csv, summary.csv")
    program = picture.browser()
    if program is None:
        say("no PNG: that takes Chromium; on Debian: apt-get install chromium")
    elif picture.take(program, report, out / "report.png", _height(plan)):
        say(f"wrote {out / 'report.png'}")
    else:
        say(f"no PNG: {program} did not make one")


def _height(plan: Plan) -> int:
    """Pixels that the page needs in a window of picture.WIDTH, by what it shows."""
    timelines = len(plan.faults) * (60 + 195 * math.ceil((len(plan.arrangements) + 1) / 2))
    rows = len(plan.faults) * (64 + 28 + 38 * len(plan.arrangements))
    return 1750 + timelines + rows


def _quick(here: tuple[str, ...]) -> Plan:
    return Plan(
        arrangements=here,
        faults=QUICK_FAULTS,
        checks=QUICK_CHECKS,
        lead_s=QUICK_LEAD_S,
        fault_s=QUICK_FAULT_S,
        after_s=QUICK_AFTER_S,
        patience_s=QUICK_PATIENCE_S,
    )


def _with(values: T, arguments: argparse.Namespace) -> T:
    """The plan or checks with the options that were given, and that it knows."""
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    return replace(values, **{field.name: given[field.name] for field in fields(values) if field.name in given})


def _names(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
        for name in names:
            if name not in known:
                raise argparse.ArgumentTypeError(f"there is no {name!r}; there are {', '.join(known)}")
        return names

    return parse


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 100_000:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value < 100_000:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text}")
    return value


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min"
