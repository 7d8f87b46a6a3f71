"""Which recorded steps the daemon answers as the real one does: `baseline.json`, a ratchet.

`python -m tests.parity.baseline` replays everything and rewrites the file where that makes it better; a step that passed
before and does not now is reported and keeps its place. `--only` takes scenario names as globs.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

HERE = Path(__file__).parent
BASELINE = HERE / "baseline.json"
SCENARIOS = HERE / "scenarios"
SCENARIO_S = 110.0


def names() -> list[str]:
    return sorted(path.stem for path in SCENARIOS.glob("*.yaml"))


def daemon_command() -> str:
    """Starts a fresh daemon in the foreground, as replay.py wants it."""
    program = shlex.quote(str(Path(sys.executable).with_name("oned-lite")))
    return f'{program} --solo --listen 127.0.0.1:"$ONED_PORT" --data "$ONED_DIR" --no-scheduler'


def failing_steps(name: str, port: int) -> dict[int, list[str]]:
    """Number and reasons of every step of the scenario that does not pass, as replay.py tells them."""
    with tempfile.TemporaryDirectory(prefix="onelite-replay-") as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, str(HERE / "replay.py"), "--start", daemon_command(), "--port", str(port)]
        run = subprocess.run(
            [*command, "--only", name, "--json", str(report)], capture_output=True, text=True, timeout=SCENARIO_S
        )
        assert report.exists(), f"{name} was not replayed:\n{run.stdout}{run.stderr}"
        steps = json.loads(report.read_text())
    assert len(steps) == len(yaml.safe_load((SCENARIOS / f"{name}.yaml").read_text())["steps"])
    return {
        step["step"]: [f"{step['call']}: {step['verdict']}", *step["why"]] for step in steps if step["verdict"] != "pass"
    }


def known_failures() -> dict[str, list[int]]:
    """Steps that do not pass yet, by scenario; a scenario that is not there passes whole."""
    return json.loads(BASELINE.read_text()) if BASELINE.exists() else {}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="scenario names (globs)")
    parser.add_argument("--port", type=int, default=36900, help="where the daemons listen, one after the other")
    args = parser.parse_args(argv)
    known = known_failures()
    first = not BASELINE.exists()
    worse = 0
    for name in names():
        if args.only and not any(fnmatch.fnmatch(name, pattern) for pattern in args.only):
            continue
        failing = failing_steps(name, args.port)
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
