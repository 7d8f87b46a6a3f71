"""The report: one HTML file that needs no other, with charts inside. Pure, but for reading its style sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path

from deploy.lab.compare import charts
from deploy.lab.compare.analysis import NEVER, Spread, Summary
from deploy.lab.compare.backend import SLOW_S
from deploy.lab.compare.findings import by_fault, findings
from deploy.lab.compare.history import History
from deploy.lab.compare.plan import Plan
from deploy.lab.compare.texts import Words

STYLE = Path(__file__).with_name("page.css")
COLUMNS = (
    "errors",
    "stalls",
    "detect_s",
    "recover_s",
    "false_ejections",
    "probes_per_s",
    "shared_out",
    "p50_s",
    "p99_s",
    "max_s",
)
HEADS = {"p50_s": "p50", "p99_s": "p99", "max_s": "max"}
DIGITS = {"detect_s": 2, "recover_s": 2, "probes_per_s": 1}


def page(
    plan: Plan, histories: Sequence[History], summaries: Sequence[Summary], absent: Sequence[str], words: Words
) -> str:
    """The whole document."""
    groups = by_fault(summaries)
    parts = [
        _head(plan, groups, words),
        _harm(plan, groups, words),
        _findings(groups, words),
        _faults(histories, groups, words),
        _table(plan, groups, words),
        _conditions(plan, summaries, absent, words),
    ]
    return (
        f'<!doctype html>\n<html lang="{words.language}">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(words['title'])}</title>\n<style>\n{STYLE.read_text()}</style></head>\n"
        f"<body>\n{''.join(parts)}</body>\n</html>\n"
    )


def _head(plan: Plan, groups: Mapping[str, Sequence[Summary]], words: Words) -> str:
    arrangements = list(dict.fromkeys(each.arrangement for group in groups.values() for each in group))
    items = "".join(
        f"<li><b>{escape(words[name])}</b> {escape(words[name + '_is'])}</li>" for name in arrangements
    )
    return (
        f"<header><h1>{escape(words['title'])}</h1><p>{escape(words['lead'])}</p>"
        f'<ul class="chips">{items}</ul></header>\n'
    )


def _section(title: str, note: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2><p class='note'>{escape(note)}</p>{body}</section>\n"


def _harm(plan: Plan, groups: Mapping[str, Sequence[Summary]], words: Words) -> str:
    note = words.say("harmed_note", stall=_plain(plan.stall_s, words), patience=_plain(plan.patience_s, words))
    counts = [summary["requests"].median for group in groups.values() for summary in group]
    legend = (
        f'<p class="legend"><i class="error"></i>{words["errors"]} <i class="stalled"></i>{words["stalls"]} '
        f"<span>{words.say('of_requests', count=f'{sum(counts) / len(counts):.0f}')}</span></p>"
    )
    return _section(
        words["harmed"], note, legend + _heat(groups, words) + f'<div class="card">{charts.harm_bars(groups, words)}</div>'
    )


def _heat(groups: Mapping[str, Sequence[Summary]], words: Words) -> str:
    """Faults down, arrangements across; the more users were harmed, the deeper the colour."""
    arrangements = list(dict.fromkeys(each.arrangement for group in groups.values() for each in group))
    most = max(summary.harmed for group in groups.values() for summary in group)
    heads = "".join(f"<th scope='col'>{escape(words.title(name))}</th>" for name in arrangements)
    rows = []
    for fault, group in groups.items():
        cells = {summary.arrangement: _heat_cell(summary, most) for summary in group}
        about = words[fault + "_is"].format(slow=_plain(SLOW_S, words))
        name = f"<th scope='row'>{escape(words.fault(fault))}<small>{escape(about)}</small></th>"
        rows.append(f"<tr>{name}{''.join(cells.get(each, '<td></td>') for each in arrangements)}</tr>")
    return f"<table class='heat'><thead><tr><td></td>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _heat_cell(summary: Summary, most: float) -> str:
    depth = 100 * math.sqrt(summary.harmed / most) if most else 0
    low, high = (summary["errors"].low + summary["stalls"].low, summary["errors"].high + summary["stalls"].high)
    span = f"<small>{low:.0f}–{high:.0f}</small>" if low != high else ""
    return f"<td style='--depth:{depth:.0f}%'><b>{summary.harmed:.0f}</b>{span}</td>"


def _findings(groups: Mapping[str, Sequence[Summary]], words: Words) -> str:
    items = "".join(f"<li>{sentence}</li>" for sentence in findings(groups, words))
    return f"<section><h2>{escape(words['findings'])}</h2><ul class='findings'>{items}</ul></section>\n"


def _faults(histories: Sequence[History], groups: Mapping[str, Sequence[Summary]], words: Words) -> str:
    body = [_timeline_legend(words)]
    for fault, summaries in groups.items():
        shown = [history for history in histories if history.run.fault == fault and history.run.repetition == 1]
        figures = "".join(
            f"<figure><figcaption><b>{escape(words.title(each.run.arrangement))}</b></figcaption>"
            f"{charts.timeline(each, words)}</figure>"
            for each in shown
        )
        latency = (
            f"<figure><figcaption><b>{escape(words['latency'])}</b> {_dots_legend()}</figcaption>"
            f"{charts.latencies(summaries, words)}</figure>"
        )
        body.append(f"<h3>{escape(words.fault(fault))}</h3><div class='grid-of-two'>{figures}{latency}</div>")
    return _section(words["timelines"], f"{words['timelines_note']} {words['latency_note']}", "".join(body))


def _timeline_legend(words: Words) -> str:
    kinds = ("ok", "stalled", "error")
    items = " ".join(f'<i class="{kind}"></i>{escape(words[kind])}' for kind in kinds)
    return (
        f'<p class="legend">{items} <i class="out"></i>{escape(words["taken_out"])} '
        f'<i class="broken"></i>{escape(words["fault"].lower())}</p>'
    )


def _dots_legend() -> str:
    names = {50: "p50", 90: "p90", 99: "p99", 100: "max"}
    return "<span>" + " ".join(f'<i class="dot p{each}"></i>{name}' for each, name in names.items()) + "</span>"


def _table(plan: Plan, groups: Mapping[str, Sequence[Summary]], words: Words) -> str:
    heads = "".join(f"<th scope='col'>{escape(HEADS.get(name) or words[name])}</th>" for name in COLUMNS)
    rows = "".join(
        f"<tr>{_row_heads(place, fault, len(group), summary, words)}"
        + "".join(f"<td>{_cell(name, summary[name], words)}</td>" for name in COLUMNS)
        + "</tr>"
        for fault, group in groups.items()
        for place, summary in enumerate(group)
    )
    table = (
        f"<div class='scroll'><table class='figures'><thead><tr><th>{escape(words['fault'])}</th>"
        f"<th>{escape(words['arrangement'])}</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    return _section(words["figures"], words.say("figures_note", repetitions=plan.repetitions), table)


def _row_heads(place: int, fault: str, count: int, summary: Summary, words: Words) -> str:
    first = f"<th scope='rowgroup' rowspan='{count}'>{escape(words.fault(fault))}</th>" if place == 0 else ""
    return f"{first}<th scope='row'>{escape(words[summary.arrangement])}</th>"


def _cell(name: str, spread: Spread, words: Words) -> str:
    median, low, high = (show(name, value, words) for value in (spread.median, spread.low, spread.high))
    return median if low == high else f"{median} <small>[{low}–{high}]</small>"


def show(name: str, value: float, words: Words) -> str:
    """A figure with its unit, as people read it."""
    if value == NEVER:
        return words["never"]
    if name == "shared_out":
        return f"{100 * value:.0f} %"
    if name in HEADS:
        return f"{words.number(value * 1000)} ms"
    unit = " s" if name in ("detect_s", "recover_s") else ""
    return words.number(value, DIGITS.get(name, 0)) + unit


def _conditions(plan: Plan, summaries: Sequence[Summary], absent: Sequence[str], words: Words) -> str:
    knobs = {name: _plain(value, words) for name, value in asdict(plan.checks).items()}
    sentences = [
        words.say(
            "method",
            rate=_plain(plan.rate, words),
            seconds=_plain(plan.seconds, words),
            lead=_plain(plan.lead_s, words),
            lasts=_plain(plan.fault_s, words),
            service=_plain(plan.service_s * 1000, words),
            seed=plan.seed,
        ),
        *(words.say(key, **knobs) for key in ("knobs_passive", "knobs_active", "knobs_all")),
        words.say("lag", lag=words.number(1000 * max(summary["lag_s"].high for summary in summaries))),
        words["files"],
    ]
    if absent:
        sentences.append(words.say("absent", names=", ".join(words[name] for name in absent)))
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f"<section><h2>{escape(words['conditions'])}</h2><ul class='conditions'>{items}</ul></section>\n"


def _plain(value: float, words: Words) -> str:
    text = f"{value:.3f}".rstrip("0").rstrip(".")
    return text.replace(".", ",") if words.language == "pt" else text
