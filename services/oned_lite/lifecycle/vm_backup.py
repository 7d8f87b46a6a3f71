"""Backups of VMs: copies of their disks, kept as images of a backup datastore."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from services.common.template import Template
from services.oned_lite.model.datastore import DATASTORES, Datastore
from services.oned_lite.model.image import IMAGES, Image, ImageState, ImageType, Increment
from services.oned_lite.model.objects import Permissions, named
from services.oned_lite.model.times import moment
from services.oned_lite.model.vm import VMS, Vm
from services.oned_lite.model.vm_states import HistoryAction, LcmState, VmState
from services.oned_lite.policy import quotas
from services.oned_lite.state import Transaction

from . import backupjob, image_create, vm_operations
from .backup_config import FULL, INCREMENT
from .image import REMOVE, charges, in_state, with_task
from .vm_editor import Actor, VmEditor
from .vm_operations import OPERATIONS, Operation
from .vm_requests import resting
from .work import WorkResult

STATES: Mapping[VmState | LcmState, LcmState] = {
    LcmState.RUNNING: LcmState.BACKUP,
    VmState.POWEROFF: LcmState.BACKUP_POWEROFF,
}
PRIVATE = Permissions.from_octal(0o600)
NONE_YET = -1


def state_fault(vm: Vm) -> str | None:
    """Why the VM cannot be backed up now."""
    if resting(vm) in STATES:
        return None
    return f"Could not create a new backup for VM {vm.oid}, wrong state {vm.state_text}."


def begin(e: VmEditor, datastore: Datastore, actor: Actor, *, reset: bool = False) -> None:
    """Starts a backup of a VM in one of STATES. An increment goes where the last one is."""
    vm = e.vm
    chain = None if reset else _chain(e)
    if chain is not None:
        datastore = e.tx.get(DATASTORES.table, chain.datastore_id) or datastore
    parameters: dict[str, object] = {
        "DS_ID": datastore.oid,
        "DISKS": ",".join(disk_ids(vm)),
        "TARGET": f"{datastore.base_path}/{vm.oid}-{vm.step}",
        "CHAIN": NONE_YET if chain is None else chain.oid,
    }
    vm_operations.begin(e, STATES[resting(vm)], "backup", actor, **parameters)


def disk_ids(vm: Vm) -> list[str]:
    """The disks a backup holds: volatile ones only where the configuration says so."""
    volatile_too = vm.backup_config.get_bool("BACKUP_VOLATILE", False)
    return [disk.get("DISK_ID") for disk in vm.template.vectors("DISK") if disk.get("IMAGE_ID") or volatile_too]


def _chain(e: VmEditor) -> Image | None:
    """The backup that the next increment continues."""
    config = e.vm.backup_config
    if config.get("MODE") != INCREMENT:
        return None
    return e.tx.get(IMAGES.table, config.get_int("INCREMENTAL_BACKUP_ID", NONE_YET))


# ---------------------------------------------------------------------- the end of it
def _made(e: VmEditor, result: WorkResult) -> None:
    chain = e.tx.get(IMAGES.table, e.vm.operation.get_int("CHAIN", NONE_YET))
    if chain is not None:
        _continue(e, chain, result)
    else:
        _new_image(e, result)
    backupjob.vm_done(e.tx, e.vm, None)


def _failed(e: VmEditor, result: WorkResult) -> None:
    backupjob.vm_done(e.tx, e.vm, result.message)


def _new_image(e: VmEditor, result: WorkResult) -> None:
    """A name that is taken (a second backup within one second) means there is no image; nobody is told."""
    vm = e.vm
    datastore = e.tx.get(DATASTORES.table, vm.operation.get_int("DS_ID", NONE_YET))
    name = backup_name(vm.oid, e.now)
    if datastore is None or named(e.tx, IMAGES, name, vm.uid) is not None:
        return
    owner = image_create.Owner(vm.uid, vm.gid, vm.uname, vm.gname, PRIVATE)
    image = image_create.blank(e.tx, owner, name, ImageType.BACKUP, datastore)
    size = int(result.value("SIZE", "0"))
    is_chain = vm.backup_config.get("MODE") == INCREMENT
    image = replace(
        image,
        persistent=True,
        source=result.value("SOURCE"),
        format="raw",
        size=size,
        running_vms=1,
        vm_ids=(vm.oid,),
        template=vm.backup_config.only(backupjob.JOB_ID),
        increments=(Increment(0, FULL, e.now, size, result.value("SOURCE")),) if is_chain else (),
    )
    e.tx.put(IMAGES.table, in_state(image, ImageState.READY))
    quotas.add(e.tx, image, charges(image))
    config = vm.backup_config
    if is_chain:
        config = config.with_set("INCREMENTAL_BACKUP_ID", str(image.oid)).with_set("LAST_INCREMENT_ID", "0")
    kept, dropped = _kept((*vm.backup_ids, image.oid), config)
    e.put(backup_ids=kept, backup_config=config)
    for oid in dropped:
        _drop(e, oid)


def backup_name(oid: int, at: int) -> str:
    """`7 22-Nov 16.21.38`."""
    return f"{oid} {moment(at).strftime('%d-%b %H.%M.%S')}"


def _kept(oids: tuple[int, ...], config: Template) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The backups that stay and those that go: KEEP_LAST of them stay, 0 means all."""
    keep = config.get_int("KEEP_LAST", 0)
    if keep <= 0 or config.get("MODE") == INCREMENT:
        return oids, ()
    return oids[-keep:], oids[:-keep]


def _drop(e: VmEditor, oid: int) -> None:
    image = e.tx.get(IMAGES.table, oid)
    if image is not None:
        gone = replace(image, running_vms=0, vm_ids=())
        e.tx.put(IMAGES.table, with_task(gone, ImageState.DELETE, REMOVE))


def forget(tx: Transaction, image: Image) -> None:
    """An image is being deleted: VMs whose backup it was no longer list it."""
    for oid in image.vm_ids if image.type is ImageType.BACKUP else ():
        vm = tx.get(VMS.table, oid)
        if vm is not None:
            tx.put(VMS.table, replace(vm, backup_ids=tuple(one for one in vm.backup_ids if one != image.oid)))


def _continue(e: VmEditor, chain: Image, result: WorkResult) -> None:
    """One more increment on the chain."""
    number = max((one.oid for one in chain.increments), default=NONE_YET) + 1
    size = int(result.value("SIZE", "0"))
    increment = Increment(number, INCREMENT, e.now, size, result.value("SOURCE"), number - 1)
    e.tx.put(IMAGES.table, replace(chain, size=chain.size + size, increments=(*chain.increments, increment)))
    e.put(backup_config=e.vm.backup_config.with_set("LAST_INCREMENT_ID", str(number)))


OPERATIONS["backup"] = Operation("tm", "backup", HistoryAction.BACKUP, succeed=_made, fail=_failed)
