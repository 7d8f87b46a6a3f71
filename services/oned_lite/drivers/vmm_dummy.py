"""The dummy hypervisor (vmm/dummy): every VM starts, and does as it is told."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import BinaryIO

from services.oned_lite.lifecycle.work import Work, WorkResult

from . import files
from .transfer import CHECKPOINT, SHARED_TRANSFERS, work_name


class DummyHypervisor:
    """Runs nothing, but keeps what a hypervisor would: the memory of a saved VM is a file in the VM's folder, and without
    that file it does not come back."""

    def __init__(self, threads: files.FileThreads) -> None:
        self._threads = threads

    async def run(self, work: Work) -> WorkResult:
        action = work.key.action
        if action == "deploy":
            return WorkResult(key=work.key, ok=True, values=(("DEPLOY_ID", _deploy_id(work)),))
        if action == "snapshot_create":
            return WorkResult(key=work.key, ok=True, values=(("HYPERVISOR_ID", "dummy-snap"),))
        if action in ("save", "restore") and work.argument("TM_MAD") in SHARED_TRANSFERS:
            return await self._with_checkpoint(work)
        return WorkResult(key=work.key, ok=True)

    async def _with_checkpoint(self, work: Work) -> WorkResult:
        checkpoint = Path(work.argument("FOLDER")) / CHECKPOINT
        action = _save if work.key.action == "save" else _restore
        try:
            await self._threads.run(lambda cancelled: action(work, checkpoint, cancelled))
        except OSError as error:
            return WorkResult(key=work.key, ok=False, message=f"Error in {work.key.action} of VM: {error}")
        return WorkResult(key=work.key, ok=True)


def _deploy_id(work: Work) -> str:
    if work.argument("IMPORTED") == "YES":
        return work.argument("DEPLOY_ID")
    return f"{work.argument('HOST')}:{work.argument('VM_NAME')}:dummy"


def _save(work: Work, checkpoint: Path, _cancelled: Event) -> None:
    def fill(file: BinaryIO) -> None:
        file.write(f"dummy checkpoint of VM {work.key.oid}\nhost {work.argument('HOST')}\n".encode())

    files.write_whole(checkpoint, work_name(work), fill)


def _restore(_work: Work, checkpoint: Path, _cancelled: Event) -> None:
    if not checkpoint.is_file():
        raise FileNotFoundError(f"checkpoint file {checkpoint} is not there")
