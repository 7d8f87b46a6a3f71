"""The report of a run: JSON for programs, and one self-contained HTML page with a timeline."""

from __future__ import annotations

import html
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import msgspec

from deploy.lab.chaos.history import History, Operation
from deploy.lab.chaos.timeline import svg
from deploy.lab.chaos.verdict import Check

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; color: #1c2733 }
table { border-collapse: collapse } td, th { padding: .3rem .9rem .3rem 0; text-align: left; vertical-align: top }
.good { color: #18794e } .bad { color: #c62a2f; font-weight: 600 } svg { width: 100%; height: auto }
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What was run, and what came of it."""

    servers: int
    db: str
    seed: int
    checks: Sequence[Check]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """report.json."""

    good: bool
    servers: int
    db: str
    seed: int
    seconds: float
    outcomes: dict[str, int]
    faults: dict[str, int]
    longest_without_writes_s: float
    checks: Sequence[Check]


def write(folder: Path, facts: Facts, history: History) -> None:
    """report.json and report.html, beside history.jsonl."""
    summary = summarise(facts, history)
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
    (folder / "report.html").write_text(page(summary, svg(history, facts.servers)))


def keep_logs(logs: Path, folder: Path) -> None:
    """The daemons' words, for whoever looks into what went wrong."""
    shutil.copytree(logs, folder, dirs_exist_ok=True)


def summarise(facts: Facts, history: History) -> Summary:
    return Summary(
        good=all(check.good for check in facts.checks),
        servers=facts.servers,
        db=facts.db,
        seed=facts.seed,
        seconds=max((one.end_us for one in history.operations), default=0) / 1e6,
        outcomes=dict(Counter(one.outcome for one in history.operations)),
        faults=dict(Counter(period.fault for period in history.periods)),
        longest_without_writes_s=longest_without_writes_s(history.operations),
        checks=facts.checks,
    )


def longest_without_writes_s(operations: Sequence[Operation]) -> float:
    """The longest time in which no write of any client was acknowledged."""
    ends = sorted(one.end_us for one in operations if one.kind != "read" and one.outcome == "ok")
    return max((later - sooner for sooner, later in pairwise(ends)), default=0) / 1e6


def page(summary: Summary, picture: str) -> str:
    verdict = '<span class="good">good</span>' if summary.good else '<span class="bad">BAD</span>'
    rows = "".join(
        f"<tr><td class='{'good' if check.good else 'bad'}'>{'good' if check.good else 'BAD'}</td>"
        f"<td>{html.escape(check.name)}</td><td>{check.judged}</td>"
        f"<td>{'<br>'.join(map(html.escape, check.problems[:20]))}</td></tr>"
        for check in summary.checks
    )
    calls = ", ".join(f"{count} {outcome}" for outcome, count in sorted(summary.outcomes.items()))
    faults = ", ".join(f"{name} {count}" for name, count in sorted(summary.faults.items()))
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>onelite chaos</title><style>{STYLE}</style>"
        f"<h1>onelite chaos: {verdict}</h1>"
        f"<p>{summary.servers} servers on {summary.db}, {summary.seconds:.0f} s, seed {summary.seed}.<br>"
        f"Calls: {calls}.<br>Faults: {faults}.<br>"
        f"Longest time without an acknowledged write: {summary.longest_without_writes_s:.2f} s.</p>"
        f"<table><tr><th></th><th>Check</th><th>Judged</th><th>Problems</th></tr>{rows}</table>"
        f"<h2>Timeline</h2>{picture}</html>\n"
    )
