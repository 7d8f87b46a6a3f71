"""Formatting a new disk image with the system's own tools."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

DEADLINE_S = 600
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")
"""Where the tools are, which a plain user's PATH does not name."""

TOOLS: dict[str, tuple[str, ...]] = {
    "ext2": ("mkfs.ext2", "-q", "-F"),
    "ext3": ("mkfs.ext3", "-q", "-F"),
    "ext4": ("mkfs.ext4", "-q", "-F"),
    "xfs": ("mkfs.xfs", "-q", "-f"),
    "vfat": ("mkfs.vfat",),
    "swap": ("mkswap",),
}
"""By what people write as FS of an image: a program and its arguments before the file."""


class CannotFormat(Exception):
    """Why not, in one sentence."""


def make_filesystem(file: Path, kind: str) -> None:
    """Puts an empty file system into the file. Raises CannotFormat."""
    command = TOOLS.get(kind.lower())
    if command is None:
        raise CannotFormat(f"unknown file system {kind}, only {', '.join(TOOLS)}")
    folders = os.pathsep.join((os.environ.get("PATH", ""), *SYSTEM_FOLDERS))
    program = shutil.which(command[0], path=folders)
    if program is None:
        raise CannotFormat(f"{command[0]} is not installed on the front-end")
    try:
        done = subprocess.run(
            [program, *command[1:], str(file)], capture_output=True, timeout=DEADLINE_S, check=False, text=True
        )
    except subprocess.TimeoutExpired:
        raise CannotFormat(f"{command[0]} did not finish in {DEADLINE_S} s") from None
    if done.returncode:
        raise CannotFormat(f"{command[0]}: {done.stderr.strip()[:200]}")
