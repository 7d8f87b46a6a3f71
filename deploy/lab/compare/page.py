"""The report: one HTML file that needs no other, with charts inside. Pure, but for reading its style sheet."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

from deploy.lab.compare import charts
from deploy.lab.compare.analysis import PERCENTILES, Flaw, Spread, Summary, flaws, lateness, summarize
from deploy.lab.compare.backend import BUSY_S, SLOW_S
from deploy.lab.compare.faults import FLAP_S
from deploy.lab.compare.findings import by_fault, findings
from deploy.lab.compare.history import History
from deploy.lab.compare.plan import Plan, numbers, option
from deploy.lab.compare.record import Setting
from deploy.lab.compare.tables import COLUMNS, COSTS, SOON, arrangements_of, bare, costs, show, span
from deploy.lab.compare.texts import Words

STYLE = Path(__file__).with_name("page.css")
Groups = Mapping[str, Sequence[Summary]]


def page(setting: Setting, histories: Sequence[History], words: Words) -> str:
    """The whole document."""
    plan, groups = setting.plan, by_fault(summarize(histories, setting.plan))
    parts = [
        charts.STRIPES,
        _head(groups, words),
        _doubts(groups, words),
        _harm(plan, groups, words),
        _findings(plan, groups, words),
        _soon(histories, groups, words),
        _cost(groups, words),
        _faults(plan, histories, groups, words),
        _table(plan, groups, words),
        _conditions(setting, histories, words),
    ]
    return (
        f'<!doctype html>\n<html lang="{words.language}">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(words['title'])}</title>\n<style>\n{STYLE.read_text()}</style></head>\n"
        f"<body>\n{''.join(parts)}</body>\n</html>\n"
    )


def _head(groups: Groups, words: Words) -> str:
    items = "".join(
        f"<li><b>{escape(words[name])}</b> {escape(words[name + '_is'])}</li>" for name in arrangements_of(groups)
    )
    return (
        f"<header><h1>{escape(words['title'])}</h1><p>{escape(words['lead'])}</p>"
        f'<ul class="chips">{items}</ul></header>\n'
    )


def _doubts(groups: Groups, words: Words) -> str:
    """Says loudly what is not to be trusted; nothing if all is."""
    everything = [summary for group in groups.values() for summary in group]
    doubtful = [summary for summary in everything if summary.flaws]
    if not doubtful:
        return ""
    reasons = sorted({flaw for summary in doubtful for flaw in summary.flaws}, key=list(Flaw).index)
    why = words.list_of([words[flaw.value] for flaw in reasons])
    return f"<p class='doubt'>{escape(words.say('doubt', count=len(doubtful), total=len(everything), why=why))}</p>"


def _section(title: str, notes: Sequence[str], body: str) -> str:
    paragraphs = "".join(f"<p class='note'>{escape(note)}</p>" for note in notes)
    return f"<section><h2>{escape(title)}</h2>{paragraphs}{body}</section>\n"


def _harm(plan: Plan, groups: Groups, words: Words) -> str:
    note = words.say("harmed_note", stall=words.plain(plan.stall_s), patience=words.plain(plan.patience_s))
    counts = [summary["requests"].median for group in groups.values() for summary in group]
    spread = any(summary.repetitions > 1 for group in groups.values() for summary in group)
    legend = (
        f'<p class="legend"><span><i class="error"></i>{words["errors"]}</span> '
        f'<span><i class="stalled"></i>{words["stalls"]}</span> '
        + (f"<span>{words['whisker']}</span> " if spread else "")
        + f"<span>{words.say('of_requests', count=f'{sum(counts) / len(counts):.0f}')}</span></p>"
    )
    bars = f'<div class="card scroll">{charts.harm_bars(groups, words)}</div>'
    return _section(words["harmed"], [note], _heat(groups, words) + legend + bars)


def _heat(groups: Groups, words: Words) -> str:
    """Faults down, arrangements across; the more users were harmed, the deeper the colour."""
    most = max(summary["harmed"].median for group in groups.values() for summary in group)
    return _grid("heat", groups, words, lambda summary: _heat_cell(summary, most, words))


def _grid(kind: str, groups: Groups, words: Words, cell: Callable[[Summary], str]) -> str:
    heads = "".join(f"<th scope='col'>{escape(words.title(name))}</th>" for name in arrangements_of(groups))
    rows = []
    for fault, group in groups.items():
        cells = {summary.arrangement: cell(summary) for summary in group}
        about = words[fault + "_is"].format(
            slow=words.plain(SLOW_S), busy=words.plain(BUSY_S), flap=words.plain(FLAP_S)
        )
        name = f"<th scope='row'>{escape(words.fault(fault))}<small>{escape(about)}</small></th>"
        rows.append(f"<tr>{name}{''.join(cells.get(each, '<td></td>') for each in arrangements_of(groups))}</tr>")
    return (
        f"<div class='wide'><table class='{kind}'><thead><tr><td></td>{heads}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _heat_cell(summary: Summary, most: float, words: Words) -> str:
    harmed = summary["harmed"]
    depth = 100 * math.sqrt(harmed.median / most) if most else 0
    reach = span("harmed", harmed, words)
    small = f"<small>{reach}</small>" if reach else ""
    return f"<td style='--depth:{depth:.0f}%'><b>{harmed.median:.0f}{_dagger(summary)}</b>{small}</td>"


def _dagger(summary: Summary) -> str:
    return "<sup>†</sup>" if summary.flaws else ""


def _findings(plan: Plan, groups: Groups, words: Words) -> str:
    items = "".join(f"<li>{sentence}</li>" for sentence in findings(groups, plan, words))
    most = max(summary.repetitions for group in groups.values() for summary in group)
    once = [words["once"]] if most == 1 else []
    return _section(words["findings"], [words["findings_note"], *once], f"<ul class='findings'>{items}</ul>")


def _soon(histories: Sequence[History], groups: Groups, words: Words) -> str:
    notes = [words["soon_note"]]
    if any(history.attempts is None for history in histories):
        notes.append(words["no_tap"])
    return _section(words["soon"], notes, _grid("soon", groups, words, lambda summary: _soon_cell(summary, words)))


def _soon_cell(summary: Summary, words: Words) -> str:
    lines = "".join(
        f"<div><dt>{escape(words[key])}</dt><dd>{bare(name, summary[name].median, words)}"
        f"{_reach(name, summary[name], words)}</dd></div>"
        for key, name in SOON.items()
    )
    return f"<td><dl>{lines}</dl></td>"


def _reach(name: str, spread: Spread, words: Words) -> str:
    reach = span(name, spread, words)
    return f" <small>{reach}</small>" if reach else ""


def _cost(groups: Groups, words: Words) -> str:
    rows = {name: costs(groups, name) for name in arrangements_of(groups)}
    most = {figure: max(row[figure] for row in rows.values()) or 1.0 for figure in COSTS}
    heads = "".join(f"<th scope='col'>{escape(words[figure])}</th>" for figure in COSTS)
    body = "".join(
        f"<tr><th scope='row'>{escape(words.title(name))}</th>"
        + "".join(
            f"<td><i style='width:{100 * row[figure] / most[figure]:.0f}%'></i>{show(figure, row[figure], words)}</td>"
            for figure in COSTS
        )
        + "</tr>"
        for name, row in rows.items()
    )
    table = f"<table class='cost'><thead><tr><td></td>{heads}</tr></thead><tbody>{body}</tbody></table>"
    return _section(words["cost"], [words["cost_note"]], f"<div class='wide'>{table}</div>")


def _faults(plan: Plan, histories: Sequence[History], groups: Groups, words: Words) -> str:
    body = [_timeline_legend(words)]
    for fault, summaries in groups.items():
        shown = [_shown(plan, histories, summary) for summary in summaries]
        drawings = "".join(
            f"<figure><figcaption><b>{escape(words.title(each.run.arrangement))}</b></figcaption>"
            f"{charts.timeline(each, words)}</figure>"
            for each in shown
        )
        latency = (
            f"<figure><figcaption><b>{escape(words['latency'])}</b> {_dots_legend(words)}</figcaption>"
            f"{charts.latencies(summaries, words)}</figure>"
        )
        table = _fault_table(shown, summaries, words)
        body.append(
            f"<h3>{escape(words.fault(fault))}</h3><div class='grid-of-two'>{drawings}{latency}</div>"
            f"<details><summary>{escape(words['as_table'])}</summary>{table}</details>"
        )
    return _section(words["timelines"], [words["timelines_note"], words["latency_note"]], "".join(body))


def _shown(plan: Plan, histories: Sequence[History], summary: Summary) -> History:
    """The run that stands for all of its kind: the first that can be trusted."""
    mine = [each for each in histories if (each.run.arrangement, each.run.fault) == (summary.arrangement, summary.fault)]
    return min(mine, key=lambda history: (len(flaws(history, plan)), history.run.repetition))


def _timeline_legend(words: Words) -> str:
    marks = {"ok": "ok", "stalled": "stalled", "error": "error", "try": "tried", "out": "taken_out", "broken": "fault"}
    items = " ".join(f'<span><i class="{kind}"></i>{escape(words[key].lower())}</span>' for kind, key in marks.items())
    return f'<p class="legend marks">{items}</p>'


def _dots_legend(words: Words) -> str:
    dots = (f'<i class="dot p{percent}"></i>{words[name]}' for percent, name in PERCENTILES.items())
    return f"<span>{' '.join(dots)}</span>"


def _fault_table(shown: Sequence[History], summaries: Sequence[Summary], words: Words) -> str:
    """What the timelines and the chart of latencies of one fault show."""
    columns = ("errors", "stalls", *PERCENTILES.values())
    heads = "".join(f"<th scope='col'>{escape(words[name])}</th>" for name in (*columns, "kept_out"))
    rows = "".join(
        f"<tr><th scope='row'>{escape(words[summary.arrangement])}</th>"
        + "".join(f"<td>{show(name, summary[name].median, words)}</td>" for name in columns)
        + f"<td>{escape(_spans(history, words))}</td></tr>"
        for history, summary in zip(shown, summaries, strict=True)
    )
    head = f"<thead><tr><th>{escape(words['arrangement'])}</th>{heads}</tr></thead>"
    return f"<div class='scroll'><table class='figures'>{head}<tbody>{rows}</tbody></table></div>"


def _spans(history: History, words: Words) -> str:
    parts = (f"{name} {words.number(since, 1)}–{words.number(to, 1)}" for name, since, to in charts.spans(history))
    return "; ".join(parts) or words["unknown"]


def _table(plan: Plan, groups: Groups, words: Words) -> str:
    heads = "".join(f"<th scope='col'>{escape(words[name])}</th>" for name in ("repetitions", *COLUMNS))
    rows = "".join(
        f"<tr>{_row_heads(place, fault, len(group), summary, words)}<td>{summary.repetitions}</td>"
        + "".join(f"<td>{_cell(name, summary[name], words)}</td>" for name in COLUMNS)
        + "</tr>"
        for fault, group in groups.items()
        for place, summary in enumerate(group)
    )
    table = (
        f"<div class='scroll'><table class='figures'><thead><tr><th>{escape(words['fault'])}</th>"
        f"<th>{escape(words['arrangement'])}</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    once = plan.repetitions == 1
    note = words["figures_once"] if once else words.say("figures_note", repetitions=plan.repetitions)
    return _section(words["figures"], [note], table)


def _row_heads(place: int, fault: str, count: int, summary: Summary, words: Words) -> str:
    first = f"<th scope='rowgroup' rowspan='{count}'>{escape(words.fault(fault))}</th>" if place == 0 else ""
    return f"{first}<th scope='row'>{escape(words[summary.arrangement])}{_dagger(summary)}</th>"


def _cell(name: str, spread: Spread, words: Words) -> str:
    reach = span(name, spread, words)
    return show(name, spread.median, words) + (f" <small>[{reach}]</small>" if reach else "")


def _conditions(setting: Setting, histories: Sequence[History], words: Words) -> str:
    plan = setting.plan
    knobs = {name: words.plain(value) for name, value in (numbers(plan) | numbers(plan.checks)).items()}
    late = [1000 * lateness(history.requests) for history in histories]
    sentences = [
        words.say(
            "method",
            rate=knobs["rate"],
            seconds=words.plain(plan.seconds),
            posts=words.plain(100 * plan.posts),
            kept=words.plain(100 * plan.kept),
            lead=knobs["lead_s"],
            lasts=knobs["fault_s"],
            service=words.plain(1000 * plan.service_s),
            seed=plan.seed,
        ),
        words["apart"],
        *(words.say(key, **knobs) for key in ("knobs_passive", "knobs_active", "knobs_all")),
        words["log"],
        words.say(
            "trusted",
            median=words.number(statistics.median(late), 1),
            worst=words.number(max(late), 1),
            bound=words.plain(1000 * plan.late_s),
            again=sum(history.tries - 1 for history in histories),
        ),
        words.say("machine", machine=setting.machine, programs=setting.programs or words["unknown"]),
        words["files"],
    ]
    total = len(tuple(plan.runs()))
    if len(histories) < total:
        sentences.append(words.say("unfinished", done=len(histories), total=total))
    if setting.absent:
        sentences.append(words.say("absent", names=", ".join(words[name] for name in setting.absent)))
    if setting.impossible:
        sentences.append(words["no_drop"])
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return _section(words["conditions"], [], f"<ul class='conditions'>{items}</ul>{_parameters(knobs, words)}")


def _parameters(knobs: Mapping[str, str], words: Words) -> str:
    """Every number of the plan by the name of its option."""
    items = "".join(f"<div><dt>{option(name)}</dt><dd>{value}</dd></div>" for name, value in knobs.items())
    return f"<details><summary>{escape(words['parameters'])}</summary><dl class='parameters'>{items}</dl></details>"

