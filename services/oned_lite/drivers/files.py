"""Whole files on a path that several servers share, made so that a crash at any moment leaves the old file or the new.

All functions block: they run in the bounded pool of `FileThreads`, so that a path that hangs stalls the pool and never
the loop.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import BinaryIO, TypeVar

T = TypeVar("T")
THREADS = 8
CHUNK_BYTES = 4 * 1024 * 1024
_ZEROS = bytes(CHUNK_BYTES)
MEGABYTE = 1024 * 1024


class Cancelled(Exception):
    """Whoever wanted the file does not want it any more."""


class FileThreads:
    """A bounded pool of threads for blocking file work."""

    def __init__(self, threads: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="files")

    async def run(self, work: Callable[[Event], T]) -> T:
        """Runs `work` in a thread. When the caller is cancelled, the event it is given gets set."""
        cancelled = Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, cancelled)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def temporary_name(target: Path, work_name: str) -> Path:
    """Where the file for `target` grows. No two attempts share one: a leader that lost its office without noticing may
    still be writing when the next one starts."""
    return target.with_name(f".{target.name}.{work_name}.{secrets.token_hex(4)}.tmp")


def write_whole(target: Path, work_name: str, fill: Callable[[BinaryIO], None]) -> None:
    """Makes `target` by `fill`ing a temporary file, made durable before it gets its name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_name(target, work_name)
    try:
        with temporary.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_stream(source: BinaryIO, target: BinaryIO, cancelled: Event) -> None:
    """Copies to the end; stretches of zeros become holes. Raises Cancelled between two chunks."""
    size = 0
    while chunk := source.read(CHUNK_BYTES):
        if cancelled.is_set():
            raise Cancelled
        size += len(chunk)
        if chunk == _ZEROS[: len(chunk)]:
            target.seek(size)
        else:
            target.write(chunk)
    target.truncate(size)


def copy_file(source: Path, target: Path, work_name: str, cancelled: Event) -> None:
    """A copy of `source` under `target`'s name."""
    with source.open("rb") as file:
        write_whole(target, work_name, lambda copy: copy_stream(file, copy, cancelled))


def make_sparse(target: Path, work_name: str, size_mb: int, then: Callable[[Path], None] = lambda _path: None) -> None:
    """A file of zeros that takes no space yet; `then` may work on it before it gets its name."""

    def fill(file: BinaryIO) -> None:
        file.truncate(max(size_mb, 0) * MEGABYTE)
        file.flush()
        then(Path(file.name))

    write_whole(target, work_name, fill)


def remove(path: Path) -> None:
    """A file or a folder with all it holds; nothing there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=False)
    else:
        path.unlink(missing_ok=True)


def used_mb(folder: Path) -> int:
    """What the files under a folder really take, in MB."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(root) / name).lstat().st_blocks * 512
            except FileNotFoundError:  # gone between listing and looking
                continue
    return total // MEGABYTE


def capacity(folder: Path) -> tuple[tuple[str, str], ...]:
    """TOTAL_MB and FREE_MB of the folder's file system, and USED_MB by what is in the folder."""
    space = os.statvfs(folder)
    total, free = (blocks * space.f_frsize // MEGABYTE for blocks in (space.f_blocks, space.f_bavail))
    return (("TOTAL_MB", str(total)), ("FREE_MB", str(free)), ("USED_MB", str(used_mb(folder))))
