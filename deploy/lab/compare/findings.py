"""What the figures say, in sentences, and no more than they carry: differences that chance may make are called so. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from deploy.lab.compare.analysis import NEVER, Spread, Summary
from deploy.lab.compare.plan import Plan
from deploy.lab.compare.texts import Words

FED = 0.45
"""A share of the answers from which on a broken one of three servers is said to be fed."""

SIGMAS = 3.0
"""Counts of users must differ by this many standard deviations of counts that chance makes (Poisson)."""

RESOLVED_S = 0.1
"""Times that differ by less are the same, however often they were measured."""

CLOCK_S = 1.0
"""Passive checks count whole seconds of the clock; when in a second a fault falls is chance."""

ENOUGH = 3
"""From so many repetitions on, ranges that are well apart tell times apart; before, chance may have made them."""

Apart = Callable[[Summary, Summary], bool]


def by_fault(summaries: Sequence[Summary]) -> dict[str, list[Summary]]:
    """The summaries of each fault, in the order of the runs."""
    groups: dict[str, list[Summary]] = {}
    for summary in summaries:
        groups.setdefault(summary.fault, []).append(summary)
    return groups


def findings(groups: Mapping[str, Sequence[Summary]], plan: Plan, words: Words) -> list[str]:
    """HTML sentences, one list item per fault."""
    return [" ".join(_of_fault(fault, summaries, plan, words)) for fault, summaries in groups.items()]


def harm_differs(one: Summary, other: Summary) -> bool:
    """Whether chance is a poor explanation of how many more users were harmed.

    Counts that chance makes differ by their square root, so together they must differ by 3 sigma; harm that comes in bursts
    varies more, so the ranges of the repetitions must be well apart as well.
    """
    low, high = _ordered(one["harmed"], other["harmed"])
    fewer, more = one.repetitions * low.median, other.repetitions * high.median
    roots = (Spread(*(math.sqrt(value) for value in (each.median, each.low, each.high))) for each in (low, high))
    return more - fewer > SIGMAS * math.sqrt(more + fewer) and well_apart(*roots)


def times_differ(figure: str, chance_s: float) -> Apart:
    """Whether two arrangements differ in a time. With few repetitions it must be by more than `chance_s`."""

    def apart(one: Summary, other: Summary) -> bool:
        low, high = _ordered(one[figure], other[figure])
        if low.high == NEVER or high.low == NEVER:
            return low.high != NEVER and high.low == NEVER
        needed = RESOLVED_S if min(one.repetitions, other.repetitions) >= ENOUGH else chance_s
        return high.low - low.high > needed and well_apart(low, high)

    return apart


def well_apart(low: Spread, high: Spread) -> bool:
    """Whether the gap between two ranges is wider than half of the wider one."""
    return high.low - low.high > max(low.high - low.low, high.high - high.low) / 2


def _ordered(one: Spread, other: Spread) -> list[Spread]:
    return sorted((one, other), key=lambda spread: spread.median)


def ends(summaries: Sequence[Summary], figure: str, apart: Apart) -> tuple[list[Summary], list[Summary]]:
    """Those with the least, and those with the most, in order; both empty if no two are told apart.

    The least have less than somebody, and nobody has less than they; who cannot be told from either end stands at neither.
    """
    ordered = sorted(summaries, key=lambda summary: summary[figure].median)

    def less(one: Summary, other: Summary) -> bool:
        return one[figure].median < other[figure].median and apart(one, other)

    beaten = [any(less(other, each) for other in ordered) for each in ordered]
    beats = [any(less(each, other) for other in ordered) for each in ordered]
    least = [each for each, below, above in zip(ordered, beaten, beats, strict=True) if above and not below]
    most = [each for each, below, above in zip(ordered, beaten, beats, strict=True) if below and not above]
    return least, most


def _of_fault(fault: str, summaries: Sequence[Summary], plan: Plan, words: Words) -> list[str]:
    good = [summary for summary in summaries if not summary.flaws]
    doubtful = [summary for summary in summaries if summary.flaws]
    name = escape(words.fault(fault))
    sentences = [_harm(name, good, words) if good else words.say("nothing_sure", fault=name)]
    if good and fault != "overload":
        sentences += _detection(good, plan, words) + _recovery(good, plan, words)
    fed = [summary for summary in good if summary["shared_out"].median > FED]
    if fed and fault == "errors":
        share = max(summary["shared_out"].median for summary in fed)
        sentences.append(words.say("fed", share=f"{100 * share:.0f} %", who=_names(fed, words)))
    hasty = [summary for summary in good if summary["false_ejections"].median > 0]
    if hasty:
        sentences.append(words.say("falsely", who=_names(hasty, words)))
    if doubtful and good:
        sentences.append(words.say("not_counted", who=_names(doubtful, words)))
    return sentences


def _harm(name: str, summaries: Sequence[Summary], words: Words) -> str:
    best, worst = ends(summaries, "harmed", harm_differs)
    if not best:
        return words.say("equal", fault=name, range=_counts(summaries))
    return words.say(
        "best",
        fault=name,
        best=_names(best, words),
        worst=_names(worst, words),
        low=_counts(best),
        high=_counts(worst),
    )


def _detection(summaries: Sequence[Summary], plan: Plan, words: Words) -> list[str]:
    seen = [summary for summary in summaries if not math.isnan(summary["detect_s"].median)]
    figure, unseen_key = ("detect_s", "unseen") if seen else ("told_s", "untold")
    unseen = [summary for summary in summaries if summary[figure].median == NEVER]
    rest = [summary for summary in summaries if summary[figure].median != NEVER]
    sentences = [words.say(unseen_key, who=_names(unseen, words))] if unseen else []
    unaware = [each for each in rest if seen and each["detect_s"].high + 2 * RESOLVED_S < each["told_s"].low < NEVER]
    if rest and len(unaware) == len(rest):
        # Who hangs first is up to the requests, not to the checks: there is nothing to compare.
        low, high = _times(rest, "detect_s", words), _times(rest, "told_s", words)
        return [*sentences, words.say("unaware", low=low, high=high)]
    first, last = ends(rest, figure, times_differ(figure, plan.checks.interval_s))
    if first:
        low, high = _times(first, figure, words), _times(last, figure, words)
        key = "sooner" if seen else "told_sooner"
        sentences.append(words.say(key, first=_names(first, words), last=_names(last, words), low=low, high=high))
    return sentences


def _recovery(summaries: Sequence[Summary], plan: Plan, words: Words) -> list[str]:
    taken_out = [summary for summary in summaries if summary["told_s"].median != NEVER]
    first, last = ends(taken_out, "recover_s", times_differ("recover_s", CLOCK_S + plan.checks.interval_s))
    if not first:
        return []
    low, high = _times(first, "recover_s", words), _times(last, "recover_s", words)
    return [words.say("back_sooner", first=_names(first, words), last=_names(last, words), low=low, high=high)]


def _counts(summaries: Sequence[Summary]) -> str:
    return _range([summary["harmed"].median for summary in summaries], "{:.0f}".format)


def _times(summaries: Sequence[Summary], figure: str, words: Words) -> str:
    medians = [summary[figure].median for summary in summaries]
    if NEVER in medians:
        return words["never"]
    digits = 1 if max(medians) >= 1 else 2
    return f"{_range(medians, lambda value: words.number(value, digits))} s"


def _range(values: Sequence[float], written: Callable[[float], str]) -> str:
    low, high = written(min(values)), written(max(values))
    return low if low == high else f"{low}–{high}"


def _names(summaries: Sequence[Summary], words: Words) -> str:
    return escape(words.list_of([words[summary.arrangement] for summary in summaries]))

