"""New images: from a template (one.image.allocate), as a copy, from a VM's disk, from a backup.

The functions raise `ImageFault` with oned's sentence; the caller knows which call failed and with what code.
"""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from services.common.template import Template
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.datastore import Datastore, DatastoreType
from services.oned_lite.model.image import (
    DISK_TYPES,
    FILE_TYPES,
    IMAGES,
    DiskType,
    Image,
    ImageState,
    ImageType,
    state_text,
)
from services.oned_lite.model.objects import Permissions, next_oid
from services.oned_lite.policy.names import name_fault, taken_by
from services.oned_lite.policy.quotas import check_and_add
from services.oned_lite.policy.secrets import sealed
from services.oned_lite.state import Transaction

from .image import CLONABLE, CLONE, COPY, MAKE, ImageFault, begin_clone, in_state, space, with_task

OWN_FIELDS = (
    "NAME",
    "TYPE",
    "PERSISTENT",
    "DEV_PREFIX",
    "PATH",
    "SOURCE",
    "SIZE",
    "FORMAT",
    "FS",
    "DRIVER",
    "DISK_TYPE",
)
"""What an image keeps in fields of its own and not in its template."""
EMPTY_FORMAT = "raw"
KNOWN_SIZES_MB = {"dummy": 1024}
"""What these drivers say of any PATH, known before they are asked."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who gets a new image, and what may be done with it."""

    uid: int
    gid: int
    uname: str
    gname: str
    permissions: Permissions


def type_of(template: Template, conf: Configuration) -> ImageType | None:
    """The type a template asks for, DEFAULT_IMAGE_TYPE where it does not say; None for an unknown one."""
    text = template.get("TYPE") or conf.template.get("DEFAULT_IMAGE_TYPE", "OS")
    return ImageType.__members__.get(text.upper())


def asked_size(template: Template, datastore: Datastore, conf: Configuration) -> int | None:
    """The SIZE in MB that a template states; None where its driver has to look at PATH. Raises ImageFault."""
    known = KNOWN_SIZES_MB.get(datastore.ds_mad)
    image_type = type_of(template, conf)
    if image_type is ImageType.CDROM or image_type in FILE_TYPES:
        if template.get("PATH"):
            return known
        if not template.get("SOURCE"):
            raise ImageFault(f"Either PATH or SOURCE are required for {template.get('TYPE')}")
    elif template.get("PATH"):
        return known
    size = template.get_int("SIZE")
    if size is None:
        raise ImageFault("Wrong number or missing SIZE attribute.")
    return size


def lacks_space(datastore: Datastore, size: int, conf: Configuration) -> bool:
    """Whether `size` MB are more than the datastore has or may use (LIMIT_MB), if that is to be checked at all."""
    checked = datastore.template.get_bool("DATASTORE_CAPACITY_CHECK")
    if checked is None:
        checked = conf.template.get_bool("DATASTORE_CAPACITY_CHECK", True)
    if not checked or datastore.type is DatastoreType.SYSTEM_DS:
        return False
    available = datastore.free_mb
    limit = datastore.template.get_int("LIMIT_MB")
    if limit:
        available = min(available, limit - datastore.used_mb)
    return size > available


def check_place(datastore: Datastore, image_type: ImageType | None) -> None:
    """Images, files and backups each have datastores of their own. Raises ImageFault."""
    if image_type is ImageType.BACKUP and datastore.type is not DatastoreType.BACKUP_DS:
        raise ImageFault("IMAGES of type BACKUP can only be registered in an BACKUP_DS datastore")
    if datastore.type not in (DatastoreType.IMAGE_DS, DatastoreType.FILE_DS):
        raise ImageFault("New images can only be allocated in a files or image datastore.")
    if datastore.type is DatastoreType.FILE_DS and image_type not in FILE_TYPES:
        raise ImageFault("Only IMAGES of type KERNEL, RAMDISK and CONTEXT can be registered in a FILE_DS datastore")
    if datastore.type is DatastoreType.IMAGE_DS and image_type in FILE_TYPES:
        raise ImageFault("IMAGES of type KERNEL, RAMDISK and CONTEXT cannot be registered in an IMAGE_DS datastore")


def check_name(tx: Transaction, name: str, uid: int) -> None:
    fault = name_fault(name) or taken_by(tx, IMAGES, name, uid)
    if fault is not None:
        raise ImageFault(fault)


# ---------------------------------------------------------------------- from a template
def create(
    tx: Transaction, owner: Owner, template: Template, datastore: Datastore, size: int | None, conf: Configuration
) -> Image:
    """A new image as its template asks: READY where it only names a SOURCE, else LOCKED until its driver has made it.

    `size` in MB, None where the driver will say.
    """
    image_type = type_of(template, conf)
    check_and_add(tx, owner, [space(datastore.oid, size or 0)])
    name = template.get("NAME")
    fault = name_fault(name)
    if fault is not None:
        raise ImageFault(fault)
    check_place(datastore, image_type)
    check_name(tx, name, owner.uid)
    if image_type is None:
        raise ImageFault("Unknown type ")
    source, path = template.get("SOURCE"), template.get("PATH")
    if source and path:
        raise ImageFault("PATH and SOURCE cannot be both set.")
    if source and not template.get("FORMAT"):
        raise ImageFault("SOURCE needs FORMAT to be set.")
    driver = "" if source or path else datastore.template.get("DRIVER")
    image = blank(tx, owner, name, image_type, datastore)
    image = replace(
        image,
        persistent=_is_persistent(template, image_type, datastore, conf),
        source=source,
        path=path,
        size=size or 0,
        format="" if path else template.get("FORMAT") or driver or EMPTY_FORMAT,
        fs=template.get("FS"),
        template=sealed(tx, conf, IMAGES.encrypted, _stored(template, image_type, conf)),
    )
    if driver:
        image = replace(image, template=image.template.with_set("DRIVER", driver))
    if source:
        return tx.put(IMAGES.table, in_state(image, ImageState.READY))
    return tx.put(IMAGES.table, with_task(image, ImageState.LOCKED, COPY if path else MAKE))


def blank(tx: Transaction, owner: Owner, name: str, image_type: ImageType, datastore: Datastore) -> Image:
    """A new image that is nothing yet but a name in a datastore; not stored."""
    return Image(
        oid=next_oid(tx, IMAGES),
        name=name,
        uid=owner.uid,
        gid=owner.gid,
        uname=owner.uname,
        gname=owner.gname,
        permissions=owner.permissions,
        type=image_type,
        disk_type=_disk_type(image_type, datastore),
        regtime=tx.now,
        datastore_id=datastore.oid,
        datastore=datastore.name,
    )


def _disk_type(image_type: ImageType, datastore: Datastore) -> DiskType:
    return datastore.disk_type if image_type in DISK_TYPES else DiskType.FILE


def _is_persistent(template: Template, image_type: ImageType, datastore: Datastore, conf: Configuration) -> bool:
    if image_type in FILE_TYPES:
        return False
    entry = next((one for one in conf.template.vectors("DS_MAD_CONF") if one.get("NAME") == datastore.ds_mad), None)
    if entry is not None and entry.get_bool("PERSISTENT_ONLY", False):
        return True
    default = conf.template.get_bool("DEFAULT_IMAGE_PERSISTENT_NEW", False)
    return template.get_bool("PERSISTENT", default)


def _stored(template: Template, image_type: ImageType, conf: Configuration) -> Template:
    """What stays in the template; an image that can be a disk always has a DEV_PREFIX."""
    kept = template.without(*OWN_FIELDS)
    if image_type not in DISK_TYPES:
        return kept
    default = "DEFAULT_CDROM_DEVICE_PREFIX" if image_type is ImageType.CDROM else "DEFAULT_DEVICE_PREFIX"
    return kept.with_set("DEV_PREFIX", template.get("DEV_PREFIX") or conf.template.get(default))


# ---------------------------------------------------------------------- as a copy
def copy(
    tx: Transaction, owner: Owner, source: Image, name: str, datastore: Datastore, *, persistent: bool | None = None
) -> Image:
    """A new image with the content of `source`, LOCKED until its driver has copied it."""
    check_and_add(tx, owner, [space(datastore.oid, source.size)])
    check_name(tx, name, owner.uid)
    if source.state not in CLONABLE:
        raise ImageFault(f"Cannot clone image in state: {state_text(source.state)}")
    image = blank(tx, owner, name, source.type, datastore)
    image = replace(
        image,
        persistent=source.persistent if persistent is None else persistent,
        path=source.source,
        size=source.size,
        format=source.format,
        fs=source.fs,
        template=source.template.without("ERROR", "FORCE_DELETE"),
        cloning_id=source.oid,
    )
    begin_clone(tx, source, image.oid)
    return tx.put(IMAGES.table, with_task(image, ImageState.LOCKED, CLONE))
