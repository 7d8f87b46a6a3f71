"""Runs commands as a user who may do nothing special, whoever runs the tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.deploy.onelite import PROGRAM

NOBODY = 65534
CLONE = Path(__file__).resolve().parents[3]
WITHOUT_NAMESPACES = (
    "unshare", "--map-current-user", "--keep-caps", "sh", "-c",
    'echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --ambient-caps=-all --inh-caps=-all "$@"', "-",
)  # fmt: skip
"""Goes on in a user namespace in which the kernel makes no other one, and without its capabilities."""


class PlainUser:
    """``folder`` is the user's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def may(self, *words: str) -> bool:
        return self.run(*words).returncode == 0

    def onelite(self, *words: str, within: tuple[str, ...] = ()) -> str:
        """What the command says; it must succeed. It finds no Chromium, which takes longer than all the rest."""
        path = self.folder / "bin"
        path.mkdir()
        for name in ("true", "unshare"):
            (path / name).symlink_to(shutil.which(name) or name)
        done = self.run(*within, "env", f"PATH={path}", sys.executable, str(PROGRAM), *words)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._disguise(), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            timeout=90, cwd=self.folder, env={**os.environ, "HOME": str(self.folder)},
        )  # fmt: skip

    def _disguise(self) -> tuple[str, ...]:
        if os.getuid() != 0:
            return ()
        script = "\n".join(["set -e", *_shown(self.folder), f"cd {self.folder}", 'exec setpriv "$@"'])
        return "unshare", "--mount", "sh", "-c", script, "-", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"


@contextlib.contextmanager
def plain_user() -> Iterator[PlainUser]:
    """One with a folder for a while."""
    with tempfile.TemporaryDirectory(prefix="onelite-plain-user-") as name:
        Path(name).chmod(0o755)
        if os.getuid() == 0:
            os.chown(name, NOBODY, NOBODY)
        yield PlainUser(Path(name))


def _shown(stage: Path) -> Iterator[str]:
    """Commands that show Python and the clone to everybody, where they lie in a folder of root's own.

    For the command alone, which has mounts of its own: there, that folder has nothing else in it.
    """
    needed = {Path(sys.base_prefix), Path(sys.prefix), CLONE}
    hidden = {path: closed for path in needed if (closed := _closed(path))}
    for number, path in enumerate(hidden):
        yield f"mkdir -p {stage}/{number}\nmount --bind {path} {stage}/{number}"
    for closed in set(hidden.values()):
        yield f"mount -t tmpfs -o mode=755 none {closed}"
    for number, path in enumerate(hidden):
        yield f"mkdir -p {path}\nmount --bind {stage}/{number} {path}"


def _closed(path: Path) -> Path | None:
    """The outermost folder above a path that only its owner may enter."""
    return next((above for above in reversed(path.parents) if not above.stat().st_mode & stat.S_IXOTH), None)
