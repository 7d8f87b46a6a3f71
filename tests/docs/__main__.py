"""`python -m tests.docs` writes the documents that are made from the code; `--check` only says which are out of date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from . import api, balancer_settings, configuration, lifecycle, nginx_conf

DOCS = Path(__file__).parents[2] / "docs"
DOCUMENTS: dict[str, Callable[[], str]] = {
    "api.md": api.render,
    "balancer-settings.md": balancer_settings.render,
    "configuration.md": configuration.render,
    "lifecycle.md": lifecycle.render,
    "nginx-conf.md": nginx_conf.render,
}


def stale() -> list[str]:
    """Names of the documents that are not what the code says."""
    return [name for name, render in DOCUMENTS.items() if not _says(DOCS / name, render())]


def _says(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.docs", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 where one is out of date")
    if parser.parse_args(argv).check:
        found = stale()
        print("\n".join(f"docs/{name} is out of date: python -m tests.docs" for name in found) or "up to date")
        return 1 if found else 0
    DOCS.mkdir(exist_ok=True)
    for name, render in DOCUMENTS.items():
        (DOCS / name).write_text(render())
        print(f"docs/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
