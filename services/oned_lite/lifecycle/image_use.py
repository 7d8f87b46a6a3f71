"""Images in use by VMs: taken at allocation or attachment, given back at the end."""

from __future__ import annotations

from msgspec.structs import replace

from services.common.template import Vector
from services.oned_lite.model.errors import internal
from services.oned_lite.model.image import IMAGES, Image, ImageState
from services.oned_lite.model.vm import Vm
from services.oned_lite.state import Transaction

from .image import recharge

_TAKEN = {
    ImageState.READY: (ImageState.USED, ImageState.USED_PERS),
    ImageState.USED: (ImageState.USED, ImageState.USED),
    ImageState.LOCKED: (ImageState.LOCKED_USED, ImageState.LOCKED_USED_PERS),
    ImageState.LOCKED_USED: (ImageState.LOCKED_USED, ImageState.LOCKED_USED),
}
"""The state of an image that is taken: of a plain one, of a persistent one."""

_REASONS = {
    ImageState.INIT: "it is being initialized",
    ImageState.DISABLED: "it is disabled",
    ImageState.ERROR: "it is in an error state",
    ImageState.CLONE: "it is being cloned",
    ImageState.DELETE: "it is being deleted",
    ImageState.USED_PERS: "it is persistent and already in use",
    ImageState.LOCKED_USED_PERS: "it is persistent and already in use",
}


def acquire(tx: Transaction, image: Image, vm_oid: int) -> Image:
    """Counts one more use of the image by the VM. Raises INTERNAL where its state does not let it."""
    taken = _TAKEN.get(image.state)
    if taken is None:
        raise internal(f"Cannot acquire image {image.oid}, {_REASONS[image.state]}")
    state = taken[1] if image.persistent else taken[0]
    row = replace(
        image,
        state=state,
        prev_state=state,
        running_vms=image.running_vms + 1,
        vm_ids=tuple(sorted({*image.vm_ids, vm_oid})),
        step=image.step + 1,
    )
    return tx.put(IMAGES.table, row)


def release_disk(tx: Transaction, vm: Vm, disk: Vector) -> None:
    """Gives back the image of one of the VM's disks, where it has one. A persistent image takes over the disk's size
    and snapshots: they are the same thing."""
    oid = disk.get_int("IMAGE_ID")
    image = None if oid is None else tx.get(IMAGES.table, oid)
    if image is None:
        return
    others = [one for one in vm.template.vectors("DISK") if one.get_int("IMAGE_ID") == oid and one != disk]
    image = _counted_down(image, vm.oid, still_used=bool(others))
    if image.persistent:
        disk_id = disk.get_int("DISK_ID")
        held = next((snapshots for one, snapshots in vm.disk_snapshots if one == disk_id), None)
        before, image = image, replace(image, snapshots=held, size=disk.get_int("SIZE", image.size))
        recharge(tx, before, image)
    tx.put(IMAGES.table, image)


def _counted_down(image: Image, vm_oid: int, *, still_used: bool) -> Image:
    uses = max(0, image.running_vms - 1)
    state = image.state
    if uses == 0 and state in (ImageState.USED, ImageState.USED_PERS):
        state = ImageState.READY
    elif uses == 0 and state in (ImageState.LOCKED_USED, ImageState.LOCKED_USED_PERS):
        state = ImageState.LOCKED
    vm_ids = image.vm_ids if still_used else tuple(one for one in image.vm_ids if one != vm_oid)
    return replace(image, running_vms=uses, state=state, prev_state=state, vm_ids=vm_ids, step=image.step + 1)
