"""A PNG of a page, where Chromium is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WITHIN_S = 40.0
WIDTH = 1264
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


def browser() -> str | None:
    """The program that can take it, if there is one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def take(program: str, page: Path, image: Path, height: int) -> bool:
    """Renders the first `height` pixels of the page; says whether that worked."""
    with tempfile.TemporaryDirectory() as profile:
        argv = (
            program, *FLAGS, f"--user-data-dir={profile}", f"--window-size={WIDTH},{height}",
            f"--screenshot={image}", page.absolute().as_uri(),
        )  # fmt: skip
        try:
            subprocess.run(argv, capture_output=True, timeout=WITHIN_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return False
    return image.is_file()
