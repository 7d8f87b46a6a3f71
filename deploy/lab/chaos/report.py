"""The report of a run: JSON for programs, and one self-contained HTML page with a timeline that says the same."""

from __future__ import annotations

import html
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from deploy.lab.chaos.gaps import Gap, gaps
from deploy.lab.chaos.history import History, Operation, Period, Sighting
from deploy.lab.chaos.timeline import svg
from deploy.lab.chaos.verdict import Check

if TYPE_CHECKING:
    from deploy.lab.chaos.run import Plan

STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --paper: #fff; --line: #d9dfe6; --soft: #5b6875 }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e8ee; --paper: #161b21; --line: #333c46; --soft: #9aa7b4 } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1240px; padding: 0 1rem; color: var(--ink);
  background: var(--paper) }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
table { border-collapse: collapse } td, th { padding: .25rem 1rem .25rem 0; text-align: left; vertical-align: top }
th { color: var(--soft); font-weight: 500 } tr + tr td { border-top: 1px solid var(--line) }
td.number { font-variant-numeric: tabular-nums }
.facts { display: flex; flex-wrap: wrap; gap: .5rem 2.5rem; margin: 1rem 0 } .facts b { display: block; font-size: 1.2rem }
.facts span { color: var(--soft) } .good { color: #1b8a5a } .BAD { color: #d33a3f; font-weight: 600 }
.unknown { color: #c27c00; font-weight: 600 } svg { width: 100%; height: auto } .soft { color: var(--soft) }
"""
PERCENTILES = (50, 99, 100)
SKEW_STEP_S = 5


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which a server said the same of itself. `role` is empty while it did not answer; `problem`: of its
    database."""

    server: int
    role: str
    term: int
    skew_s: int
    problem: str
    start_us: int
    end_us: int


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Of acknowledged calls, in milliseconds."""

    calls: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Second(msgspec.Struct, frozen=True, kw_only=True):
    """How many calls ended how in one second, and how long the longest of them took. `at_s`: when it began."""

    at_s: int
    outcomes: dict[str, int]
    longest_ms: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """report.json. Times are microseconds since the clients began, at `began_s` (seconds since 1970)."""

    good: bool
    servers: int
    db: str
    network: str
    seed: int
    began_s: float
    seconds: float
    checks: Sequence[dict[str, object]]
    outcomes: dict[str, int]
    latencies: dict[str, Latency]
    errors: dict[str, int]
    faults: dict[str, int]
    left_out: Mapping[str, str]
    longest_without_writes_s: float
    gaps: Sequence[Gap]
    leaders: Sequence[Span]
    periods: Sequence[Period]
    spans: Sequence[Span]
    calls_by_second: Sequence[Second]


def write(folder: Path, plan: Plan, checks: Sequence[Check], history: History) -> Summary:
    """report.json and report.html, beside history.jsonl."""
    summary = summarise(plan, checks, history)
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    (folder / "report.html").write_text(page(summary, svg(history.operations, summary)))
    return summary


def worth_logs(checks: Sequence[Check], history: History) -> bool:
    """Whether somebody will want to know what the daemons said."""
    good = bool(checks) and all(check.verdict == "good" for check in checks)
    return not good or bool(gaps(history.operations, history.periods))


def keep_logs(logs: Path, folder: Path) -> None:
    shutil.copytree(logs, folder, dirs_exist_ok=True)


def summarise(plan: Plan, checks: Sequence[Check], history: History) -> Summary:
    operations = history.operations
    standstills = gaps(operations, history.periods, longer_s=0.0)
    long_ones = gaps(operations, history.periods)
    spans = _spans(history.sightings)
    return Summary(
        good=bool(checks) and all(check.verdict == "good" for check in checks),
        servers=plan.servers,
        db=plan.db,
        network=plan.means.network,
        seed=plan.seed,
        began_s=history.clock.epoch_s,
        seconds=max((one.end_us for one in operations), default=0) / 1e6,
        checks=[{"verdict": check.verdict, **msgspec.structs.asdict(check)} for check in checks],
        outcomes=dict(Counter(one.outcome for one in operations)),
        latencies={kind: _latency(operations, kind) for kind in ("write", "allocate", "read")},
        errors=dict(Counter(_kind_of_error(one.error) for one in operations if one.error).most_common()),
        faults=dict(Counter(period.fault for period in history.periods)),
        left_out=plan.means.left_out,
        longest_without_writes_s=standstills[0].seconds if standstills else 0.0,
        gaps=long_ones or standstills[:1],
        leaders=sorted((span for span in spans if span.role == "leader"), key=lambda span: span.start_us),
        periods=history.periods,
        spans=spans,
        calls_by_second=_by_second(operations),
    )


def _spans(sightings: Iterable[Sighting]) -> list[Span]:
    """A span ends where the next one of its server begins."""
    spans: list[Span] = []
    by_server = sorted(sightings, key=lambda one: (one.server, one.at_us))
    for server, ours in groupby(by_server, key=lambda one: one.server):
        runs = [list(run) for _, run in groupby(ours, key=_said)]
        for run, following in zip(runs, [*runs[1:], runs[-1][-1:]], strict=True):
            first = run[0]
            spans.append(
                Span(
                    server=server,
                    role=first.role,
                    term=first.term,
                    skew_s=_skew_s(first),
                    problem=first.problem,
                    start_us=first.at_us,
                    end_us=following[0].at_us,
                )
            )
    return spans


def _said(sighting: Sighting) -> tuple[str, int, int, str]:
    return sighting.role, sighting.term, _skew_s(sighting), sighting.problem


def _skew_s(sighting: Sighting) -> int:
    """To the nearest five: whole seconds and the way of the answer make one or two more or less of the same time."""
    return round(sighting.skew_s / SKEW_STEP_S) * SKEW_STEP_S


def _latency(operations: Iterable[Operation], kind: str) -> Latency:
    took = sorted((one.end_us - one.start_us) / 1e3 for one in operations if one.kind == kind and one.outcome == "ok")
    if not took:
        return Latency(calls=0, p50_ms=0.0, p99_ms=0.0, max_ms=0.0)
    p50, p99, most = (took[min(len(took) - 1, len(took) * percent // 100)] for percent in PERCENTILES)
    return Latency(calls=len(took), p50_ms=round(p50, 1), p99_ms=round(p99, 1), max_ms=round(most, 1))


def _by_second(operations: Iterable[Operation]) -> list[Second]:
    def second(one: Operation) -> int:
        return one.end_us // 1_000_000

    return [
        Second(
            at_s=at_s,
            outcomes=dict(Counter(one.outcome for one in ended)),
            longest_ms=max((one.end_us - one.start_us) / 1e3 for one in ended),
        )
        for at_s, group in groupby(sorted(operations, key=second), key=second)
        if (ended := list(group))
    ]


def _kind_of_error(text: str) -> str:
    """Without the method and the numbers that make every text another one."""
    words = text.split("] ", 1)[-1].split(": ", 1)[-1] if text.startswith(("[", "http")) else text
    return re.sub(r"\d+", "N", words)


# ---------------------------------------------------------------------- the page
def page(summary: Summary, picture: str) -> str:
    verdict = '<span class="good">good</span>' if summary.good else '<span class="BAD">not good</span>'
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>onelite chaos</title><style>{STYLE}</style>"
        f"<h1>onelite chaos: {verdict}</h1>{_facts(summary)}"
        f"<h2>Timeline</h2>{picture}"
        f"<h2>Checks</h2>{_checks(summary)}"
        f"<h2>Calls</h2>{_calls(summary)}"
        f"<h2>Times without an acknowledged write</h2>{_gaps(summary)}"
        f"<h2>Leaders</h2>{_leaders(summary)}"
        f"<h2>Faults</h2>{_periods(summary)}</html>\n"
    )


def _facts(summary: Summary) -> str:
    facts = {
        f"{summary.servers} servers": f"on {summary.db}, links by {summary.network}",
        f"{summary.seconds:.0f} s": f"seed {summary.seed}",
        f"{sum(summary.outcomes.values())} calls": ", ".join(f"{n} {name}" for name, n in summary.outcomes.items()),
        f"{len(summary.periods)} faults": ", ".join(f"{name} {n}" for name, n in sorted(summary.faults.items())),
        f"{summary.longest_without_writes_s:.1f} s": "longest time without an acknowledged write",
    }
    told = "".join(
        f"<div><b>{html.escape(key)}</b><span>{html.escape(text)}</span></div>" for key, text in facts.items()
    )
    left_out = "; ".join(f"{name}, which {reason}" for name, reason in summary.left_out.items())
    return f"<div class='facts'>{told}</div>" + (
        f"<p class='soft'>Left out: {html.escape(left_out)}.</p>" if left_out else ""
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Text is escaped, but for `_Markup`."""
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><tr>{''.join(f'<th>{html.escape(head)}</th>' for head in heads)}</tr>{body}</table>"


class _Markup(str):
    """HTML already."""


def _cell(value: object) -> str:
    if isinstance(value, int | float):
        return f"<td class='number'>{value:,}</td>"
    return f"<td>{value if isinstance(value, _Markup) else html.escape(str(value))}</td>"


def _checks(summary: Summary) -> str:
    def row(check: Mapping[str, object]) -> Sequence[object]:
        verdict, problems, undecided = check["verdict"], check["problems"], check["undecided"]
        assert isinstance(problems, Sequence) and isinstance(undecided, Sequence)
        told = _Markup("<br>".join(html.escape(str(each)) for each in (*problems, *undecided)))
        return _Markup(f"<span class='{verdict}'>{verdict}</span>"), check["name"], check["judged"], told

    return _table(("", "What must hold", "Judged", "What speaks against it"), map(row, summary.checks))


def _calls(summary: Summary) -> str:
    latencies = _table(
        ("Acknowledged", "Calls", "p50 ms", "p99 ms", "Longest ms"),
        ((kind, one.calls, one.p50_ms, one.p99_ms, one.max_ms) for kind, one in summary.latencies.items()),
    )
    return latencies + _table(("Errors told to clients", ""), ((text, n) for text, n in summary.errors.items()))


def _gaps(summary: Summary) -> str:
    rows = (
        (_at(gap.start_us), round(gap.seconds, 2), _Markup("<br>".join(map(html.escape, gap.faults)) or "no fault"))
        for gap in summary.gaps
    )
    return _table(("From", "Seconds", "Faults then, or healed just before"), rows)


def _leaders(summary: Summary) -> str:
    rows = (
        (span.term, f"oned{span.server + 1}", _at(span.start_us), round((span.end_us - span.start_us) / 1e6, 1))
        for span in summary.leaders
    )
    return _table(("Term", "Leader", "Seen from", "Seconds"), rows)


def _periods(summary: Summary) -> str:
    rows = (
        (_at(one.start_us), one.fault, one.target, round((one.end_us - one.start_us) / 1e6, 1))
        for one in summary.periods
    )
    return _table(("From", "Fault", "Target", "Seconds until healed"), rows)


def _at(at_us: int) -> str:
    return f"{at_us / 1e6:.1f} s"
