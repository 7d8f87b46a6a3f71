"""The picture of a run: who led, which fault was on, how long each call took and what became of it."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from itertools import groupby

from deploy.lab.chaos.history import History, Operation, Period, Sighting

WIDTH, LEFT, RIGHT = 1160, 90, 1150
LANE = 22
LATENCY_HEIGHT = 180
LATENCY_MS = (1, 10, 100, 1000, 10_000)
ROLE_COLOURS = {"leader": "#2b7de9", "follower": "#cfe0f5", "": "#e9e9e9"}
OTHER_ROLE = "#f3b94d"
OUTCOME_COLOURS = {"ok": "#3aa76d", "failed": "#d98a00", "unknown": "#c62a2f"}
FAULT_COLOUR = "#f6d5d5"


class _Scale:
    """Microseconds to horizontal places."""

    def __init__(self, end_us: int) -> None:
        self.end_us = max(end_us, 1)

    def x(self, at_us: int) -> float:
        return round(LEFT + (RIGHT - LEFT) * at_us / self.end_us, 1)


def svg(history: History, servers: int) -> str:
    """A whole <svg> element."""
    ends = [one.end_us for one in history.operations] + [one.end_us for one in history.periods]
    scale = _Scale(max(ends, default=1))
    faults_top = 20
    roles_top = faults_top + LANE * 2
    latency_top = roles_top + LANE * servers + 20
    height = latency_top + LATENCY_HEIGHT + 50
    parts = [
        *_faults(history.periods, scale, faults_top, latency_top + LATENCY_HEIGHT),
        *_roles(history.sightings, servers, scale, roles_top),
        *_latencies(history.operations, scale, latency_top),
        *_seconds(scale, latency_top + LATENCY_HEIGHT),
        *_legend(height - 8),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" '
        f'font-size="11" role="img" aria-label="Timeline of the run">{"".join(parts)}</svg>'
    )


def _box(x: float, y: float, right: float, height: float, colour: str, title: str) -> str:
    width = max(0.5, round(right - x, 1))
    place = f'x="{x}" y="{y}" width="{width}" height="{height}"'
    return f'<rect {place} fill="{colour}"><title>{html.escape(title)}</title></rect>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _faults(periods: Sequence[Period], scale: _Scale, top: int, bottom: int) -> Iterator[str]:
    yield _text(4, top + 4, "faults")
    for number, period in enumerate(periods):
        left, right = scale.x(period.start_us), scale.x(period.end_us)
        title = f"{period.fault}: {period.target}, {(period.end_us - period.start_us) / 1e6:.1f} s"
        yield _box(left, top - 8, right, bottom - top + 8, FAULT_COLOUR, title)
        yield _text(left + 2, top + 3 + LANE // 2 * (number % 2), period.fault)


def _roles(sightings: Sequence[Sighting], servers: int, scale: _Scale, top: int) -> Iterator[str]:
    """One bar for each server; a change of term breaks it."""
    for server in range(servers):
        y = top + LANE * server
        yield _text(4, y + 13, f"oned{server + 1}")
        seen = [one for one in sightings if one.server == server]
        runs = [list(run) for _, run in groupby(seen, key=lambda one: (one.role, one.term))]
        for run, following in zip(runs, [*runs[1:], []], strict=True):
            first = run[0]
            end_us = following[0].at_us if following else run[-1].at_us
            colour = ROLE_COLOURS.get(first.role, OTHER_ROLE)
            title = f"oned{server + 1}: {first.role or 'no answer'}, term {first.term}"
            yield _box(scale.x(first.at_us), y, scale.x(end_us), LANE - 5, colour, title)


def _latencies(operations: Sequence[Operation], scale: _Scale, top: int) -> Iterator[str]:
    """A point for each call where it ended, on a logarithmic scale of milliseconds."""
    for line_ms in LATENCY_MS:
        y = _latency_y(line_ms, top)
        yield f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y}" y2="{y}" stroke="#dddddd"/>'
        yield _text(LEFT - 6, y + 4, f"{line_ms} ms", "end")
    for one in sorted(operations, key=lambda one: one.outcome != "ok"):
        y = _latency_y((one.end_us - one.start_us) / 1000, top)
        colour = OUTCOME_COLOURS[one.outcome]
        radius = 1.2 if one.outcome == "ok" else 2.4
        yield f'<circle cx="{scale.x(one.end_us)}" cy="{y}" r="{radius}" fill="{colour}"/>'


def _latency_y(milliseconds: float, top: int) -> float:
    share = math.log10(max(milliseconds, 1)) / math.log10(LATENCY_MS[-1])
    return round(top + LATENCY_HEIGHT * (1 - min(1.0, share)), 1)


def _seconds(scale: _Scale, top: int) -> Iterator[str]:
    step_s = max(1, round(scale.end_us / 1e6 / 12))
    for second in range(0, int(scale.end_us / 1e6) + 1, step_s):
        yield _text(scale.x(second * 1_000_000), top + 16, f"{second} s", "middle")


def _legend(y: int) -> Iterator[str]:
    x = LEFT
    roles = {"leader": ROLE_COLOURS["leader"], "follower": ROLE_COLOURS["follower"], "candidate": OTHER_ROLE}
    for name, colour in {**roles, "no answer": ROLE_COLOURS[""], **OUTCOME_COLOURS, "fault": FAULT_COLOUR}.items():
        yield _box(x, y - 9, x + 10, 10, colour, name)
        yield _text(x + 14, y, name)
        x += 100
