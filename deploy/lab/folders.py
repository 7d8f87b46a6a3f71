"""The folder of a lab: what lies where in it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from deploy.lab.errors import LabError

SOCKET_PATH_LIMIT = 100
"""Longest path of a Unix socket that every system takes (unix(7) has 108 bytes)."""

USER = "oneadmin"
PASSWORD = "opennebula"


@dataclass(frozen=True, slots=True)
class LabFolder:
    """Paths of a lab. `root` is absolute."""

    root: Path

    @property
    def datastores(self) -> Path:
        """The path all frontends share."""
        return self.root / "datastores"

    @property
    def credentials(self) -> Path:
        """The administrator's "oneadmin:password"; one that is there already is used."""
        return self.root / "one_auth"

    @property
    def ui_credentials(self) -> Path:
        """The web UI's own "serveradmin:secret"."""
        return self.root / "sunstone_auth"

    @property
    def database_password(self) -> Path:
        return self.root / "mariadb_password"

    def config(self, name: str, ending: str = "yaml") -> Path:
        return self.root / "config" / f"{name}.{ending}"

    def data(self, name: str) -> Path:
        return self.root / "data" / name

    def log(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

    def pid_file(self, name: str) -> Path:
        return self.root / "run" / f"{name}.json"

    def own_pid_file(self, name: str) -> Path:
        """What a service itself says of its process."""
        return self.root / "run" / f"{name}.pid"

    @property
    def lock(self) -> Path:
        return self.root / "run" / "lock"

    def socket(self, name: str) -> Path:
        """A Unix socket's path: in the lab, or where the lab's path is too long for that, in a folder for temporaries."""
        here = self.root / "run" / f"{name}.sock"
        if len(os.fsencode(here)) <= SOCKET_PATH_LIMIT:
            return here
        lab = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"onelite-{os.getuid()}-{lab}" / f"{name}.sock"

    def create(self) -> None:
        """Makes the folders and the secrets that are not there yet. LabError where that may not be done."""
        try:
            for folder in (self.datastores, *(self.root / name for name in ("config", "data", "logs", "run"))):
                folder.mkdir(parents=True, exist_ok=True)
            _write_once(self.credentials, f"{USER}:{PASSWORD}\n")
            _write_once(self.ui_credentials, f"serveradmin:{secrets.token_hex(20)}\n")
            _write_once(self.database_password, f"{secrets.token_hex(20)}\n")
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise LabError(f"{error.filename}: {reason}; choose a folder you may write to with --dir") from error

    def administrator(self) -> tuple[str, str]:
        """User and password of the administrator. LabError if the file does not hold them."""
        return read_pair(self.credentials)


def read_pair(path: Path) -> tuple[str, str]:
    """The two halves of a "user:password" file."""
    try:
        user, colon, password = path.read_text().strip().partition(":")
    except OSError as error:
        raise LabError(f"{path}: cannot be read: {error.strerror}") from error
    if not (user and colon and password):
        raise LabError(f"{path}: expected one line USER:PASSWORD")
    return user, password


def private_folder(path: Path) -> None:
    """Makes a folder in a place that others write to as well; refuses one that somebody else has put there."""
    path.mkdir(mode=0o700, exist_ok=True)
    if path.is_symlink() or path.stat().st_uid != os.getuid():
        raise LabError(f"{path}: belongs to somebody else; remove it, or choose a lab folder with a shorter path")


def write_secret(path: Path, text: str) -> None:
    """Writes a file that only its owner may read, from its first byte on."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)


def _write_once(path: Path, text: str) -> None:
    if path.exists():
        path.chmod(0o600)
    else:
        write_secret(path, text)
