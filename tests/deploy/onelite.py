"""Runs the `onelite` command as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(sys.executable).parent / "onelite"


def onelite(*words: str, folder: Path | None = None, timeout_s: float = 90, **environment: str) -> str:
    """What the command says; it must succeed."""
    result = attempt(*words, folder=folder, timeout_s=timeout_s, **environment)
    assert result.returncode == 0, f"onelite {' '.join(words)}: {result.stdout}{result.stderr}"
    return result.stdout


def attempt(
    *words: str, folder: Path | None = None, timeout_s: float = 90, **environment: str
) -> subprocess.CompletedProcess[str]:
    """The command's end, whatever it is."""
    where = ["--dir", str(folder)] if folder else []
    return subprocess.run(
        [sys.executable, str(PROGRAM), *words, *where],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, **environment},
    )


def complaint(*words: str, folder: Path | None = None, **environment: str) -> str:
    """The one line that a command says when it cannot do what it should."""
    result = attempt(*words, folder=folder, **environment)
    assert result.returncode == 1, result
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("onelite: "), result.stderr
    return lines[0]
