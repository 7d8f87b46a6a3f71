"""The picture of a run: which faults were on, who led, how many calls ended how, and how long each took."""

from __future__ import annotations

import html
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from deploy.lab.chaos.history import Operation

if TYPE_CHECKING:
    from deploy.lab.chaos.report import Span, Summary

WIDTH, LEFT, RIGHT = 1200, 92, 1192
FAULT_LANE, SERVER_LANE = 15, 24
RATE_HEIGHT, LATENCY_HEIGHT = 70, 170
SPACE = 26
LATENCY_MS = (1, 10, 100, 1000, 10_000)
ROLE_COLOURS = {"leader": "#2b7de9", "follower": "#b9d3f3", "": "#c9ced4"}
OTHER_ROLE = "#f3b94d"
PROBLEM_COLOUR = "#7d3c3f"
OUTCOME_COLOURS = {"ok": "#3aa76d", "failed": "#e08b00", "unknown": "#d33a3f"}
FAULT_COLOUR, GAP_COLOUR, CLOCK_COLOUR = "#a64ac9", "#d33a3f", "#a64ac9"
BARS = 240
DOT = 1.5
LETTER_WIDTH = 6.2
AXIS_LABEL = 20
TERM_WIDTH = 26
"""Pixels that a leader's bar needs for its term to be written on it."""


class _Scale:
    """Microseconds to horizontal places."""

    def __init__(self, end_us: int) -> None:
        self.end_us = max(end_us, 1)

    def x(self, at_us: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * min(at_us, self.end_us) / self.end_us, 1)


def svg(operations: Sequence[Operation], summary: Summary) -> str:
    """A whole <svg> element."""
    ends = [one.end_us for one in operations] + [one.end_us for one in summary.periods]
    scale = _Scale(max(ends, default=1))
    kinds = sorted({period.fault for period in summary.periods})
    servers_top = 18 + FAULT_LANE * len(kinds) + SPACE
    rate_top = servers_top + SERVER_LANE * summary.servers + SPACE
    latency_top = rate_top + RATE_HEIGHT + SPACE
    bottom = latency_top + LATENCY_HEIGHT
    parts = [
        *_faults(summary, kinds, scale, bottom),
        *_gaps(summary, scale, rate_top, bottom),
        *_servers(summary, scale, servers_top),
        *_rates(operations, scale, rate_top),
        *_latencies(operations, scale, latency_top),
        *_seconds(scale, bottom),
        *_legend(bottom + 44),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 52}" font-family="system-ui, sans-serif" '
        f'font-size="11" fill="currentColor" role="img" aria-label="Timeline of the run">{"".join(parts)}</svg>'
    )


def _box(x: float, y: float, right: float, height: float, colour: str, title: str = "", opacity: float = 1.0) -> str:
    width = max(1.0, round(right - x, 1))
    place = f'x="{x}" y="{y}" width="{width}" height="{height}"'
    told = f"<title>{html.escape(title)}</title>" if title else ""
    return f'<rect {place} fill="{colour}" opacity="{opacity}">{told}</rect>'


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = "currentColor") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{html.escape(text)}</text>'


def _heading(y: float, text: str) -> str:
    return f'<text x="0" y="{y}" font-weight="600">{html.escape(text)}</text>'


def _faults(summary: Summary, kinds: Sequence[str], scale: _Scale, bottom: int) -> Iterator[str]:
    """A lane for each kind, and a shade of each fault over everything below."""
    yield _heading(11, "Faults")
    for number, kind in enumerate(kinds):
        y = 18 + FAULT_LANE * number
        yield _text(LEFT - 8, y + 10, kind, "end")
        yield f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y + 6}" y2="{y + 6}" stroke="currentColor" opacity="0.12"/>'
        for period in summary.periods:
            if period.fault == kind:
                left, right = scale.x(period.start_us), scale.x(period.end_us)
                title = f"{kind}: {period.target}, {(period.end_us - period.start_us) / 1e6:.1f} s"
                yield _box(left, y, right, FAULT_LANE - 3, FAULT_COLOUR, title)
                yield _box(left, y, right, bottom - y, FAULT_COLOUR, opacity=0.07)


def _gaps(summary: Summary, scale: _Scale, top: int, bottom: int) -> Iterator[str]:
    for gap in summary.gaps:
        left, right = scale.x(gap.start_us), scale.x(gap.end_us)
        yield _box(left, top, right, bottom - top, GAP_COLOUR, f"{gap.seconds:.2f} s without a write", opacity=0.13)
        yield _text((left + right) / 2, bottom - 6, f"{gap.seconds:.1f} s", "middle", GAP_COLOUR)


def _servers(summary: Summary, scale: _Scale, top: int) -> Iterator[str]:
    """A lane each: what it was; below, how far its clock was off."""
    yield _heading(top - 8, "Servers")
    for server in range(summary.servers):
        yield _text(LEFT - 8, top + SERVER_LANE * server + 12, f"oned{server + 1}", "end")
    for span in summary.spans:
        yield from _span(span, scale, top + SERVER_LANE * span.server)


def _span(span: Span, scale: _Scale, y: int) -> Iterator[str]:
    left, right = scale.x(span.start_us), scale.x(span.end_us)
    clock = f", clock {span.skew_s:+d} s" if span.skew_s else ""
    problem = f", {span.problem}" if span.problem else ""
    title = f"oned{span.server + 1}: {span.role or 'no answer'}, term {span.term}{clock}{problem}"
    yield _box(left, y, right, SERVER_LANE - 7, ROLE_COLOURS.get(span.role, OTHER_ROLE), title)
    if span.skew_s:
        yield _box(left, y + SERVER_LANE - 7, right, 3, CLOCK_COLOUR, title)
    if span.problem:
        yield _box(left, y, right, SERVER_LANE - 7, PROBLEM_COLOUR, title)
    if span.role == "leader" and right - left > TERM_WIDTH:
        yield _text(left + 4, y + 12, f"{span.term}", colour="#fff")


def _rates(operations: Sequence[Operation], scale: _Scale, top: int) -> Iterator[str]:
    """How many calls ended how, in bars; what went wrong is at the bottom, where it is seen."""
    bar_us = max(1, scale.end_us // BARS)
    counts: Counter[tuple[int, str]] = Counter((one.end_us // bar_us, one.outcome) for one in operations)
    bars = sorted({bar for bar, _ in counts})
    most = max((sum(counts[bar, outcome] for outcome in OUTCOME_COLOURS) for bar in bars), default=1)
    yield _heading(top - 8, "Calls per second")
    yield _text(LEFT - 8, top + 9, f"{most / (bar_us / 1e6):,.0f}", "end")
    yield _text(LEFT - 8, top + RATE_HEIGHT, "0", "end")
    for bar in bars:
        y = float(top + RATE_HEIGHT)
        for outcome in ("unknown", "failed", "ok"):
            height = round(RATE_HEIGHT * counts[bar, outcome] / most, 1)
            if height:
                y -= height
                yield _box(
                    scale.x(bar * bar_us), round(y, 1), scale.x((bar + 1) * bar_us), height, OUTCOME_COLOURS[outcome]
                )


def _latencies(operations: Sequence[Operation], scale: _Scale, top: int) -> Iterator[str]:
    """A dot for each call where it ended, on a logarithmic scale; calls that fall on the same dot are drawn once."""
    yield _heading(top - 8, "How long each call took")
    for line_ms in LATENCY_MS:
        y = _latency_y(line_ms, top)
        label = f"{line_ms} ms" if line_ms < 1000 else f"{line_ms // 1000} s"
        yield f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y}" y2="{y}" stroke="currentColor" opacity="0.15"/>'
        yield _text(LEFT - 8, y + 4, label, "end")
    for outcome, width in (("ok", 2.0), ("failed", 3.4), ("unknown", 4.2)):
        dots = {
            (_grid(scale.x(one.end_us)), _grid(_latency_y((one.end_us - one.start_us) / 1000, top)))
            for one in operations
            if one.outcome == outcome
        }
        path = "".join(f"M{x:g} {y:g}h0" for x, y in sorted(dots))
        yield (
            f'<path d="{path}" stroke="{OUTCOME_COLOURS[outcome]}" stroke-width="{width}" stroke-linecap="round" '
            'opacity="0.8"/>'
        )


def _grid(place: float) -> float:
    return round(place / DOT) * DOT


def _latency_y(milliseconds: float, top: int) -> float:
    share = math.log10(max(milliseconds, 1)) / math.log10(LATENCY_MS[-1])
    return round(top + LATENCY_HEIGHT * (1 - min(1.0, share)), 1)


def _seconds(scale: _Scale, top: int) -> Iterator[str]:
    step_s = max(1, round(scale.end_us / 1e6 / 12))
    for second in range(0, int(scale.end_us / 1e6) + 1, step_s):
        x = scale.x(second * 1_000_000)
        if x < RIGHT - AXIS_LABEL:
            yield _text(x, top + 16, f"{second} s", "middle")


def _legend(y: int) -> Iterator[str]:
    roles = {"leader (its term)": ROLE_COLOURS["leader"], "follower": ROLE_COLOURS["follower"]}
    others = {
        "candidate": OTHER_ROLE,
        "no answer": ROLE_COLOURS[""],
        "database failed": PROBLEM_COLOUR,
        "fault; clock off": FAULT_COLOUR,
    }
    x = float(LEFT)
    for name, colour in {**roles, **others, **OUTCOME_COLOURS, "no write": GAP_COLOUR}.items():
        yield _box(x, y - 9, x + 10, 10, colour, opacity=0.3 if name.startswith("no write") else 1.0)
        yield _text(x + 14, y, name)
        x += 34 + LETTER_WIDTH * len(name)
