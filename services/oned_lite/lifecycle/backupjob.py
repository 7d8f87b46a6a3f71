"""Backup jobs at work: which VMs belong to one, which is next, and what came of it."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from services.common.template import Template
from services.oned_lite.model.backupjob import BACKUPJOBS, PARALLEL, SEQUENTIAL, BackupJob
from services.oned_lite.model.numbers import is_whole
from services.oned_lite.model.times import stamp
from services.oned_lite.model.vm import VMS, Vm
from services.oned_lite.state import Transaction
from services.oned_lite.state.table import rows

from .backup_config import FREEZE_MODES, FULL, INCREMENT

JOB_ID = "BACKUP_JOB_ID"
WRITTEN_PARALLEL = "PARALELL"
"""The only spelling of PARALLEL that 6.8.0 understands."""


class JobFault(Exception):
    """Why a job cannot be as asked, in oned's words."""


def normalized(template: Template) -> Template:
    """The settings that every job has; values that make no sense fall back to the defaults."""
    freeze = template.get("FS_FREEZE").upper()
    settings = {
        "BACKUP_VMS": _distinct_ids(template.get("BACKUP_VMS")),
        "BACKUP_VOLATILE": "YES" if template.get_bool("BACKUP_VOLATILE", False) else "NO",
        "EXECUTION": PARALLEL if template.get("EXECUTION").upper() == WRITTEN_PARALLEL else SEQUENTIAL,
        "FS_FREEZE": freeze if freeze in FREEZE_MODES else "NONE",
        "KEEP_LAST": str(max(0, template.get_int("KEEP_LAST", 0))),
        "MODE": INCREMENT if template.get("MODE").upper() == INCREMENT else FULL,
    }
    for name, value in settings.items():
        template = template.with_set(name, value)
    return template.without("NAME", "PRIORITY")


def _distinct_ids(text: str) -> str:
    ids = (part.strip() for part in text.split(","))
    return ",".join(dict.fromkeys(str(int(oid)) for oid in ids if is_whole(oid)))


# ---------------------------------------------------------------------- members
def set_members(tx: Transaction, before: BackupJob | None, after: BackupJob) -> None:
    """Enters the job in the configuration of its VMs and takes it out of those that left. Raises JobFault for a VM that
    another job has; ids that are no VM's are passed over."""
    for oid in after.vm_ids:
        vm = tx.get(VMS.table, oid)
        other = vm.backup_config.get_int(JOB_ID) if vm is not None else None
        if other is not None and other != after.oid:
            raise JobFault(f"Unable to add VM {oid} to Backup Job {after.oid}. It's already in Backup Job {other}")
        if vm is not None:
            tx.put(VMS.table, replace(vm, backup_config=vm.backup_config.with_set(JOB_ID, str(after.oid))))
    for oid in set(before.vm_ids if before else ()) - set(after.vm_ids):
        _leave(tx, oid, after.oid)


def clear_members(tx: Transaction, job: BackupJob) -> None:
    """The job goes away."""
    for oid in job.vm_ids:
        _leave(tx, oid, job.oid)


def _leave(tx: Transaction, vm_id: int, job_id: int) -> None:
    vm = tx.get(VMS.table, vm_id)
    if vm is not None and vm.backup_config.get_int(JOB_ID) == job_id:
        tx.put(VMS.table, replace(vm, backup_config=vm.backup_config.without(JOB_ID)))


# ---------------------------------------------------------------------- runs
def begin(tx: Transaction, job: BackupJob) -> None:
    """All its VMs are to be backed up. Raises JobFault while an earlier run is not over."""
    if job.is_running:
        raise JobFault("Unable to execute Backup Job, pending backups in progress")
    members = tuple(sorted(oid for oid in job.vm_ids if _is_alive(tx, oid)))
    job = replace(job, outdated=members, updated=(), errors=(), last_backup_time=tx.now, last_backup_duration=0)
    tx.put(BACKUPJOBS.table, job)


def _is_alive(tx: Transaction, vm_id: int) -> bool:
    vm = tx.get(VMS.table, vm_id)
    return vm is not None and not vm.is_done


def again(tx: Transaction, job: BackupJob) -> None:
    """The VMs whose backup failed are to be backed up once more."""
    tx.put(BACKUPJOBS.table, replace(job, outdated=_with(job.outdated, *job.errors), errors=()))


def stop(tx: Transaction, job: BackupJob) -> None:
    """What has not begun will not; backups in progress are cancelled by the caller."""
    tx.put(BACKUPJOBS.table, replace(job, outdated=()))


def run_pending(
    tx: Transaction, has_room: Callable[[Vm], bool], back_up: Callable[[BackupJob, Vm], str | None]
) -> None:
    """Starts what may start now: the jobs by priority, of a sequential one no second VM before the first is done.

    A VM for which `has_room` says no waits. `back_up` starts the backup of a VM or says why it cannot.
    """
    jobs = rows(tx, BACKUPJOBS.table, "running", True)
    for job in sorted(jobs, key=lambda one: (-one.priority, one.oid)):
        for oid in job.outdated:
            current = BACKUPJOBS.get(tx, job.oid)
            if current.backing_up and current.template.get("EXECUTION") != PARALLEL:
                break
            vm = tx.get(VMS.table, oid)
            if vm is None or vm.is_done:
                tx.put(BACKUPJOBS.table, replace(current, outdated=_without(current.outdated, oid)))
            elif has_room(vm):
                _start(tx, current, vm, back_up)


def _start(tx: Transaction, job: BackupJob, vm: Vm, back_up: Callable[[BackupJob, Vm], str | None]) -> None:
    fault = back_up(job, vm)
    job = replace(job, outdated=_without(job.outdated, vm.oid))
    started = replace(job, backing_up=_with(job.backing_up, vm.oid))
    tx.put(BACKUPJOBS.table, started if fault is None else _failed(job, vm.oid, fault, tx.now))


def vm_done(tx: Transaction, vm: Vm, fault: str | None) -> None:
    """The backup of one of a job's VMs has ended; `fault` says why it failed. A VM that no job was backing up changes
    nothing."""
    oid = vm.backup_config.get_int(JOB_ID)
    job = None if oid is None else tx.get(BACKUPJOBS.table, oid)
    if job is None or vm.oid not in job.backing_up:
        return
    job = replace(job, backing_up=_without(job.backing_up, vm.oid))
    updated = replace(job, updated=_with(job.updated, vm.oid))
    job = updated if fault is None else _failed(job, vm.oid, fault, tx.now)
    tx.put(BACKUPJOBS.table, replace(job, last_backup_duration=max(0, tx.now - job.last_backup_time)))


def _failed(job: BackupJob, vm_id: int, fault: str, now: int) -> BackupJob:
    template = job.template.with_set("ERROR", f"{stamp(now)} : {fault}")
    return replace(job, errors=_with(job.errors, vm_id), template=template)


def _with(oids: tuple[int, ...], *more: int) -> tuple[int, ...]:
    return tuple(sorted({*oids, *more}))


def _without(oids: tuple[int, ...], oid: int) -> tuple[int, ...]:
    return tuple(one for one in oids if one != oid)
