"""What the figures say, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from deploy.lab.compare.analysis import NEVER, Summary
from deploy.lab.compare.texts import Words

FED = 0.45
"""A share of the answers from which on a broken one of three servers is said to be fed."""

SAME = 2.0
"""Arrangements whose users were harmed no more often than this apart (requests per run) count as equal."""

ALIKE = 0.1
"""So do those that are no further apart than this share of the whole range."""


def by_fault(summaries: Sequence[Summary]) -> dict[str, list[Summary]]:
    """The summaries of each fault, in the order of the runs."""
    groups: dict[str, list[Summary]] = {}
    for summary in summaries:
        groups.setdefault(summary.fault, []).append(summary)
    return groups


def findings(groups: Mapping[str, Sequence[Summary]], words: Words) -> list[str]:
    """HTML sentences, one list item per fault."""
    return [" ".join(_of_fault(fault, summaries, words)) for fault, summaries in groups.items()]


def _of_fault(fault: str, summaries: Sequence[Summary], words: Words) -> list[str]:
    sentences = [_harm(fault, summaries, words)]
    if fault != "overload":
        unseen = [summary for summary in summaries if summary["detect_s"].median == NEVER]
        if unseen:
            sentences.append(words.say("unseen", who=_names(unseen, words, begin=True)))
    fed = [summary for summary in summaries if summary["shared_out"].median > FED]
    if fed and fault == "errors":
        share = max(summary["shared_out"].median for summary in fed)
        sentences.append(words.say("fed", share=f"{100 * share:.0f} %", who=_names(fed, words)))
    hasty = [summary for summary in summaries if summary["false_ejections"].median > 0]
    if hasty:
        sentences.append(words.say("falsely", who=_names(hasty, words, begin=True)))
    return sentences


def _harm(fault: str, summaries: Sequence[Summary], words: Words) -> str:
    low = min(summary.harmed for summary in summaries)
    high = max(summary.harmed for summary in summaries)
    name = escape(words.fault(fault))
    if high - low <= SAME:
        return words.say("equal", fault=name, low=_range(low, high))
    apart = max(SAME, ALIKE * (high - low))
    best = [summary for summary in summaries if summary.harmed <= low + apart]
    worst = [summary for summary in summaries if summary.harmed >= high - apart]
    return words.say(
        "best",
        fault=name,
        best=_names(best, words),
        worst=_names(worst, words),
        low=_range(low, max(summary.harmed for summary in best)),
        high=_range(min(summary.harmed for summary in worst), high),
    )


def _range(low: float, high: float) -> str:
    return f"{low:.0f}" if f"{low:.0f}" == f"{high:.0f}" else f"{low:.0f}–{high:.0f}"


def _names(summaries: Sequence[Summary], words: Words, *, begin: bool = False) -> str:
    """The arrangements; at the beginning of a sentence the first is written large."""
    first, *others = (summary.arrangement for summary in summaries)
    return escape(", ".join([words.title(first) if begin else words[first], *(words[name] for name in others)]))
