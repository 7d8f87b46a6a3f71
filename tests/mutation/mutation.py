"""One mistake: which text of which file becomes which, and the tests that have to fail because of it."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 900
_COPIED = ("services", "tests", "pyproject.toml")
_LEFT_OUT = shutil.ignore_patterns(".*_cache")
"""What is compiled comes along: it fits all files but the changed one."""


class Verdict(Enum):
    CAUGHT = "caught"
    SURVIVED = "survived"
    OUTDATED = "outdated"  # the text to change is no longer there exactly once


@dataclass(frozen=True)
class Mutation:
    """`mistake` completes the sentence "What if …". `tests` are run in this order and stop at the first failure."""

    mistake: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    def applies(self, root: Path = ROOT) -> bool:
        return (root / self.file).read_text().count(self.before) == 1

    def try_out(self) -> Verdict:
        if not self.applies():
            return Verdict.OUTDATED
        with TemporaryDirectory(prefix="onelite-mutation-") as directory:
            copy = Path(directory)
            copy_sources(copy)
            self._apply(copy)
            return Verdict.SURVIVED if tests_pass(copy, self.tests) else Verdict.CAUGHT

    def _apply(self, root: Path) -> None:
        path = root / self.file
        path.write_text(path.read_text().replace(self.before, self.after))


def copy_sources(target: Path) -> None:
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=_LEFT_OUT)
        else:
            shutil.copy(source, target / name)


def tests_pass(root: Path, tests: tuple[str, ...]) -> bool:
    """Whether `tests` pass in the copy at `root`. Hanging counts as failing; not being able to run is an error."""
    options = ("-x", "-q", "-n0", "-p", "no:cacheprovider", "-p", "no:randomly")
    command = [sys.executable, "-m", "pytest", *options, *tests]
    environment = os.environ | {"PYTHONPATH": str(root)}  # the copy, whatever is installed
    try:
        run = subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    if run.returncode not in (0, 1):
        raise RuntimeError(f"pytest could not run ({run.returncode}): {run.stdout[-2000:]}{run.stderr[-2000:]}")
    return run.returncode == 0
