"""one.vm.backup and backupcancel."""

from __future__ import annotations

from services.oned_lite.lifecycle import backupjob, vm_backup, vm_operations
from services.oned_lite.model.datastore import DATASTORES, DatastoreType
from services.oned_lite.model.errors import action, internal
from services.oned_lite.model.vm import VMS
from services.oned_lite.model.vm_states import LcmState
from services.oned_lite.policy.authorization import Right

from .call import Call
from .method import MethodTable
from .vm_shared import actor, authorization_for, editor, fetch, refuse_imported

METHODS = MethodTable("one.vm")
CANCELLED = "Backup was cancelled"


@METHODS.add("backup")
def backup(call: Call, oid: int, ds_id: int = -1, reset: bool = False) -> int:
    """Into a backup datastore; an increment goes to where its chain is, whatever datastore is named, unless `reset`."""
    vm = VMS.get(call.tx, oid)
    datastore = DATASTORES.get(call.tx, ds_id)
    if datastore.type is not DatastoreType.BACKUP_DS:
        raise action("Datastore needs to be of type BACKUP")
    authorization_for(call, vm, "backup").need(Right.USE, DATASTORES, datastore).check()
    refuse_imported(call, vm, "backup")
    job = vm.backup_config.get_int(backupjob.JOB_ID)
    if job is not None:
        raise action(f"VM belongs to a Backup Job: {job}")
    fault = vm_backup.state_fault(vm)
    if fault is not None:
        raise internal(fault)
    vm_backup.begin(editor(call, vm), datastore, actor(call), reset=reset)
    return oid


@METHODS.add("backupcancel")
def backupcancel(call: Call, oid: int) -> int:
    """Back to where the VM was, without a backup."""
    vm = fetch(call, oid, "backup")
    if not vm.in_lcm(LcmState.BACKUP, LcmState.BACKUP_POWEROFF):
        raise internal(f"Could not cancel backup for VM {oid}, no backup in progress")
    e = editor(call, vm)
    backupjob.vm_done(call.tx, vm, CANCELLED)
    vm_operations.leave(e, vm_operations.RETURNS[vm.lcm_state], recorded=True)
    return oid
