"""Figures as people read them, and the tables of an experiment in Markdown. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence

from deploy.lab.compare.analysis import NEVER, PERCENTILES, Spread, Summary
from deploy.lab.compare.texts import Words

COLUMNS = (
    "errors",
    "stalls",
    "detect_s",
    "told_s",
    "recover_s",
    "false_ejections",
    "probes_per_s",
    "balancer_cpu_s",
    "servers_cpu_s",
    "shared_out",
    "p50_s",
    "p99_s",
    "max_s",
)
"""Figures in the order in which tables show them; their names are keys of the texts."""

SOON = {"avoided": "detect_s", "told": "told_s", "back": "recover_s"}
COSTS = ("probes_per_s", "balancer_cpu_s", "servers_cpu_s")
DIGITS = {
    "detect_s": 2,
    "told_s": 2,
    "recover_s": 2,
    "probes_per_s": 1,
    "balancer_cpu_s": 2,
    "servers_cpu_s": 2,
}


def show(name: str, value: float, words: Words) -> str:
    """A figure with its unit."""
    if math.isnan(value):
        return words["unknown"]
    if value == NEVER:
        return words["never"]
    if name == "shared_out":
        return f"{100 * value:.0f} %"
    if name in PERCENTILES.values():
        return f"{words.number(value * 1000)} ms"
    unit = " s" if name.endswith("_s") and name != "probes_per_s" else ""
    return words.number(value, DIGITS.get(name, 0)) + unit


def bare(name: str, value: float, words: Words) -> str:
    """The same without its unit."""
    return show(name, value, words).removesuffix(" s")


def span(name: str, spread: Spread, words: Words) -> str:
    """The range, where there is one: "0.05–0.12"."""
    low, high = bare(name, spread.low, words), bare(name, spread.high, words)
    return "" if low == high else f"{low}–{high}"


def arrangements_of(groups: Mapping[str, Sequence[Summary]]) -> list[str]:
    """All that were run, in the order of the runs."""
    return list(dict.fromkeys(summary.arrangement for group in groups.values() for summary in group))


def costs(groups: Mapping[str, Sequence[Summary]], arrangement: str) -> dict[str, float]:
    """Medians over all faults of what an arrangement cost in a run."""
    mine = [summary for group in groups.values() for summary in group if summary.arrangement == arrangement]
    return {name: statistics.median(summary[name].median for summary in mine) for name in COSTS}


def markdown(groups: Mapping[str, Sequence[Summary]], words: Words) -> str:
    """What users saw, how soon, and what it cost: three tables."""
    arrangements = arrangements_of(groups)
    heads = [words["fault"], *(words.title(each) for each in arrangements)]
    cost_heads = [words["arrangement"], *(words[name] for name in COSTS)]
    cost_rows = [
        [words[each], *(show(name, value, words) for name, value in costs(groups, each).items())] for each in arrangements
    ]
    tables = (
        (f"{words['harmed']} ({words['errors']} + {words['stalls']})", heads, _rows(groups, words, _harm)),
        (f"{words['soon']} ({' / '.join(words[key] for key in SOON)}, s)", heads, _rows(groups, words, _soon)),
        (words["cost"], cost_heads, cost_rows),
    )
    return "\n".join(f"**{title}**\n\n{_table(head, rows)}" for title, head, rows in tables)


def _rows(
    groups: Mapping[str, Sequence[Summary]], words: Words, cell: Callable[[Summary, Words], str]
) -> list[list[str]]:
    rows = []
    for fault, group in groups.items():
        cells = {summary.arrangement: cell(summary, words) + " †" * bool(summary.flaws) for summary in group}
        rows.append([words.fault(fault), *(cells.get(each, "") for each in arrangements_of(groups))])
    return rows


def _harm(summary: Summary, words: Words) -> str:
    text = f"{summary['errors'].median:.0f} + {summary['stalls'].median:.0f}"
    reach = span("harmed", summary["harmed"], words)
    return f"{text} [{reach}]" if reach else text


def _soon(summary: Summary, words: Words) -> str:
    return " / ".join(bare(name, summary[name].median, words) for name in SOON.values())


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
