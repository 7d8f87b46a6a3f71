"""one.vm.attach, detach, diskresize, disksaveas and disksnapshot*: the disks of a VM that is there."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from msgspec.structs import replace

from services.common.template import Template, Vector
from services.oned_lite.lifecycle import image_create, vm_disks, vm_operations, vm_quota
from services.oned_lite.lifecycle.image import ImageFault, charges, in_state
from services.oned_lite.lifecycle.vm_disk_operations import find_disk, put_snapshots, snapshots_of
from services.oned_lite.lifecycle.vm_requests import resting
from services.oned_lite.model.datastore import DATASTORES
from services.oned_lite.model.errors import ApiError, action, internal
from services.oned_lite.model.errors import allocate as cannot_allocate
from services.oned_lite.model.image import IMAGES, ImageState, ImageType
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.snapshots import Orphans, Snapshots
from services.oned_lite.model.vm import VMS, Vm
from services.oned_lite.model.vm_states import LcmState, VmState
from services.oned_lite.policy import quotas
from services.oned_lite.policy.authorization import Right

from .call import Call
from .method import MethodTable
from .shared.allocation import new_permissions, parsed
from .vm_resources import deny_restricted, need_named
from .vm_shared import actor, authorization_for, editor, fetch, refuse_imported

METHODS = MethodTable("one.vm")
CURRENT = -1
_SIZE = re.compile(r"[0-9]{1,18}")
States = Mapping[VmState | LcmState, LcmState]

ATTACH_STATES: States = {
    LcmState.RUNNING: LcmState.HOTPLUG,
    VmState.POWEROFF: LcmState.HOTPLUG_PROLOG_POWEROFF,
}
DETACH_STATES: States = {
    LcmState.RUNNING: LcmState.HOTPLUG,
    VmState.POWEROFF: LcmState.HOTPLUG_EPILOG_POWEROFF,
}
RESIZE_STATES: States = {
    LcmState.RUNNING: LcmState.DISK_RESIZE,
    VmState.POWEROFF: LcmState.DISK_RESIZE_POWEROFF,
    VmState.UNDEPLOYED: LcmState.DISK_RESIZE_UNDEPLOYED,
}
SAVE_STATES: States = {
    LcmState.RUNNING: LcmState.HOTPLUG_SAVEAS,
    VmState.POWEROFF: LcmState.HOTPLUG_SAVEAS_POWEROFF,
    VmState.SUSPENDED: LcmState.HOTPLUG_SAVEAS_SUSPENDED,
    VmState.UNDEPLOYED: LcmState.HOTPLUG_SAVEAS_UNDEPLOYED,
    VmState.STOPPED: LcmState.HOTPLUG_SAVEAS_STOPPED,
}
SNAPSHOT_STATES: States = {
    LcmState.RUNNING: LcmState.DISK_SNAPSHOT,
    VmState.POWEROFF: LcmState.DISK_SNAPSHOT_POWEROFF,
    VmState.SUSPENDED: LcmState.DISK_SNAPSHOT_SUSPENDED,
}
REVERT_STATES: States = {VmState.POWEROFF: LcmState.DISK_SNAPSHOT_REVERT_POWEROFF}
SNAPSHOT_DELETE_STATES: States = {
    LcmState.RUNNING: LcmState.DISK_SNAPSHOT_DELETE,
    VmState.POWEROFF: LcmState.DISK_SNAPSHOT_DELETE_POWEROFF,
    VmState.SUSPENDED: LcmState.DISK_SNAPSHOT_DELETE_SUSPENDED,
}


def _state_for(vm: Vm, states: States, refusal: str) -> LcmState:
    """The state of the operation. Raises ACTION where the VM is in none to begin it."""
    lcm = states.get(resting(vm))
    if lcm is None:
        raise action(f"{refusal}, wrong state {vm.state_text}.")
    return lcm


def _disk(vm: Vm, disk_id: int) -> Vector:
    disk = find_disk(vm, disk_id)
    if disk is None:
        raise action("VM disk does not exist")
    return disk


# ---------------------------------------------------------------------- attach and detach
@METHODS.add("attach")
def attach(call: Call, oid: int, text: str) -> int:
    """The first DISK of the template."""
    template = parsed(text)
    vm = VMS.get(call.tx, oid)
    authorization = authorization_for(call, vm, "disk-attach")
    need_named(call, authorization, template)
    deny_restricted(call, authorization, template)
    authorization.check()
    refuse_imported(call, vm, "disk-attach")
    if vm.seq < 0:
        raise action("VM is not running in any host")
    lcm = _state_for(vm, ATTACH_STATES, f"Could not add a new disk to VM {oid}")
    given = template.vector("DISK")
    if given is None:
        raise action("Internal error parsing DISK attribute")
    disk = _attach_disk(call, vm, given)
    vm = VMS.get(call.tx, oid)
    e = editor(call, vm)
    e.set_template(vm.template.with_added("DISK", disk))
    vm_operations.begin(e, lcm, "disk-attach", actor(call), DISK_ID=disk.get("DISK_ID"))
    return oid


def _attach_disk(call: Call, vm: Vm, given: Vector) -> Vector:
    """The disk completed, with a target nobody has."""
    disk_id = vm_disks.next_disk_id(vm.template)
    used = {disk.get("TARGET") for disk in vm.template.vectors("DISK")}
    used |= {context.get("TARGET") for context in vm.template.vectors("CONTEXT")}
    if given.get("TARGET") in used:
        raise action(f"Target {given.get('TARGET')} is already in use.")
    try:
        made = vm_disks.complete(call.tx, call.conf, given, disk_id, vm.oid, vm.uid)
    except ApiError as error:
        raise action(error.message) from None
    disk = made.vectors[0]
    datastore = editor(call, vm).system_datastore()
    if datastore is not None:
        disk = vm_disks.on_system_datastore(disk, datastore).with_set("TM_MAD_SYSTEM", datastore.tm_mad)
    if not disk.get("TARGET"):
        disk = disk.with_set("TARGET", vm_disks.free_target(disk.get("DEV_PREFIX"), used))
    for one, held in made.snapshots:
        put_snapshots(editor(call, vm), one, held)
    return disk


@METHODS.add("detach")
def detach(call: Call, oid: int, disk_id: int) -> int:
    vm = fetch(call, oid, "disk-attach")
    refuse_imported(call, vm, "disk-detach")
    lcm = _state_for(vm, DETACH_STATES, f"Could not detach disk from VM {oid}")
    if find_disk(vm, disk_id) is None:
        raise action(f"Could not detach disk with DISK_ID {disk_id}, it does not exist.")
    vm_operations.begin(editor(call, vm), lcm, "disk-detach", actor(call), DISK_ID=disk_id)
    return oid


# ---------------------------------------------------------------------- resize
@METHODS.add("diskresize")
def diskresize(call: Call, oid: int, disk_id: int, size_mb: str) -> int:
    """Disks only grow. Answers the disk's id."""
    vm = fetch(call, oid, "disk-resize")
    refuse_imported(call, vm, "disk-resize")
    if not _SIZE.fullmatch(size_mb):
        raise action("Disk SIZE is not a valid integer")
    disk = _disk(vm, disk_id)
    if int(size_mb) <= disk.get_int("SIZE", 0):
        raise action("New disk size has to be greater than current one")
    lcm = _state_for(vm, RESIZE_STATES, f"Could not resize disk for VM {oid}")
    grown = [disk.with_set("SIZE", size_mb) if one == disk else one for one in vm.template.vectors("DISK")]
    vm_quota.check_template(call.tx, vm, vm.template.with_set("DISK", *grown), call.caller.uid)
    vm_operations.begin(editor(call, vm), lcm, "disk-resize", actor(call), DISK_ID=disk_id, SIZE=int(size_mb))
    return disk_id


# ---------------------------------------------------------------------- save as a new image
@METHODS.add("disksaveas")
def disksaveas(call: Call, oid: int, disk_id: int, image_name: str, image_type: str, snap_id: int) -> int:
    """The new image's id; the image is READY when its content is there."""
    vm = VMS.get(call.tx, oid)
    disk = find_disk(vm, disk_id)
    source = None if disk is None else call.tx.get(IMAGES.table, disk.get_int("IMAGE_ID", -1))
    authorization = authorization_for(call, vm, "disk-saveas")
    if source is not None:
        authorization.create(ObjectType.IMAGE)
        authorization.need(Right.USE, DATASTORES, DATASTORES.get(call.tx, source.datastore_id))
    authorization.check()
    refuse_imported(call, vm, "disk-saveas")
    lcm = SAVE_STATES.get(resting(vm))
    if lcm is None:
        raise internal("VM has to be RUNNING, POWEROFF or SUSPENDED to save disks.")
    if disk is None:
        raise internal("Cannot use DISK. DISK does not exist.")
    if source is None:
        raise internal("Cannot use DISK. DISK does not have a valid IMAGE_ID.")
    held = snapshots_of(vm, disk_id)
    if snap_id != CURRENT and (held is None or held.get(snap_id) is None):
        raise internal("Cannot use DISK. Snapshot does not exist.")
    image_id, target = _new_image(call, vm, disk, image_name, image_type)
    parameters: dict[str, object] = {"DISK_ID": disk_id, "IMAGE_ID": image_id, "TARGET": target}
    if snap_id != CURRENT:
        parameters["SNAPSHOT_ID"] = snap_id
    vm_operations.begin(editor(call, vm), lcm, "disk-saveas", actor(call), **parameters)
    return image_id


def _new_image(call: Call, vm: Vm, disk: Vector, name: str, type_text: str) -> tuple[int, str]:
    """A LOCKED image in the datastore of the disk's own, and the file its content goes to."""
    source = IMAGES.get(call.tx, disk.get_int("IMAGE_ID", -1))
    datastore = DATASTORES.get(call.tx, source.datastore_id)
    kind = ImageType.__members__.get(type_text.upper()) if type_text else source.type
    caller = call.caller
    owner = image_create.Owner(caller.uid, caller.gid, caller.name, caller.gname, new_permissions(call))
    try:
        image_create.check_name(call.tx, name, caller.uid)
        image_create.check_place(datastore, kind)
        if kind is None:
            raise ImageFault("Unknown type ")
    except ImageFault as fault:
        raise cannot_allocate(IMAGES.title, str(fault)) from None
    image = image_create.blank(call.tx, owner, name, kind, datastore)
    saved = {
        "DEV_PREFIX": disk.get("DEV_PREFIX"),
        "SAVED_DISK_ID": disk.get("DISK_ID"),
        "SAVED_IMAGE_ID": disk.get("IMAGE_ID"),
        "SAVED_VM_ID": str(vm.oid),
    }
    image = replace(
        image, size=disk.get_int("SIZE", 0), format=disk.get("FORMAT"), fs=source.fs, template=Template.of(saved)
    )
    call.tx.put(IMAGES.table, in_state(image, ImageState.LOCKED))
    quotas.check_and_add(call.tx, image, charges(image))
    file = hashlib.sha256(f"{vm.oid} {image.oid} {name} {call.tx.now}".encode()).hexdigest()[:32]
    return image.oid, f"{datastore.base_path}/{file}"


# ---------------------------------------------------------------------- snapshots
@METHODS.add("disksnapshotcreate")
def disksnapshotcreate(call: Call, oid: int, disk_id: int, name: str) -> int:
    vm = _for_snapshot(call, oid, disk_id, "disk-snapshot-create")
    disk = _disk(vm, disk_id)
    if not disk.get("IMAGE_ID"):
        raise action("Cannot make snapshots on volatile disks")
    lcm = _state_for(vm, SNAPSHOT_STATES, f"Could not create a new snapshot for VM {oid}")
    held = snapshots_of(vm, disk_id) or Snapshots(orphans=Orphans.of(disk.get("ALLOW_ORPHANS")))
    e = editor(call, vm)
    put_snapshots(e, disk_id, held.created(name, disk.get_int("SIZE", 0), call.tx.now))
    vm_operations.begin(e, lcm, "disk-snapshot-create", actor(call), DISK_ID=disk_id, SNAPSHOT_ID=held.next_oid)
    return held.next_oid


@METHODS.add("disksnapshotrevert")
def disksnapshotrevert(call: Call, oid: int, disk_id: int, snap_id: int) -> int:
    vm = _for_snapshot(call, oid, disk_id, "disk-snapshot-revert")
    _disk(vm, disk_id)
    lcm = _state_for(vm, REVERT_STATES, f"Could not revert to disk snapshot for VM {oid}")
    held = snapshots_of(vm, disk_id)
    if held is None:
        raise action("Snapshot does not exist")
    if held.get(snap_id) is None:
        raise action(f"Disk id ({disk_id}) or snapshot id ({snap_id}) is not valid.")
    vm_operations.begin(
        editor(call, vm), lcm, "disk-snapshot-revert", actor(call), DISK_ID=disk_id, SNAPSHOT_ID=snap_id
    )
    return oid


@METHODS.add("disksnapshotdelete")
def disksnapshotdelete(call: Call, oid: int, disk_id: int, snap_id: int) -> int:
    vm = _for_snapshot(call, oid, disk_id, "disk-snapshot-delete")
    disk = _disk(vm, disk_id)
    held = snapshots_of(vm, disk_id)
    fault = "Snapshot does not exist" if held is None else held.disk_delete_fault(snap_id)
    if fault is None and disk.get_bool("PERSISTENT", False) and snap_id == 0:
        fault = "Cannot delete the base snapshot of a persistent disk"
    if fault is not None:
        raise action(fault)
    lcm = _state_for(vm, SNAPSHOT_DELETE_STATES, f"Could not delete disk snapshot from VM {oid}")
    vm_operations.begin(
        editor(call, vm), lcm, "disk-snapshot-delete", actor(call), DISK_ID=disk_id, SNAPSHOT_ID=snap_id
    )
    return oid


@METHODS.add("disksnapshotrename")
def disksnapshotrename(call: Call, oid: int, disk_id: int, snap_id: int, name: str) -> int:
    vm = _for_snapshot(call, oid, disk_id, "disk-snapshot-rename")
    _disk(vm, disk_id)
    held = snapshots_of(vm, disk_id)
    if held is None:
        raise action("The VM does not have any snapshot")
    if held.get(snap_id) is None:
        raise action("Snapshot does not exist")
    put_snapshots(editor(call, vm), disk_id, held.renamed(snap_id, name))
    return oid


def _for_snapshot(call: Call, oid: int, disk_id: int, name: str) -> Vm:
    """The VM; changing the snapshots of a persistent disk is changing its image."""
    vm = VMS.get(call.tx, oid)
    authorization = authorization_for(call, vm, "disk-snapshot")
    disk = find_disk(vm, disk_id)
    if disk is not None and disk.get_bool("PERSISTENT", False):
        image = call.tx.get(IMAGES.table, disk.get_int("IMAGE_ID", -1))
        if image is not None:
            authorization.need(Right.MANAGE, IMAGES, image)
    authorization.check()
    refuse_imported(call, vm, name)
    return vm
