"""Prints the logs of a lab's processes, and what is added to them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

BLOCK = 64 * 1024
POLL_S = 0.2


def tail(path: Path, lines: int) -> tuple[list[str], int]:
    """The last lines of a file, none if there is no file, and the place where they end."""
    try:
        with path.open("rb") as file:
            start = end = file.seek(0, 2)
            block = b""
            while start > 0 and block.count(b"\n") <= lines:
                size = min(BLOCK, start)
                start -= size
                file.seek(start)
                block = file.read(size) + block
    except FileNotFoundError:
        return [], 0
    return block.decode(errors="replace").splitlines()[-lines:] if lines else [], end


def follow(places: dict[Path, int]) -> Iterator[tuple[Path, str]]:
    """Every line that is added to a file beyond its place, as (file, line). Ends never."""
    halves = dict.fromkeys(places, b"")
    while True:
        for path in places:
            if _size(path) < places[path]:
                places[path] = 0  # cut off or begun anew
            added = _read(path, places[path])
            places[path] += len(added)
            *complete, halves[path] = (halves[path] + added).split(b"\n")
            for line in complete:
                yield path, line.decode(errors="replace")
        time.sleep(POLL_S)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _read(path: Path, place: int) -> bytes:
    if _size(path) == place:
        return b""
    with path.open("rb") as file:
        file.seek(place)
        return file.read()
