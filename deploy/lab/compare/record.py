"""What an experiment leaves on disk so that its report can be made again: a JSON line for the setting and one per run."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deploy.lab.compare.history import History
from deploy.lab.compare.plan import Plan
from deploy.lab.errors import LabError

FILE = "experiment.jsonl"
VERSION = re.compile(r"\d+(\.\d+)+")


@dataclass(frozen=True, slots=True)
class Setting:
    """The plan, what was wanted but is not installed here (arrangements) or not possible (faults), and on what it ran."""

    plan: Plan
    absent: tuple[str, ...] = ()
    impossible: tuple[str, ...] = ()
    machine: str = ""
    programs: str = ""


class Record:
    """Grows by a line with every run, so that nothing is lost whatever ends the experiment."""

    def __init__(self, folder: Path, setting: Setting) -> None:
        self._path = folder / FILE
        self._path.write_bytes(msgspec.json.encode(setting) + b"\n")

    def add(self, history: History) -> None:
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(history) + b"\n")

    def forget(self) -> None:
        """Leaves nothing, where nothing was done."""
        self._path.unlink()


def read(folder: Path) -> tuple[Setting, Sequence[History]]:
    """What an experiment left in `folder`; a last line that was cut off is left out. LabError if there is none."""
    path = folder / FILE
    try:
        first, *lines = path.read_bytes().splitlines(keepends=True)
        setting = msgspec.json.decode(first, type=Setting)
        histories = [msgspec.json.decode(line, type=History) for line in lines if line.endswith(b"\n")]
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not of this version: {error}"
        raise LabError(f"{path}: {reason}") from error
    return setting, histories


def machine() -> str:
    """One line about this machine."""
    return f"{os.cpu_count()} CPUs, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def programs(paths: Iterable[str]) -> str:
    """Names and versions of foreign balancers that will be run."""
    return ", ".join(f"{Path(path).name} {_version(path)}" for path in paths)


def _version(program: str) -> str:
    answer = subprocess.run([program, "-v"], capture_output=True, text=True, check=False, timeout=10)
    found = VERSION.search(answer.stdout + answer.stderr)
    return found[0] if found else "?"
