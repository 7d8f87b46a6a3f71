"""one.image.*: images."""

from __future__ import annotations

import msgspec

from services.common.template import Template
from services.oned_lite.lifecycle import vm_backup
from services.oned_lite.lifecycle.image import (
    REMOVE,
    SNAPSHOT_DELETE,
    SNAPSHOT_FLATTEN,
    SNAPSHOT_REVERT,
    ImageFault,
    charges,
    in_state,
    with_task,
)
from services.oned_lite.lifecycle.image_create import Owner, asked_size, copy, create, lacks_space
from services.oned_lite.model.datastore import DATASTORES, Datastore, DatastoreType
from services.oned_lite.model.datastore_rules import driver_conf
from services.oned_lite.model.errors import action, internal, no_exists
from services.oned_lite.model.errors import allocate as cannot_allocate
from services.oned_lite.model.image import FILE_TYPES, IMAGES, Image, ImageState, ImageType, state_text
from services.oned_lite.model.marketplace import APPS
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.policy.authorization import Right
from services.oned_lite.policy.restricted import first_restricted

from . import shared
from .call import Call
from .method import MethodTable
from .shared.allocation import MISSING, new_permissions, parsed, required
from .shared.register import register, register_pool

METHODS = MethodTable("one.image")
POOL_METHODS = MethodTable("one.imagepool")
RESTRICTED = "IMAGE_RESTRICTED_ATTR"
OWN_DATASTORE = -1
NO_SNAPSHOT = "Snapshot does not exist"

IN_USE = frozenset({ImageState.USED, ImageState.USED_PERS, ImageState.LOCKED_USED, ImageState.LOCKED_USED_PERS})
SWITCHABLE = frozenset({ImageState.READY, ImageState.ERROR, ImageState.DISABLED})
LOCKED_STATES = frozenset({ImageState.LOCKED, ImageState.LOCKED_USED, ImageState.LOCKED_USED_PERS})

register(METHODS, IMAGES, "info", "rename", "chmod", "lock", "unlock")
register_pool(POOL_METHODS, IMAGES)


def owner(call: Call) -> Owner:
    """The caller, as the owner of what is being made."""
    caller = call.caller
    return Owner(caller.uid, caller.gid, caller.name, caller.gname, new_permissions(call))


# ---------------------------------------------------------------------- new images
@METHODS.add("allocate")
def allocate(call: Call, text: str, ds_id: int = MISSING, check_capacity: bool = True) -> int:
    """Only administrators may leave the capacity unchecked."""
    template = parsed(text)
    datastore = DATASTORES.get(call.tx, required(ds_id))
    template, size = _sized(call, template, datastore)
    checked = check_capacity or not call.caller.is_admin
    if checked and lacks_space(datastore, size or 0, call.conf):
        raise action("Not enough space in datastore")
    authorization = call.authorize().create(ObjectType.IMAGE).need(Right.USE, DATASTORES, datastore)
    if not call.caller.is_admin:
        found = first_restricted(template, call.conf.restricted(RESTRICTED))
        if found is not None:
            authorization.deny(f"Template includes a restricted attribute {found}")
    authorization.check()
    try:
        return create(call.tx, owner(call), template, datastore, size, call.conf).oid
    except ImageFault as fault:
        raise cannot_allocate(IMAGES.title, str(fault)) from None


def _sized(call: Call, template: Template, datastore: Datastore) -> tuple[Template, int | None]:
    """The template, with where an app of a marketplace lies if it is to be made of one, and its size in MB (None: the
    driver will say)."""
    if template.get("FROM_BACKUP_DS"):
        raise internal("Could not get associated backup datastore.")
    if template.get("FROM_APP"):
        app = call.tx.get(APPS.table, template.get_int("FROM_APP", -1))
        if app is None or not app.source or not call.authorize().need(Right.USE, APPS, app).passed:
            raise internal("Cannot determine image SIZE.")
        return template.with_set("PATH", app.source), app.size
    try:
        return template, asked_size(template, datastore, call.conf)
    except ImageFault as fault:
        raise internal(f"Cannot parse image SIZE: {fault}") from None


@METHODS.add("clone")
def clone(call: Call, oid: int, name: str, ds_id: int = OWN_DATASTORE) -> int:
    return copied(call, oid, name, ds_id).oid


def copied(call: Call, oid: int, name: str, ds_id: int = OWN_DATASTORE, *, persistent: bool | None = None) -> Image:
    """A copy of image `oid` for the caller, in the same datastore or in another with the same driver."""
    image = IMAGES.get(call.tx, oid)
    if image.type in FILE_TYPES or image.type is ImageType.BACKUP:
        raise action("KERNEL, RAMDISK, BACKUP and CONTEXT cannot be cloned.")
    if image.snapshots:
        raise action("Cannot clone images with snapshots")
    datastore = DATASTORES.get(call.tx, image.datastore_id if ds_id == OWN_DATASTORE else ds_id)
    if datastore.type is not DatastoreType.IMAGE_DS:
        raise action("Clone only supported for IMAGE_DS Datastores")
    authorization = call.authorize().create(ObjectType.IMAGE).need(Right.USE, IMAGES, image)
    authorization.need(Right.USE, DATASTORES, datastore)
    if datastore.oid != image.datastore_id:
        _check_same_driver(call, image, datastore)
    if lacks_space(datastore, image.size, call.conf):
        raise action("Not enough space in datastore")
    authorization.check()
    try:
        return copy(call.tx, owner(call), image, name, datastore, persistent=persistent)
    except ImageFault as fault:
        raise cannot_allocate(IMAGES.title, str(fault)) from None


def _check_same_driver(call: Call, image: Image, datastore: Datastore) -> None:
    if DATASTORES.get(call.tx, image.datastore_id).ds_mad != datastore.ds_mad:
        raise action("Clone only supported to same DS_MAD Datastores")


# ---------------------------------------------------------------------- changes
@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    return shared.update(call, IMAGES, oid, text, append, restricted=RESTRICTED)


@METHODS.add("chown")
def chown(call: Call, oid: int, uid: int, gid: int) -> int:
    return shared.chown(call, IMAGES, oid, uid, gid, charges=charges)


@METHODS.add("delete")
def delete(call: Call, oid: int, force: bool = False) -> int:
    """An image that a driver is at work on goes only by force, and only for who has ADMIN."""
    image = IMAGES.get(call.tx, oid)
    locked = image.state in LOCKED_STATES
    call.authorize().need(Right.ADMIN if locked else Right.MANAGE, IMAGES, image).check()
    begin_delete(call, image, force=force)
    return oid


def begin_delete(call: Call, image: Image, *, force: bool = False) -> None:
    """Hands an unused image to its driver for removal. Raises ACTION; force leaves its mark even then."""
    if force:
        image = msgspec.structs.replace(image, template=image.template.with_set("FORCE_DELETE", "YES"))
        call.tx.put(IMAGES.table, image)
    fault = _delete_fault(image, force)
    if fault is not None:
        error = action(f"Cannot delete image. {fault}")
        error.keeps_changes = force
        raise error
    vm_backup.forget(call.tx, image)
    call.tx.put(IMAGES.table, with_task(image, ImageState.DELETE, REMOVE))


def _delete_fault(image: Image, force: bool) -> str | None:
    used = image.state in IN_USE or (image.state is ImageState.READY and image.running_vms)
    if used and image.type is not ImageType.BACKUP:
        return f"There are {image.running_vms} VMs using it."
    if image.state is ImageState.CLONE:
        return "There are active clone operations."
    if image.state is ImageState.LOCKED and not force:
        return "Deletion of locked images is only allowed with the force flag."
    return None


@METHODS.add("enable")
def enable(call: Call, oid: int, enable: bool) -> int:
    image = call.fetch(IMAGES, oid, Right.MANAGE)
    what = f"Could not {'enable' if enable else 'disable'} image: "
    if image.type is ImageType.BACKUP:
        raise internal(f"{what}Backup images cannot be enabled or disabled.")
    if image.state not in SWITCHABLE:
        raise internal(f"{what}Image cannot be in state {state_text(image.state)}.")
    wanted = ImageState.READY if enable else ImageState.DISABLED
    if image.state is not wanted:
        call.tx.put(IMAGES.table, in_state(image, wanted))
    return oid


@METHODS.add("persistent")
def persistent(call: Call, oid: int, persistent: bool) -> int:
    image = call.fetch(IMAGES, oid, Right.MANAGE)
    _check_persistence(call, image, persistent)
    call.tx.put(IMAGES.table, msgspec.structs.replace(image, persistent=persistent))
    return oid


def _check_persistence(call: Call, image: Image, persistent: bool) -> None:
    if image.type in FILE_TYPES and persistent:
        raise action("KERNEL, RAMDISK and CONTEXT must be non-persistent")
    if image.type is ImageType.BACKUP and not persistent:
        raise action("BACKUP images must be persistent")
    driver = driver_conf(call.conf, "DS_MAD_CONF", DATASTORES.get(call.tx, image.datastore_id).ds_mad)
    if not persistent and driver is not None and driver.get_bool("PERSISTENT_ONLY", False):
        raise action("This Datastore only supports persistent images.")
    what = f"Could not make image {'' if persistent else 'non-'}persistent: "
    if image.snapshots and not persistent:
        raise internal(f"{what}Image has snapshots.")
    if image.state in IN_USE or image.state is ImageState.CLONE:
        raise internal(f"{what}Image cannot be in state {state_text(image.state)}.")


@METHODS.add("chtype")
def chtype(call: Call, oid: int, type: str) -> int:
    """Only within the family that the datastore holds; in whatever state the image is."""
    image = call.fetch(IMAGES, oid, Right.MANAGE)
    if image.type is ImageType.BACKUP:
        raise action("Cannot change type for BACKUP images.")
    wanted = ImageType.__members__.get(type.upper() or ImageType.OS.name)
    if wanted is not None and (wanted is ImageType.BACKUP or (wanted in FILE_TYPES) != (image.type in FILE_TYPES)):
        raise action("Cannot change image type to an incompatible type for the current datastore.")
    if image.snapshots and wanted not in (ImageType.OS, ImageType.DATABLOCK):
        raise internal("Image with snapshots can be only of type OS or DATABLOCK")
    if wanted is None:
        raise internal("Unknown type "[image.type :])  # oned adds the type's number to the text's address
    call.tx.put(IMAGES.table, msgspec.structs.replace(image, type=wanted))
    return oid


# ---------------------------------------------------------------------- snapshots
@METHODS.add("snapshotdelete")
def snapshotdelete(call: Call, oid: int, snap_id: int) -> int:
    image = _snapshot_image(call, oid, "delete")
    fault = image.snapshots.image_delete_fault(snap_id) if image.snapshots is not None else NO_SNAPSHOT
    if fault is not None:
        raise action(fault)
    return _begin(call, image, SNAPSHOT_DELETE, snap_id)


@METHODS.add("snapshotrevert")
def snapshotrevert(call: Call, oid: int, snap_id: int) -> int:
    image = _snapshot_image(call, oid, "revert to")
    _check_exists(image, snap_id)
    if image.snapshots is not None and image.snapshots.active == snap_id:
        raise action("Snapshot is already the active one")
    return _begin(call, image, SNAPSHOT_REVERT, snap_id)


@METHODS.add("snapshotflatten")
def snapshotflatten(call: Call, oid: int, snap_id: int) -> int:
    """The image takes the snapshot's content and loses all snapshots."""
    image = _snapshot_image(call, oid, "flatten")
    _check_exists(image, snap_id)
    return _begin(call, image, SNAPSHOT_FLATTEN, snap_id)


def _check_exists(image: Image, snap_id: int) -> None:
    if image.snapshots is None or image.snapshots.get(snap_id) is None:
        raise action(NO_SNAPSHOT)


def _snapshot_image(call: Call, oid: int, what: str) -> Image:
    """The image, if it can have snapshots and nobody uses it. Raises ACTION."""
    image = call.fetch(IMAGES, oid, Right.MANAGE)
    if image.type in FILE_TYPES or image.type is ImageType.BACKUP:
        raise action("IMAGES of type KERNEL, RAMDISK, BACKUP and CONTEXT does not have snapshots.")
    if image.state is not ImageState.READY:
        raise action(f"Cannot {what} snapshot in state {state_text(image.state)}")
    return image


def _begin(call: Call, image: Image, task: str, snap_id: int) -> int:
    call.tx.put(IMAGES.table, with_task(image, ImageState.LOCKED, task, target_snapshot=snap_id))
    return snap_id


# ---------------------------------------------------------------------- backups
@METHODS.add("restore")
def restore(call: Call, oid: int, ds_id: int, options: str) -> str:
    """Makes images and a VM template of a backup. Of the drivers here only the dummy can, and it makes nothing."""
    image = IMAGES.get(call.tx, oid)
    datastore = call.tx.get(DATASTORES.table, ds_id)
    if datastore is None:
        raise no_exists(IMAGES.title, ds_id)  # oned names the image where it misses the datastore
    call.authorize().need(Right.USE, IMAGES, image).need(Right.USE, DATASTORES, datastore).check()
    if image.type is not ImageType.BACKUP:
        raise action("Can only restore images of type BACKUP")
    if datastore.type is not DatastoreType.IMAGE_DS:
        raise action("Destination can be only an image datastore")
    driver = DATASTORES.get(call.tx, image.datastore_id).ds_mad
    if driver != "dummy":
        raise action(f"The datastore driver {driver} cannot restore backups here.")
    return "0 dummy_image"
