"""Marketplaces that are a folder some web server shows: PUBLIC_DIR is the folder, BASE_URL where it can be seen."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from threading import Event

from services.oned_lite.lifecycle.work import Work, WorkResult

from .files import CHUNK_BYTES, MEGABYTE, Cancelled, FileThreads, capacity, copy_file, remove

Values = tuple[tuple[str, str], ...]


class FolderMarketplace:
    """Driver market/http (MARKET_MAD http of OpenNebula)."""

    def __init__(self, threads: FileThreads) -> None:
        self._threads = threads

    async def run(self, work: Work) -> WorkResult:
        action = ACTIONS[work.argument("ACTION")]
        try:
            values = await self._threads.run(lambda cancelled: action(work, cancelled))
        except Cancelled:
            return WorkResult(key=work.key, ok=False, message="cancelled")
        except OSError as error:
            return WorkResult(key=work.key, ok=False, message=f"{error.strerror}: {error.filename}")
        return WorkResult(key=work.key, ok=True, values=values)


def import_app(work: Work, cancelled: Event) -> Values:
    """Copies the image; its MD5 is also its name, so that doing it twice gives the same file."""
    image = Path(work.argument("PATH"))
    digest = hashlib.md5(usedforsecurity=False)
    with image.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            if cancelled.is_set():
                raise Cancelled
            digest.update(chunk)
    name = digest.hexdigest()
    target = Path(work.argument("PUBLIC_DIR")) / name
    if not target.exists():
        copy_file(image, target, f"{work.key.oid}-{work.key.step}", cancelled)
    url = f"{work.argument('BASE_URL').rstrip('/')}/{name}"
    size = -(-image.stat().st_size // MEGABYTE)
    return (("SOURCE", url), ("MD5", name), ("SIZE", str(size)), ("FORMAT", work.argument("FORMAT")))


def delete_app(work: Work, _cancelled: Event) -> Values:
    remove(Path(work.argument("PUBLIC_DIR")) / Path(work.argument("SOURCE")).name)
    return ()


def monitor(work: Work, _cancelled: Event) -> Values:
    return capacity(Path(work.argument("PUBLIC_DIR")))


ACTIONS: dict[str, Callable[[Work, Event], Values]] = {
    "import": import_app,
    "delete": delete_app,
    "monitor": monitor,
}
