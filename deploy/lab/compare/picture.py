"""A PNG of a page, where Chromium is installed."""

from __future__ import annotations

import re
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


MEASURE = "<script>document.title = `height ${document.documentElement.scrollHeight}`</script>"
HEIGHT = re.compile(r"<title>height (\d+)</title>")
MOST_PIXELS = 16_000
"""No browser paints a picture that is higher."""


def browser() -> str | None:
    """The program that can take it, if there is one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def take(program: str, page: Path, image: Path) -> bool:
    """Renders the whole page; says whether that worked."""
    with tempfile.TemporaryDirectory() as folder:
        measured = Path(folder) / "measured.html"
        measured.write_text(page.read_text().replace("</body>", f"{MEASURE}</body>"))
        found = HEIGHT.search(_run(program, folder, "--dump-dom", f"--window-size={WIDTH},800", measured.as_uri()))
        if found is None:
            return False
        size = f"--window-size={WIDTH},{min(int(found[1]), MOST_PIXELS)}"
        image.unlink(missing_ok=True)
        _run(program, folder, size, f"--screenshot={image.absolute()}", page.absolute().as_uri())
    return image.is_file()


def _run(program: str, profile: str, *words: str) -> str:
    """What the browser says; nothing if it did not come to an end."""
    argv = (program, *FLAGS, f"--user-data-dir={profile}", *words)
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=WITHIN_S, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
