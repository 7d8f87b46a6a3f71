"""VMs that wait for images: a VM made while a driver still copies one of its images is CLONING until all are there."""

from __future__ import annotations

from msgspec.structs import replace

from services.common.template import Vector
from services.oned_lite.model.image import IMAGES, ImageState
from services.oned_lite.model.vm import VMS, Vm
from services.oned_lite.model.vm_states import VmState
from services.oned_lite.state import Reader, Transaction

from . import vm_quota

WAITED_FOR = frozenset({ImageState.LOCKED, ImageState.LOCKED_USED, ImageState.LOCKED_USED_PERS})


def _images(reader: Reader, vm: Vm) -> list[ImageState]:
    oids = (disk.get_int("IMAGE_ID") for disk in vm.template.vectors("DISK"))
    images = (reader.get(IMAGES.table, oid) for oid in oids if oid is not None)
    return [image.state for image in images if image is not None]


def in_first_state(reader: Reader, vm: Vm) -> Vm:
    """A VM just built: CLONING where one of its images is still being made."""
    if WAITED_FOR.isdisjoint(_images(reader, vm)):
        return vm
    return replace(vm, state=VmState.CLONING)


def image_changed(tx: Transaction, vm_id: int) -> None:
    """One of the VM's images has been made, or could not be: the VM goes on, waits for the others, or fails."""
    vm = tx.get(VMS.table, vm_id)
    if vm is None or vm.state not in (VmState.CLONING, VmState.CLONING_FAILURE):
        return
    states = _images(tx, vm)
    if ImageState.ERROR in states:
        state = VmState.CLONING_FAILURE
    elif not WAITED_FOR.isdisjoint(states):
        state = VmState.CLONING
    else:
        state = VmState.HOLD if vm.template.get_bool("SUBMIT_ON_HOLD", False) else VmState.PENDING
    if state != vm.state:
        ready = tx.put(VMS.table, replace(_with_sources(tx, vm), state=state, step=vm.step + 1))
        vm_quota.settle(tx, vm, ready)


def _with_sources(reader: Reader, vm: Vm) -> Vm:
    """The disks learn what their images could not say before they were made."""
    disks = [_with_source(reader, disk) for disk in vm.template.vectors("DISK")]
    return replace(vm, template=vm.template.with_set("DISK", *disks))


def _with_source(reader: Reader, disk: Vector) -> Vector:
    oid = disk.get_int("IMAGE_ID")
    image = None if oid is None else reader.get(IMAGES.table, oid)
    if image is None or disk.get("SOURCE"):
        return disk
    found = {"SOURCE": image.source, "FORMAT": image.format, "DRIVER": disk.get("DRIVER") or image.format}
    found["ORIGINAL_SIZE"] = str(image.size)
    found["SIZE"] = str(max(image.size, disk.get_int("SIZE", 0)))
    return disk.merged(found)
