"""Servers' disks that can be full, and that can hang.

As root each server has a file system of its own in a file (a loop device): it is filled to the last byte, and frozen by
the kernel (`fsfreeze`), so that whoever writes waits. Others can have their own SQLite daemon's disk full by a limit on
the size of its files (RLIMIT_FSIZE: every byte fails, with EFBIG instead of ENOSPC).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from deploy.lab import programs
from deploy.lab.errors import LabError

SIZE_MB = {"sqlite": 64, "mariadb": 512}
TRIAL_MB = 8
FILLER = "filler"
BLOCKS = (1 << 20, 4096, 1)
"""Written until nothing of that size fits."""


class Disks(Protocol):
    """Of the servers from 0 on."""

    async def fill(self, server: int) -> None: ...

    async def free(self, server: int) -> None: ...

    async def freeze(self, server: int) -> None: ...

    async def thaw(self, server: int) -> None: ...


class FileSystems:
    """Mounted on `folders`, one for each server."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    async def fill(self, server: int) -> None:
        await asyncio.to_thread(_fill, self._folders[server] / FILLER)

    async def free(self, server: int) -> None:
        (self._folders[server] / FILLER).unlink(missing_ok=True)

    async def freeze(self, server: int) -> None:
        await asyncio.to_thread(programs.run, "fsfreeze", "--freeze", str(self._folders[server]))

    async def thaw(self, server: int) -> None:
        await asyncio.to_thread(thaw, self._folders[server])


class SizeLimits:
    """Limits on running daemons, whose pids are asked for. One that is started again has none."""

    def __init__(self, pid: Callable[[int], int | None]) -> None:
        self._pid = pid

    async def fill(self, server: int) -> None:
        self._limit(server, 0)

    async def free(self, server: int) -> None:
        self._limit(server, None)

    async def freeze(self, server: int) -> None:
        raise NotImplementedError

    async def thaw(self, server: int) -> None:
        raise NotImplementedError

    def _limit(self, server: int, size: int | None) -> None:
        pid = self._pid(server)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


def make(folder: Path, size_mb: int) -> None:
    """A file system on `folder`, in a file beside it. LabError where that is not possible."""
    folder.mkdir(parents=True)
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(size_mb << 20)
    programs.run("mkfs.ext4", "-q", "-m", "0", str(image))  # no blocks that are for root alone
    programs.run("mount", "-o", "loop", str(image), str(folder))


def thaw(folder: Path) -> None:
    """Lets those go on who wait for a frozen file system; one that is not frozen stays as it is."""
    if folder.is_mount():
        subprocess.run([programs.find("fsfreeze"), "--unfreeze", str(folder)], capture_output=True, check=False)


def remove(folder: Path) -> None:
    """Takes a file system away that nobody uses any more, if it is mounted."""
    if folder.is_mount():
        programs.run("umount", str(folder))


def why_not() -> str:
    """Why file systems cannot be had here; empty if they can. Tries it with a small one."""
    if os.geteuid() != 0:
        return "needs root"
    with tempfile.TemporaryDirectory(prefix="onelite-disk-") as name:
        folder = Path(name, "disk")
        try:
            make(folder, TRIAL_MB)
        except LabError as error:
            return str(error)
        finally:
            remove(folder)
    return ""


def _fill(filler: Path) -> None:
    with filler.open("ab", buffering=0) as file:
        free = os.statvfs(filler)
        with contextlib.suppress(OSError):
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)
        file.seek(0, os.SEEK_END)
        for size in BLOCKS:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
                    os.fdatasync(file.fileno())  # blocks are given out when they are written down
