"""`onelite compare`: its options, its progress, and the files it leaves."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TypeVar

from deploy.lab.compare import arrangements, experiment, history, packets, picture, record
from deploy.lab.compare.analysis import Flaw, figures, flaws, lateness, summarize, summary_rows
from deploy.lab.compare.faults import FAULTS
from deploy.lab.compare.findings import by_fault
from deploy.lab.compare.history import History
from deploy.lab.compare.page import page
from deploy.lab.compare.plan import (
    ARRANGEMENTS,
    BOUNDS,
    QUICK_AFTER_S,
    QUICK_CHECKS,
    QUICK_FAULT_S,
    QUICK_FAULTS,
    QUICK_LEAD_S,
    QUICK_PATIENCE_S,
    QUICK_REPETITIONS,
    Checks,
    Plan,
    contradictions,
    numbers,
    option,
)
from deploy.lab.compare.record import Record, Setting
from deploy.lab.compare.tables import markdown, show
from deploy.lab.compare.texts import Words
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
  onelite compare --quick                                   a meaningful page in about two minutes and a half
  onelite compare --quick --language pt --out resultado
  onelite compare --arrangements passive,active --faults kill,errors --repetitions 5
  onelite compare --faults drop --fail-timeout 5 --interval 0.5 --fails 1 --rate 100
  onelite compare --from compare --language pt              the page of an earlier run again, in Portuguese
  onelite compare --from compare --markdown                 its tables
"""

HELP = {
    "rate": "requests per second",
    "repetitions": "of every run",
    "lead_s": "before the fault begins",
    "fault_s": "how long it lasts",
    "after_s": "how long to go on after the cure",
    "service_s": "what a healthy server takes for a page",
    "stall_s": "a right answer that takes longer is a stall",
    "patience_s": "a user gives up after that",
    "posts": "share of requests that are POST, 0 to 1",
    "kept": "share of requests over kept connections, 0 to 1",
    "late_s": "a run whose load left later (99th percentile) is not trusted",
    "again": "how often a run that is not to be trusted is made again",
    "seed": "of the arrival times",
    "max_fails": "passive: failures until a server is out",
    "fail_timeout_s": "passive: how long they count, and how long it is out; whole seconds",
    "interval_s": "active: between two probes of a server",
    "fails": "active: failed probes until a server is out",
    "passes": "active: good probes until it is back",
    "probe_timeout_s": "active: patience with a probe",
    "connect_timeout_s": "of the balancer with a server, to connect",
    "read_timeout_s": "of the balancer with a server, between two reads",
}
"""By field of Plan or Checks."""

FILES = ("report.html", "report.png", "requests.csv", "events.csv", "summary.csv", record.FILE)

OVERHEAD_S = 0.8
"""What starting and stopping a balancer adds to a run."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command. Those without a value of their own depend on --quick."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="few faults, short times, hasty checks, one repetition")
    parser.add_argument(
        "--arrangements", type=_names(ARRANGEMENTS), metavar="LIST", help=f"of {','.join(ARRANGEMENTS)} (default: all)"
    )
    parser.add_argument(
        "--faults",
        type=_names(tuple(FAULTS)),
        metavar="LIST",
        help=f"of {','.join(FAULTS)} (default: all; with --quick {','.join(QUICK_FAULTS)})",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: compare, or the folder of --from")
    parser.add_argument("--overwrite", action="store_true", help="replace the results that --out holds")
    parser.add_argument("--language", choices=["en", "pt"], default="en", help="of the page (default: %(default)s)")
    parser.add_argument(
        "--from", dest="source", type=Path, metavar="DIR", help="run nothing; make the report of an earlier run again"
    )
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown too")
    usual, quick = Plan(arrangements=(), faults=()), _quick(())
    _add_numbers(parser.add_argument_group("load and times (seconds)"), usual, quick)
    _add_numbers(parser.add_argument_group("checks (seconds)"), usual.checks, quick.checks)


def _add_numbers(group: argparse._ArgumentGroup, usual: Plan | Checks, quick: Plan | Checks) -> None:
    for name, value in numbers(usual).items():
        hasty = numbers(quick)[name]
        default = f"{value:g}" if value == hasty else f"{value:g}, with --quick {hasty:g}"
        group.add_argument(
            option(name),
            dest=name,
            type=_within(name, type(value)),
            metavar="S" if name.endswith("_s") else "N",
            help=f"{HELP[name]} (default: {default})",
        )


def compare(arguments: argparse.Namespace, say: Say) -> int:
    """Runs the experiment and writes its files; after a Ctrl-C, those of the runs that were done."""
    words = Words(arguments.language)
    if arguments.source is not None:
        setting, seen = record.read(arguments.source)
        if not seen:
            raise LabError(f"{arguments.source}: no run of it was done")
        out = arguments.out or arguments.source
        _make(out)
    else:
        if not (packets.Tap.allowed() and packets.can_drop()):
            packets.enter_namespace()  # comes here again, in a network of its own
        packets.raise_loopback()
        setting, out = _setting(arguments), arguments.out or Path("compare")
        _make_room(out, overwrite=arguments.overwrite)
        seen = _experiment(setting, out, say)
    _write(setting, seen, out, words, say)
    if arguments.markdown:
        say("\n" + markdown(by_fault(summarize(seen, setting.plan)), words))
    return 0


def plan_of(
    arguments: argparse.Namespace, installed: Callable[[str], bool] = arrangements.installed
) -> tuple[Plan, tuple[str, ...]]:
    """The plan that the options mean, and the arrangements that cannot be run here. LabError if none can."""
    wanted = arguments.arrangements or ARRANGEMENTS
    here = tuple(name for name in wanted if installed(name))
    if not here:
        raise LabError(f"none of {', '.join(wanted)} is installed; on Debian: apt-get install {' '.join(wanted)}")
    plan = _quick(here) if arguments.quick else Plan(arrangements=here, faults=tuple(FAULTS))
    plan = replace(_with(plan, arguments), arrangements=here)
    plan = replace(plan, checks=_with(plan.checks, arguments))
    if wrong := contradictions(plan):
        raise LabError("; ".join(wrong))
    return plan, tuple(name for name in wanted if name not in here)


def _setting(arguments: argparse.Namespace) -> Setting:
    plan, absent = plan_of(arguments)
    impossible = ("drop",) if "drop" in plan.faults and not packets.can_drop() else ()
    faults = tuple(fault for fault in plan.faults if fault not in impossible)
    if not faults:
        raise LabError("this system lets nobody but root drop packets, and no other fault was asked for")
    programs = filter(None, map(arrangements.program, set(plan.arrangements) & set(arrangements.FOREIGN)))
    plan = replace(plan, faults=faults)
    return Setting(plan, absent, impossible, record.machine(), record.programs(sorted(programs)))


def _experiment(setting: Setting, out: Path, say: Say) -> Sequence[History]:
    for name in setting.absent:
        say(f"{name} is not installed, so it is left out; on Debian: apt-get install {name}")
    if setting.impossible:
        say("this system lets nobody but root drop packets, so that fault is left out")
    if not packets.Tap.allowed():
        say("packets cannot be seen here, so the report has only the balancers' own word for when a server was avoided")
    seen: list[History] = []
    with _writing(out):
        kept = Record(out, setting)
    try:
        with tempfile.TemporaryDirectory(prefix="onelite-compare-") as folder:
            asyncio.run(until_interrupted(_run(setting.plan, Path(folder), seen, kept, say)))
    except Interrupted:
        if not seen:
            kept.forget()
            raise
        say("interrupted; the report shows the runs that were done")
    return seen


async def _run(plan: Plan, folder: Path, seen: list[History], kept: Record, say: Say) -> None:
    total = len(tuple(plan.runs()))
    began = time.monotonic()
    about = _clock(total * (plan.seconds + OVERHEAD_S))
    say(f"{total} {'run' if total == 1 else 'runs'} of {plan.seconds:g} s: about {about}")
    say(
        f"{'':>9}  {'fault':<9} {'behind':<8} {'errors':>6} {'stalls':>6}  {'avoided':>8} {'told':>8} {'back':>8} "
        f"{'load late':>10}  left"
    )

    def progress(number: int, one: History) -> None:
        seen.append(one)
        kept.add(one)
        left_s = (time.monotonic() - began) / number * (total - number)
        say(f"{number:>4}/{total:<4}  {_row(one)}  {_clock(left_s)}{_doubt(one, plan)}")

    await experiment.carry_out(plan, folder, progress)


def _row(one: History) -> str:
    words, values = Words("en"), figures(one)
    times = " ".join(f"{show(name, getattr(values, name), words):>8}" for name in ("detect_s", "told_s", "recover_s"))
    return (
        f"{one.run.fault:<9} {one.run.arrangement:<8} {values.errors:>6.0f} {values.stalls:>6.0f}  {times} "
        f"{1000 * lateness(one.requests):>7.0f} ms"
    )


def _doubt(one: History, plan: Plan) -> str:
    words = Words("en")
    reasons = [words[flaw.value] for flaw in Flaw if flaw in flaws(one, plan)]
    return f"   not to be trusted: {', '.join(reasons)}" if reasons else ""


def _write(setting: Setting, seen: Sequence[History], out: Path, words: Words, say: Say) -> None:
    report = out / "report.html"
    with _writing(out):
        report.write_text(page(setting, seen, words))
        history.write_requests(out / "requests.csv", seen)
        history.write_events(out / "events.csv", seen)
        heads = ("arrangement", "fault", "repetitions", "figure", "median", "low", "high", "trusted")
        history.write_rows(out / "summary.csv", heads, summary_rows(summarize(seen, setting.plan)))
    say(f"wrote {report}, and beside it requests.csv, events.csv, summary.csv")
    program = picture.browser()
    if program is None:
        say("no PNG: that takes Chromium; on Debian: apt-get install chromium")
    elif picture.take(program, report, out / "report.png"):
        say(f"wrote {out / 'report.png'}")
    else:
        say(f"no PNG: {program} did not make one")


def _make_room(out: Path, *, overwrite: bool) -> None:
    """The folder, without results of an earlier run. LabError if there are some and they are to be kept."""
    _make(out)
    old = [out / name for name in FILES if (out / name).exists()]
    if old and not overwrite:
        raise LabError(f"{out} holds the results of an earlier run; name another folder with --out, or add --overwrite")
    with _writing(out):
        for path in old:
            path.unlink()


def _make(out: Path) -> None:
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Says what cannot be written, and where to, in one line."""
    try:
        yield
    except OSError as error:
        raise LabError(f"--out {out}: {error.strerror}") from error


def _quick(here: tuple[str, ...]) -> Plan:
    return Plan(
        arrangements=here,
        faults=QUICK_FAULTS,
        checks=QUICK_CHECKS,
        repetitions=QUICK_REPETITIONS,
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


def _within(name: str, kind: type[int] | type[float]) -> Callable[[str], float]:
    bounds, what = BOUNDS[name], "a whole number" if kind is int else "a number"

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = float("nan")
        if not bounds.low <= value <= bounds.high:
            raise argparse.ArgumentTypeError(f"expected {what} from {bounds.low:g} to {bounds.high:g}, got {text}")
        return value

    return parse


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02} min"
