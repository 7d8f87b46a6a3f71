"""Datastores that are folders on a shared path: images are plain files `BASE_PATH/<hash>`.

Every action may be run again after a failover: names follow from the image, files appear whole or not at all, and what
is already there (or already gone) is good.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from threading import Event

from services.oned_lite.lifecycle.work import Work, WorkResult

from . import qcow2
from .files import MEGABYTE, Cancelled, FileThreads, capacity, copy_file, copy_stream, make_sparse, remove, write_whole
from .filesystems import CannotFormat, make_filesystem

Values = tuple[tuple[str, str], ...]
DOWNLOAD_TIMEOUT_S = 30.0
QCOW2_MAGIC = b"QFI\xfb"
MAGICS = ((QCOW2_MAGIC, "qcow2"), (b"KDMV", "vmdk"), (b"conectix", "vpc"))
HEADER_BYTES = 32


class ActionFailed(Exception):
    """Why an action could not be done, in one sentence for the image's owner."""


class FolderDatastore:
    """Driver ds/fs (DS_MAD fs of OpenNebula), and the eyes of system datastores on shared paths."""

    def __init__(self, threads: FileThreads) -> None:
        self._threads = threads

    async def run(self, work: Work) -> WorkResult:
        action = ACTIONS.get(work.argument("ACTION"))
        if action is None:
            return WorkResult(key=work.key, ok=False, message=f"unknown action {work.argument('ACTION')}")
        try:
            values = await self._threads.run(lambda cancelled: action(work, cancelled))
        except ActionFailed as failure:
            return WorkResult(key=work.key, ok=False, message=str(failure))
        except Cancelled:
            return WorkResult(key=work.key, ok=False, message="cancelled")
        except OSError as error:
            return WorkResult(key=work.key, ok=False, message=f"{error.strerror}: {error.filename}")
        return WorkResult(key=work.key, ok=True, values=values)


def monitor(work: Work, _cancelled: Event) -> Values:
    base = _base(work)
    base.mkdir(parents=True, exist_ok=True)
    return capacity(base)


def copy_in(work: Work, cancelled: Event) -> Values:
    """From a local path that the datastore allows, or from the web."""
    target = image_path(work)
    path = work.argument("PATH")
    if target.exists():  # an earlier leader had finished
        return described(target)
    if path.startswith(("http://", "https://")):
        _download(path, target, work, cancelled)
    else:
        copy_file(allowed_path(path, work), target, _work_name(work), cancelled)
    return described(target)


def _download(url: str, target: Path, work: Work, cancelled: Event) -> None:
    import urllib.error  # takes its time to import, and few images come from the web
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT_S) as answer:
            write_whole(target, _work_name(work), lambda file: copy_stream(answer, file, cancelled))
    except (urllib.error.URLError, ValueError) as error:
        raise ActionFailed(f"cannot download {url}: {error}") from None


def allowed_path(path: str, work: Work) -> Path:
    """The real file behind `path`. Raises ActionFailed where it is under RESTRICTED_DIRS and not under SAFE_DIRS: links
    are followed first, so that none leads out."""
    real = Path(path.removeprefix("file://")).resolve()
    if not real.is_file():
        raise ActionFailed(f"{path} is not a file")
    safe = any(_is_under(real, folder) for folder in work.argument("SAFE_DIRS").split())
    restricted = any(_is_under(real, folder) for folder in work.argument("RESTRICTED_DIRS").split())
    if restricted and not safe:
        raise ActionFailed(f"{path} is not in a safe directory (SAFE_DIRS of the datastore)")
    return real


def _is_under(path: Path, folder: str) -> bool:
    return path.is_relative_to(Path(folder).resolve())


def make_empty(work: Work, _cancelled: Event) -> Values:
    target, size_mb = image_path(work), int(work.argument("SIZE", "0"))
    form = work.argument("FORMAT") or "raw"
    if form not in ("raw", "qcow2"):
        raise ActionFailed(f"cannot make an empty disk in format {form}, only raw and qcow2")
    if not target.exists():
        if form == "qcow2":
            write_whole(target, _work_name(work), lambda file: qcow2.write_empty(file, size_mb))
        else:
            make_sparse(target, _work_name(work), size_mb, lambda file: _format(file, work.argument("FS")))
    return (("SOURCE", str(target)), ("FORMAT", form))


def _format(file: Path, kind: str) -> None:
    if not kind:
        return
    try:
        make_filesystem(file, kind)
    except CannotFormat as failure:
        raise ActionFailed(str(failure)) from None


def clone(work: Work, cancelled: Event) -> Values:
    """A copy of another image; PATH is that image's file."""
    target = image_path(work)
    if not target.exists():
        copy_file(Path(work.argument("PATH")), target, _work_name(work), cancelled)
    return (("SOURCE", str(target)),)


def remove_image(work: Work, _cancelled: Event) -> Values:
    """The file and its snapshots. What lies outside of the datastore was not made by us and stays."""
    base = _base(work).resolve()
    for source in {Path(work.argument("SOURCE") or image_path(work)), image_path(work)}:
        if source.resolve().parent == base:
            remove(source)
            remove(snapshot_folder(source))
    for left_over in base.glob(f".{image_path(work).name}.*.tmp"):
        remove(left_over)
    return ()


def snapshot_folder(source: Path) -> Path:
    """Where the snapshots of an image's file are, each under its number."""
    return source.with_name(f"{source.name}.snap")


def snapshot_delete(work: Work, _cancelled: Event) -> Values:
    source = Path(work.argument("SOURCE"))
    remove(snapshot_folder(source) / work.argument("SNAPSHOT"))
    return ()


def snapshot_revert(work: Work, cancelled: Event) -> Values:
    source = Path(work.argument("SOURCE"))
    copy_file(snapshot_folder(source) / work.argument("SNAPSHOT"), source, _work_name(work), cancelled)
    return ()


def snapshot_flatten(work: Work, cancelled: Event) -> Values:
    source = Path(work.argument("SOURCE"))
    if snapshot_folder(source).exists():  # otherwise an earlier leader had finished
        snapshot_revert(work, cancelled)
        remove(snapshot_folder(source))
    return ()


ACTIONS: dict[str, Callable[[Work, Event], Values]] = {
    "monitor": monitor,
    "cp": copy_in,
    "mkfs": make_empty,
    "clone": clone,
    "rm": remove_image,
    "snap_delete": snapshot_delete,
    "snap_revert": snapshot_revert,
    "snap_flatten": snapshot_flatten,
}


# ---------------------------------------------------------------------- names and looks
def _base(work: Work) -> Path:
    return Path(work.argument("BASE_PATH"))


def image_path(work: Work) -> Path:
    """The image's file: a name that follows from the image, so that a new leader finds what the old one made."""
    identity = f"{work.key.oid}:{work.argument('REGTIME')}"
    return _base(work) / hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()


def _work_name(work: Work) -> str:
    return f"{work.key.step}-{work.key.action}"


def described(path: Path) -> Values:
    """SOURCE, FORMAT and SIZE (MB, rounded up; of a qcow2 file what a VM sees of it)."""
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    form = next((name for magic, name in MAGICS if header.startswith(magic)), "raw")
    size = int.from_bytes(header[24:32], "big") if form == "qcow2" else path.stat().st_size
    return (("SOURCE", str(path)), ("FORMAT", form), ("SIZE", str(-(-size // MEGABYTE))))
