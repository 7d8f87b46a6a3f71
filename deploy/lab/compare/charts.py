"""Charts of a report as SVG text. Pure. Colours are classes, so that the page's sheet decides on light and dark.

Nothing is told by colour alone: errors are tall marks, stalls are striped, dots of percentiles come in their order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from deploy.lab.compare.analysis import PERCENTILES, Broken, Spread, Summary, broken
from deploy.lab.compare.faults import Condition
from deploy.lab.compare.history import Attempt, Eviction, History, Outcome, Request
from deploy.lab.compare.plan import SERVERS
from deploy.lab.compare.texts import Words

WIDTH = 560
LEFT, RIGHT = 62, 12
LANE = 30
MARKS = {Outcome.OK: "ok", Outcome.STALLED: "stalled", Outcome.ERROR: "error", Outcome.GAVE_UP: "error"}
REACH = {"ok": 4, "stalled": 6, "error": 8}
"""How far up and down from the middle of its lane a mark goes."""

STRIPES = (
    '<svg class="defs" width="0" height="0" aria-hidden="true"><defs>'
    '<pattern id="stripes" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect class="stripe-ground" width="6" height="6"/><rect class="stripe" width="3" height="6"/>'
    "</pattern></defs></svg>"
)
"""To be put into the page once, before the charts that use it."""


def timeline(history: History, words: Words) -> str:
    """A lane for each server and one for requests that nobody answered; faults shaded, ejections as bars, tries as dots."""
    lanes = (*SERVERS, "")
    spells = broken(history.changes, history.seconds)
    height = LANE * len(lanes) + 24
    shapes = [_lane(place, name or words["nobody"]) for place, name in enumerate(lanes)]
    shapes += [_shade(spell, history.seconds) for spell in spells]
    shapes += [_bar(server, since, to, history.seconds, words) for server, since, to in spans(history)]
    shapes += [_try(attempt, history.seconds) for attempt in to_broken(history, spells)]
    shapes += [_mark(request, lanes, history.seconds) for request in history.requests]
    shapes.append(_seconds_axis(history.seconds, LANE * len(lanes)))
    label = f"{words[history.run.arrangement]}, {words.fault(history.run.fault)}"
    return _svg(WIDTH, height, label, shapes)


def to_broken(history: History, spells: Sequence[Broken]) -> list[Attempt]:
    """Tries to reach a server for a user while it was broken."""
    return [
        attempt
        for attempt in history.attempts or ()
        if not attempt.probe
        and any(spell.server == attempt.server and spell.from_s <= attempt.at_s < spell.to_s for spell in spells)
    ]


def spans(history: History) -> list[tuple[str, float, float]]:
    """When each server was kept out: name, from, to."""
    return _spans(history.evictions, history.seconds)


def _spans(evictions: Iterable[Eviction], until_s: float) -> list[tuple[str, float, float]]:
    done, since = [], dict[str, float]()
    for eviction in evictions:
        if eviction.out:
            since.setdefault(eviction.server, eviction.at_s)
        elif eviction.server in since:
            done.append((eviction.server, since.pop(eviction.server), eviction.at_s))
    return done + [(server, start, until_s) for server, start in since.items()]


def latencies(summaries: Sequence[Summary], words: Words) -> str:
    """For each arrangement a line from the median to the maximum, with a dot at every percentile."""
    lane, low = 26, 0.01
    top = max((summary["max_s"].median for summary in summaries), default=1.0)
    high = max(2.0, top * 1.15)
    height = lane * len(summaries) + 26

    def x(seconds: float) -> float:
        return LEFT + 4 + (WIDTH - LEFT - RIGHT - 14) * math.log(max(seconds, low) / low) / math.log(high / low)

    shapes = [_log_grid(value, x(value), height) for value in (0.01, 0.1, 1, 10) if value <= high]
    for place, summary in enumerate(summaries):
        y = lane * place + lane / 2 + 2
        at = {percent: x(summary[name].median) for percent, name in PERCENTILES.items()}
        shapes.append(f'<text class="name end" x="{LEFT - 8}" y="{y + 4:.0f}">{escape(words[summary.arrangement])}</text>')
        shapes.append(f'<line class="whisker" x1="{at[50]:.1f}" x2="{at[100]:.1f}" y1="{y}" y2="{y}"/>')
        shapes += [_dot(percent, at[percent], y, summary[name].median, words) for percent, name in PERCENTILES.items()]
    return _svg(WIDTH, height, words["latency"], shapes)


BARS_WIDTH, BARS_HEIGHT, BARS_BASE, BARS_UP = 1160, 296, 226, 190


def harm_bars(by_fault: Mapping[str, Sequence[Summary]], words: Words) -> str:
    """Errors and stalls by arrangement, a group of bars for every fault; a line shows the range over repetitions."""
    groups = list(by_fault.items())
    most = max((summary["harmed"].high for _, each in groups for summary in each), default=0)
    top = nice_top(most)
    room = (BARS_WIDTH - 56) / max(1, len(groups))
    shapes = [_level(value, BARS_BASE - BARS_UP * value / top) for value in (0, top / 4, top / 2, top * 3 / 4, top)]
    for place, (fault, summaries) in enumerate(groups):
        left = 50 + room * place
        thick = min(30.0, (room - 20) / max(1, len(summaries)))
        start = left + (room - thick * len(summaries)) / 2
        shapes.append(
            f'<text class="name middle" x="{left + room / 2:.0f}" y="{BARS_BASE + 62}">{escape(words.fault(fault))}</text>'
        )
        for number, summary in enumerate(summaries):
            shapes.append(_harm_bar(summary, start + thick * number, thick, BARS_UP / top, words))
    return _svg(BARS_WIDTH, BARS_HEIGHT, words["harmed"], shapes)


def nice_top(value: float) -> float:
    """A round number that is not less: 4, 8, 10, 20, 40, 80, 100, ..."""
    step = 10.0 ** math.floor(math.log10(max(value, 1)))
    return next(step * factor for factor in (1, 2, 4, 8, 10) if step * factor >= max(value, 4))


def _harm_bar(summary: Summary, x: float, thick: float, scale: float, words: Words) -> str:
    errors, stalls, harmed = (summary[name] for name in ("errors", "stalls", "harmed"))
    up = BARS_BASE - errors.median * scale
    top = up - stalls.median * scale
    title = (
        f"{words[summary.arrangement + '_is']}: {errors.median:.0f} {words['errors'].lower()}, "
        f"{stalls.median:.0f} {words['stalls'].lower()}"
    )
    middle = x + thick / 2
    return (
        f"<g><title>{escape(title)}</title>"
        f'<rect class="hit" x="{x:.1f}" y="{BARS_BASE - BARS_UP}" width="{thick:.1f}" height="{BARS_UP}"/>'
        f'<rect class="error" x="{x + 3:.1f}" y="{up:.1f}" width="{thick - 6:.1f}" height="{errors.median * scale:.1f}"/>'
        f'<rect class="stalled" x="{x + 3:.1f}" y="{top:.1f}" width="{thick - 6:.1f}" '
        f'height="{stalls.median * scale:.1f}"/>{_range_line(harmed, middle, scale)}'
        f'<text class="value middle" x="{middle:.1f}" y="{min(top, BARS_BASE - harmed.high * scale) - 4:.1f}">'
        f"{harmed.median:.0f}</text>"
        f'<text class="tiny end" transform="translate({middle + 3:.1f} {BARS_BASE + 12}) rotate(-40)">'
        f"{escape(words[summary.arrangement])}</text></g>"
    )


def _range_line(harmed: Spread, x: float, scale: float) -> str:
    if harmed.low == harmed.high:
        return ""
    low, high = BARS_BASE - harmed.low * scale, BARS_BASE - harmed.high * scale
    return f'<path class="range" d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 3:.1f} {low:.1f}h6M{x - 3:.1f} {high:.1f}h6"/>'


def _level(value: float, y: float) -> str:
    return (
        f'<line class="grid" x1="46" x2="{BARS_WIDTH - 6}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick end" x="40" y="{y + 4:.1f}">{value:.0f}</text>'
    )


def _lane(place: int, name: str) -> str:
    y = LANE * place + LANE / 2
    return (
        f'<text class="name end" x="{LEFT - 8}" y="{y + 3:.0f}">{escape(name)}</text>'
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y + LANE / 2:.0f}" y2="{y + LANE / 2:.0f}"/>'
    )


def _shade(spell: Broken, seconds: float) -> str:
    x, width = _x(spell.from_s, seconds), _x(spell.to_s, seconds) - _x(spell.from_s, seconds)
    kind = "busy" if spell.condition is Condition.BUSY else "broken"
    y = LANE * SERVERS.index(spell.server) + 1
    return f'<rect class="{kind}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{LANE - 2}"/>'


def _bar(server: str, since_s: float, to_s: float, seconds: float, words: Words) -> str:
    x, width = _x(since_s, seconds), max(2.0, _x(to_s, seconds) - _x(since_s, seconds))
    y = LANE * SERVERS.index(server) + LANE - 6
    title = f"{server}: {words['taken_out']} {words.number(since_s, 2)}–{words.number(to_s, 2)} s"
    return (
        f'<rect class="out" x="{x:.1f}" y="{y}" width="{width:.1f}" height="4" rx="2"><title>{escape(title)}</title></rect>'
    )


def _try(attempt: Attempt, seconds: float) -> str:
    y = LANE * SERVERS.index(attempt.server) + LANE - 9
    return f'<circle class="try" cx="{_x(attempt.at_s, seconds):.1f}" cy="{y}" r="1.7"/>'


def _mark(request: Request, lanes: tuple[str, ...], seconds: float) -> str:
    lane = lanes.index(request.server) if request.server in lanes else len(lanes) - 1
    kind = MARKS[request.outcome]
    x, y = _x(request.due_s, seconds), LANE * lane + LANE / 2 - 4
    return f'<path class="{kind}" d="M{x:.1f} {y - REACH[kind]:.0f}v{2 * REACH[kind]}"/>'


def _seconds_axis(seconds: float, y: int) -> str:
    step = next(step for step in (1, 2, 5, 10, 20, 60, 600, 3600) if seconds / step <= 12)
    ticks = [
        f'<text class="tick middle" x="{_x(value, seconds):.1f}" y="{y + 16}">{value} s</text>'
        for value in range(0, int(seconds) + 1, step)
    ]
    return "".join(ticks)


def _log_grid(value: float, x: float, height: int) -> str:
    name = f"{value * 1000:.0f} ms" if value < 1 else f"{value:.0f} s"
    return (
        f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - 22}"/>'
        f'<text class="tick middle" x="{x:.1f}" y="{height - 8}">{name}</text>'
    )


def _dot(percent: int, x: float, y: float, seconds: float, words: Words) -> str:
    title = f"{words[PERCENTILES[percent]]}: {words.number(seconds * 1000)} ms"
    return f'<circle class="p{percent}" cx="{x:.1f}" cy="{y}" r="4.5"><title>{title}</title></circle>'


def _x(at_s: float, seconds: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * min(max(at_s / seconds, 0.0), 1.0)


def _svg(width: int, height: int, label: str, shapes: Iterable[str]) -> str:
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}">{"".join(shapes)}</svg>'
