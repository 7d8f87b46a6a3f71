"""Which recorded steps the daemon answers as the real one does: `baseline.json`, a ratchet.

`python -m tests.parity.baseline` replays everything and rewrites the file where that makes it better; a step that passed
before and does not now is reported and keeps its place. `--only` takes scenario names as globs.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.parity import replay
from tests.support.oned import solo

HERE = Path(__file__).parent
BASELINE = HERE / "baseline.json"
SCENARIOS = HERE / "scenarios"


def names() -> list[str]:
    return sorted(path.stem for path in SCENARIOS.glob("*.yaml"))


def failing_steps(name: str) -> dict[int, list[str]]:
    """Number and reasons of every step of the scenario that does not pass, as replay.py tells them. The daemon is fresh."""
    scenario = SCENARIOS / f"{name}.yaml"
    expected = json.loads(scenario.with_suffix(".expected.json").read_text())
    steps = yaml.safe_load(scenario.read_text())["steps"]
    failing = {}
    for number, (want, got) in enumerate(zip(expected, _answers(steps), strict=True), 1):
        verdict, why = replay.compare(want, got)
        if verdict != "pass":
            failing[number] = [f"{want['call']}: {verdict}", *why]
    return failing


def _answers(steps: list[dict[str, Any]]) -> list[list[Any]]:
    with tempfile.TemporaryDirectory(prefix="onelite-replay-") as folder:
        oned = solo(Path(folder), "--no-scheduler").start()
        try:
            run = replay.Run(f"http://127.0.0.1:{oned.ready().port}/RPC2")
            with run.proxy:
                return [run.step(step) for step in steps]
        finally:
            oned.kill()


def known_failures() -> dict[str, list[int]]:
    """Steps that do not pass yet, by scenario; a scenario that is not there passes whole."""
    return json.loads(BASELINE.read_text()) if BASELINE.exists() else {}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="scenario names (globs)")
    args = parser.parse_args(argv)
    known = known_failures()
    first = not BASELINE.exists()
    worse = 0
    for name in names():
        if args.only and not any(fnmatch.fnmatch(name, pattern) for pattern in args.only):
            continue
        failing = failing_steps(name)
        before = set(known.get(name, ())) if not first else set(failing)
        lost = set(failing) - before
        worse += len(lost)
        for number in sorted(lost):
            print(f"{name} step {number} passed before: {'; '.join(failing[number])}")
        known[name] = sorted(before & set(failing))
        print(f"{name}: {len(failing)} steps do not pass", flush=True)
    kept = {name: steps for name, steps in sorted(known.items()) if steps}
    BASELINE.write_text(json.dumps(kept, indent=1) + "\n")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
