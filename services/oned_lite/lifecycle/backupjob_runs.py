"""Starting the backups of jobs as their turn comes, within what oned.conf lets run at once."""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from services.common.template import Vector
from services.oned_lite.model.backupjob import BACKUPJOBS, BackupJob
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.datastore import DATASTORES, Datastore, DatastoreType
from services.oned_lite.model.errors import no_exists
from services.oned_lite.model.vm import VMS, Vm, current_record
from services.oned_lite.state import Reader, Transaction
from services.oned_lite.state.table import rows

from . import backup_config, backupjob, vm_backup
from .vm_editor import Actor, VmEditor
from .work import Step, Timer

INTERVAL_S = 15.0
SETTINGS = ("BACKUP_VOLATILE", "FS_FREEZE", "KEEP_LAST", "MODE")
DAEMON = Actor(uid=0, gid=0)
NO_HOST = -1


def run(step: Step) -> None:
    """One look at all jobs that have something to do."""
    tx, conf = step.tx, step.conf
    room = _Room(tx, conf)
    backupjob.run_pending(tx, room.has, lambda job, vm: _back_up(tx, conf, job, vm))


class _Room:
    """How many backups may still begin: MAX_BACKUPS in all, MAX_BACKUPS_HOST on a host."""

    def __init__(self, reader: Reader, conf: Configuration) -> None:
        self._reader = reader
        self._total = conf.template.get_int("MAX_BACKUPS", 5)
        self._per_host = conf.template.get_int("MAX_BACKUPS_HOST", 2)

    def has(self, vm: Vm) -> bool:
        jobs = rows(self._reader, BACKUPJOBS.table, "running", True)
        running = [self._host(oid) for job in jobs for oid in job.backing_up]
        return len(running) < self._total and Counter(running)[self._host(vm.oid)] < self._per_host

    def _host(self, vm_id: int) -> int:
        vm = self._reader.get(VMS.table, vm_id)
        record = None if vm is None else current_record(self._reader, vm)
        return NO_HOST if record is None else record.hid


def _back_up(tx: Transaction, conf: Configuration, job: BackupJob, vm: Vm) -> str | None:
    """Starts a VM's backup with the job's settings; why not, where it cannot be started."""
    datastore_id = job.template.get_int("DATASTORE_ID", -1)
    datastore = tx.get(DATASTORES.table, datastore_id)
    fault = _datastore_fault(datastore, datastore_id) or vm_backup.state_fault(vm)
    if fault is not None or datastore is None:
        return f"[backup] {fault}"
    settings = Vector.of({name: job.template.get(name) for name in SETTINGS})
    vm = tx.put(VMS.table, replace(vm, backup_config=backup_config.merged(vm.backup_config, settings, vm.template)))
    reset = job.template.get_bool("RESET", False)
    vm_backup.begin(VmEditor(tx, vm, conf), datastore, DAEMON, reset=reset)
    return None


def _datastore_fault(datastore: Datastore | None, oid: int) -> str | None:
    if datastore is None:
        return no_exists(DATASTORES.title, oid).message
    return None if datastore.type is DatastoreType.BACKUP_DS else "Datastore needs to be of type BACKUP"


TIMER = Timer("backup jobs", INTERVAL_S, run)
