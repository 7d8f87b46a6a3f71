"""What a run holds of the machine: its folder, network namespaces, mounted file systems, and the processes of its lab.

All of it is written down before it is made, so that the next run can give back what one that was killed has left: what is
written there under a process (pid and birth) that has ended, and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from deploy.lab import processes
from deploy.lab.chaos import clocks, disks, namespaces
from deploy.lab.errors import LabError
from deploy.lab.folders import LabFolder, private_folder
from deploy.lab.processes import Condition, ProcessId

ENDED_WITHIN_S = 10.0
POLL_S = 0.02


class Holdings(msgspec.Struct, frozen=True, kw_only=True):
    """Of the run with this `token`, whose command is `owner`. What is named need not be there (any more)."""

    token: str
    owner: ProcessId
    folder: str
    namespaces: list[str] = []
    mounts: list[str] = []


@contextlib.contextmanager
def held(namespaced_servers: int, disks_of: Callable[[Path], list[Path]]) -> Iterator[Holdings]:
    """A fresh folder and names for the rest; everything is given back at the end."""
    token = secrets.token_hex(4)
    folder = Path(tempfile.gettempdir(), f"onelite-chaos-{token}")
    holdings = Holdings(
        token=token,
        owner=processes.this(),
        folder=str(folder),
        namespaces=namespaces.names(token, namespaced_servers) if namespaced_servers else [],
        mounts=[str(disk) for disk in disks_of(folder)],
    )
    record = _records() / f"{token}.json"
    record.write_bytes(msgspec.json.encode(holdings))
    try:
        folder.mkdir(mode=0o700)
        yield holdings
    finally:
        _give_back(holdings, record)


def tidy(say: Callable[[str], None]) -> None:
    """Gives back what runs have left whose commands have ended without doing so."""
    for record in sorted(_records().glob("*.json")):
        try:
            holdings = msgspec.json.decode(record.read_bytes(), type=Holdings)
        except (OSError, msgspec.DecodeError):
            continue  # another run is writing it, or giving it back
        if processes.condition(holdings.owner) is Condition.ENDED:
            say(f"removing what the run of pid {holdings.owner.pid} has left: {holdings.folder}")
            _give_back(holdings, record)


def _give_back(holdings: Holdings, record: Path) -> None:
    folder = Path(holdings.folder)
    for mount in map(Path, holdings.mounts):
        disks.thaw(mount)  # what waits for a frozen disk cannot even be killed
    _end_processes(folder)
    for mount in map(Path, holdings.mounts):
        disks.remove(mount)
    namespaces.remove(holdings.namespaces)
    shutil.rmtree(folder, ignore_errors=True)
    record.unlink(missing_ok=True)


def _end_processes(folder: Path) -> None:
    """Those of a lab; after a proper end there are none."""
    found = []
    for file in LabFolder(folder).pid_file("any").parent.glob("*.json"):
        with contextlib.suppress(OSError, msgspec.DecodeError):
            found.append(msgspec.json.decode(file.read_bytes(), type=ProcessId))
    for process in found:
        processes.send(process, signal.SIGKILL)
    deadline = time.monotonic() + ENDED_WITHIN_S
    while any(processes.condition(process) is not Condition.ENDED for process in found):
        if time.monotonic() > deadline:
            raise LabError(f"a process of {folder} cannot be ended")
        time.sleep(POLL_S)
    for process in found:
        clocks.forget(process.pid)


def _records() -> Path:
    """Where this user's runs write down what they hold."""
    folder = Path(tempfile.gettempdir(), f"onelite-chaos-runs-{os.getuid()}")
    private_folder(folder)
    return folder
