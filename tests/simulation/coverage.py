"""Counts what happened in a run, so that one sees whether it tests what it claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

GROUPS = {
    "servers": ("starts", "crashes", "power losses", "clean stops", "pauses", "disks lost", "taken back after loss"),
    "network": ("links broken", "links made", "cuts", "frames lost", "frames held back", "duplicates", "overtaken"),
    "disks": ("commits", "commits failed", "commits refused", "stalls", "slow disks", "recovered in place"),
    "clocks": ("rates changed", "wall clock jumps"),
    "consensus": ("elections", "hand-overs", "snapshots installed", "log purges", "fenced reads", "failed reads"),
    "membership": ("learners added", "promoted", "demoted", "removed", "leaders removed"),
    "operators": ("joined empty", "told of removal", "wiped after removal", "came back"),
    "clients": ("acknowledged", "refused", "unknown", "over quota", "VMs made", "images made", "VMs running", "probes"),
    "histories": ("histories judged", "histories undecided"),
}
NOTICES = {"added": "learners added", "caught up": "promoted", "lost": "demoted", "removed": "removed"}
"""How notices begin after `membership: `, and what they tell of."""


class Coverage(Counter[str]):
    """How often each thing happened."""

    def hit(self, name: str, times: int = 1) -> None:
        self[name] += times

    def notice(self, text: str) -> None:
        """What a leader tells of a change of membership that it begins."""
        for word, name in NOTICES.items():
            if text.startswith(f"membership: {word}"):
                self.hit(name)


def report(coverages: Iterable[Coverage]) -> str:
    """A table: how often in all, and in how many runs at all."""
    runs = list(coverages)
    total: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for run in runs:
        total.update(run)
        seen.update(name for name, count in run.items() if count)
    lines = [f"coverage of {len(runs)} runs: how often in all (in how many runs)"]
    for group, names in GROUPS.items():
        found = [f"{name} {total[name]} ({seen[name]})" for name in names]
        lines.append(f"  {group:<10} " + ", ".join(found))
    return "\n".join(lines)
