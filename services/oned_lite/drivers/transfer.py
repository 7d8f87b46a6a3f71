"""Transfer managers: bringing a VM's disks to where it runs, and away again.

tm/shared and tm/qcow2 work on the path that all servers share: DATASTORE/<datastore>/<VM>/disk.N. tm/dummy has nothing to
move. Every other one would have to reach a hypervisor over the network; here there is none to be reached.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from services.oned_lite.lifecycle.work import Work, WorkResult

from . import files

SHARED_TRANSFERS = ("shared", "qcow2")
CHECKPOINT = "checkpoint"
Values = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Disk:
    """`source` is the image's file, "" for a volatile disk; a persistent image is linked (`clone` false)."""

    disk_id: int
    source: str
    size_mb: int
    clone: bool


def disks_of(work: Work) -> Iterator[Disk]:
    """The disks among a work's arguments."""
    for name, size in work.arguments:
        parts = name.split(".")
        if len(parts) == 3 and parts[0] == "DISK" and parts[2] == "SIZE":
            prefix = f"DISK.{parts[1]}"
            yield Disk(
                disk_id=int(parts[1]),
                source=work.argument(f"{prefix}.SOURCE"),
                size_mb=int(size or 0),
                clone=work.argument(f"{prefix}.CLONE", "YES") == "YES",
            )


class DummyTransfer:
    """tm/dummy: everything is always where it should be."""

    async def run(self, work: Work) -> WorkResult:
        return WorkResult(key=work.key, ok=True, values=_DUMMY_VALUES.get(work.key.action, ()))


_DUMMY_VALUES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "disk_saveas": (("SOURCE", "dummy_path"),),
    "backup": (("SOURCE", "dummy-backup-id"), ("SIZE", "1024")),
}


class UnreachableTransfer:
    """tm/ssh, tm/lvm and so on: there is no such host, so whatever must be moved fails."""

    async def run(self, work: Work) -> WorkResult:
        if work.key.action == "prolog" and not work.argument("CONTEXT") and not list(disks_of(work)):
            return WorkResult(key=work.key, ok=True)
        mad, host = work.argument("TM_MAD"), work.argument("HOST")
        message = (
            f"Error executing image transfer script: Driver tm/{mad} cannot reach host {host} for {work.key.action}"
        )
        return WorkResult(key=work.key, ok=False, message=message)


class SharedTransfer:
    """tm/shared, tm/qcow2. Safe to run twice: a file that is there already was made whole."""

    def __init__(self, threads: files.FileThreads) -> None:
        self._threads = threads

    async def run(self, work: Work) -> WorkResult:
        action = _ACTIONS.get(work.key.action)
        if action is None:
            return WorkResult(key=work.key, ok=True)
        try:
            values = await self._threads.run(lambda cancelled: action(work, Path(work.argument("FOLDER")), cancelled))
        except (OSError, shutil.Error, files.Cancelled) as error:
            return WorkResult(key=work.key, ok=False, message=f"Error executing image transfer script: {error}")
        return WorkResult(key=work.key, ok=True, values=values or ())


def work_name(work: Work) -> str:
    return f"{work.key.oid}-{work.key.step}"


def _prolog(work: Work, folder: Path, cancelled: Event) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for disk in disks_of(work):
        _bring(work, disk, folder / f"disk.{disk.disk_id}", cancelled)


def _bring(work: Work, disk: Disk, target: Path, cancelled: Event) -> None:
    if target.exists():
        return
    if not disk.source:
        files.make_sparse(target, work_name(work), disk.size_mb)
    elif disk.clone:
        files.copy_file(Path(disk.source), target, work_name(work), cancelled)
        _grow(target, disk.size_mb)
    else:
        _link(Path(disk.source), target, work_name(work))


def _grow(target: Path, size_mb: int) -> None:
    """A disk may be larger than its image; it never shrinks."""
    if target.stat().st_size < size_mb * files.MEGABYTE:
        with target.open("r+b") as file:
            file.truncate(size_mb * files.MEGABYTE)


def _link(source: Path, target: Path, name: str) -> None:
    if not source.exists():
        raise FileNotFoundError(f"image file {source} is not there")
    temporary = files.temporary_name(target, name)
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(source)
    temporary.replace(target)
    files.sync_folder(target.parent)


def _prolog_resume(work: Work, folder: Path, cancelled: Event) -> None:
    """The files stayed on the shared path; the VM may only go on if they are there."""
    del cancelled
    old = Path(work.argument("OLD_FOLDER") or folder)
    _move(old, folder)
    for disk in disks_of(work):
        if not (folder / f"disk.{disk.disk_id}").exists():
            raise FileNotFoundError(f"{folder / f'disk.{disk.disk_id}'} is not there")


def _prolog_migrate(work: Work, folder: Path, cancelled: Event) -> None:
    del cancelled
    _move(Path(work.argument("OLD_FOLDER") or folder), folder)


def _move(old: Path, new: Path) -> None:
    """Between datastores on the same path a rename is all; elsewhere a copy that is made durable before the old goes."""
    if old == new or new.exists():
        return
    new.parent.mkdir(parents=True, exist_ok=True)
    if old.exists():
        shutil.move(str(old), str(new))
        files.sync_folder(new.parent)


def _epilog(_work: Work, folder: Path, _cancelled: Event) -> None:
    files.remove(folder)


def _attach(work: Work, folder: Path, cancelled: Event) -> None:
    wanted = int(work.argument("DISK_ID", "-1"))
    folder.mkdir(parents=True, exist_ok=True)
    for disk in disks_of(work):
        if disk.disk_id == wanted:
            _bring(work, disk, folder / f"disk.{disk.disk_id}", cancelled)


def _detach(work: Work, folder: Path, _cancelled: Event) -> None:
    files.remove(folder / f"disk.{work.argument('DISK_ID')}")


def _resize(work: Work, folder: Path, _cancelled: Event) -> None:
    disk = folder / f"disk.{work.argument('DISK_ID')}"
    _grow(disk.resolve(strict=True), int(work.argument("SIZE", "0")))


def _snapshot_create(work: Work, folder: Path, cancelled: Event) -> None:
    disk = folder / f"disk.{work.argument('DISK_ID')}"
    files.copy_file(disk, _snapshot_file(work, folder), work_name(work), cancelled)


def _snapshot_revert(work: Work, folder: Path, cancelled: Event) -> None:
    disk = (folder / f"disk.{work.argument('DISK_ID')}").resolve(strict=True)
    files.copy_file(_snapshot_file(work, folder), disk, work_name(work), cancelled)


def _snapshot_delete(work: Work, folder: Path, _cancelled: Event) -> None:
    files.remove(_snapshot_file(work, folder))


def _snapshot_file(work: Work, folder: Path) -> Path:
    """Beside the disk: `disk.0.snap/2`. A persistent image's snapshots stay beside the image."""
    disk = (folder / f"disk.{work.argument('DISK_ID')}").resolve()
    return disk.with_name(disk.name + ".snap") / work.argument("SNAPSHOT_ID")


def _save_as(work: Work, folder: Path, cancelled: Event) -> Values:
    disk = folder / f"disk.{work.argument('DISK_ID')}"
    if work.argument("SNAPSHOT_ID"):
        disk = _snapshot_file(work, folder)
    files.copy_file(disk, Path(work.argument("TARGET")), work_name(work), cancelled)
    return (("SOURCE", work.argument("TARGET")),)


def _backup(work: Work, folder: Path, cancelled: Event) -> Values:
    """Copies of the disks, in a folder of the backup datastore."""
    target = Path(work.argument("TARGET"))
    size = 0
    wanted = work.argument("DISKS").split(",")
    for disk in disks_of(work):
        if str(disk.disk_id) in wanted:
            copy = target / f"disk.{disk.disk_id}"
            files.copy_file(folder / f"disk.{disk.disk_id}", copy, work_name(work), cancelled)
            size += copy.stat().st_size
    return (("SOURCE", str(target)), ("SIZE", str(max(1, size // files.MEGABYTE))))


_ACTIONS: Mapping[str, Callable[[Work, Path, Event], Values | None]] = {
    "prolog": _prolog,
    "prolog_resume": _prolog_resume,
    "prolog_migrate": _prolog_migrate,
    "epilog": _epilog,
    "disk_attach": _attach,
    "disk_detach": _detach,
    "disk_resize": _resize,
    "disk_snapshot_create": _snapshot_create,
    "disk_snapshot_revert": _snapshot_revert,
    "disk_snapshot_delete": _snapshot_delete,
    "disk_saveas": _save_as,
    "backup": _backup,
}
"""What touches files. The rest (leaving files where they are when a VM stops) is nothing to do."""
