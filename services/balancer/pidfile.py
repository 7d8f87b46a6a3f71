"""The file that says which process to send signals to, and the same for systemd."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

OLD = ".oldbin"


class PidFile:
    """Like nginx's: during an upgrade the old program's is called ``….oldbin``. Without a path nothing is written."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None

    def write(self) -> None:
        """Raises OSError."""
        if self._path is not None:
            fresh = self._path.with_name(self._path.name + ".new")
            fresh.write_text(f"{os.getpid()}\n")
            fresh.replace(self._path)

    def step_aside(self) -> None:
        """Make room for a new program's. Raises OSError."""
        if self._path is not None and self._is_ours(self._path):
            self._path.replace(self._aside(self._path))

    def come_back(self) -> None:
        """The new program is not there, or not any more. Raises OSError."""
        if self._path is not None:
            if self._is_ours(self._aside(self._path)):
                self._aside(self._path).replace(self._path)
            elif not _lives(read_pid(self._path)):
                self.write()

    def remove(self) -> None:
        """Raises OSError."""
        if self._path is not None:
            for path in (self._path, self._aside(self._path)):
                if self._is_ours(path):
                    path.unlink()

    @staticmethod
    def _aside(path: Path) -> Path:
        return path.with_name(path.name + OLD)

    @staticmethod
    def _is_ours(path: Path) -> bool:
        return read_pid(path) == os.getpid()


def read_pid(path: Path) -> int:
    """The process id in a file, 0 when there is none."""
    with contextlib.suppress(OSError, ValueError):
        return int(path.read_text())
    return 0


def _lives(pid: int) -> bool:
    return pid > 0 and Path(f"/proc/{pid}").exists()


def notify_supervisor(state: str) -> None:
    """Tell systemd (``Type=notify``), if it runs us; see sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
            sock.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
