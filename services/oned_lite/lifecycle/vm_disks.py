"""The DISK attributes of a VM: what people write, completed from the image and its datastore."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.common.template import Template, Vector
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.datastore import DATASTORES, Datastore
from services.oned_lite.model.errors import internal
from services.oned_lite.model.image import DISK_TYPES, IMAGES, Image, ImageType
from services.oned_lite.model.objects import named
from services.oned_lite.model.snapshots import Snapshots
from services.oned_lite.model.user import USERS
from services.oned_lite.state import Reader, Transaction

from . import image_use

VOLATILE_TYPES = ("SWAP", "FS")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Disks:
    """A VM's disks, with the snapshots that come along with persistent images."""

    vectors: tuple[Vector, ...]
    snapshots: tuple[tuple[int, Snapshots], ...]


# ---------------------------------------------------------------------- finding the image
def image_of(reader: Reader, disk: Vector, uid: int) -> Image | None:
    """The image a disk names, None for a volatile disk. Raises INTERNAL where there is no such image."""
    if disk.get("IMAGE_ID"):
        oid = disk.get_int("IMAGE_ID", -1)
        image = reader.get(IMAGES.table, oid)
        if image is None:
            raise internal(f"Image with ID: {disk.get('IMAGE_ID')} does not exist")
        return image
    name = disk.get("IMAGE")
    if not name:
        return None
    owner = _owner(reader, disk, uid)
    key = named(reader, IMAGES, name, owner)
    image = None if key is None else reader.get(IMAGES.table, key)
    if image is None:
        raise internal(
            f"User {owner} does not own an image with name: {name} . Set IMAGE_UNAME or IMAGE_UID of owner in DISK."
        )
    return image


def _owner(reader: Reader, disk: Vector, uid: int) -> int:
    given = disk.get_int("IMAGE_UID")
    if given is not None:
        return given
    if not disk.get("IMAGE_UNAME"):
        return uid
    found = reader.find(USERS.table, "name", disk.get("IMAGE_UNAME"))
    if not found:
        raise internal("User set in IMAGE_UNAME does not exist")
    return int(str(found[0]))


# ---------------------------------------------------------------------- completing
def complete(tx: Transaction, conf: Configuration, disk: Vector, disk_id: int, vm_oid: int, uid: int) -> Disks:
    """One disk, its image taken for the VM. Raises INTERNAL."""
    image = image_of(tx, disk, uid)
    if image is None:
        return Disks((_volatile(conf, disk, disk_id),), ())
    if image.type not in DISK_TYPES:
        raise internal(f"Image {image.oid} ({image.name}) of type {image.type.name} cannot be used as DISK.")
    if image.persistent and disk.get("SIZE"):
        raise internal("DISK SIZE cannot be set for a persistent image")
    datastore = DATASTORES.get(tx, image.datastore_id)
    image = image_use.acquire(tx, image, vm_oid)
    vector = _from_image(conf, disk, disk_id, image, datastore)
    held = image.snapshots if image.persistent and image.snapshots is not None and image.snapshots.items else None
    return Disks((vector,), ((disk_id, held),) if held is not None else ())


def _volatile(conf: Configuration, disk: Vector, disk_id: int) -> Vector:
    kind = disk.get("TYPE").upper()
    if kind not in VOLATILE_TYPES:
        raise internal(f"Unknown disk type {kind}")
    if disk.get_int("SIZE", 0) <= 0:
        raise internal("SIZE attribute must be a positive integer value.")
    prefix = disk.get("DEV_PREFIX") or conf.template.get("DEFAULT_DEVICE_PREFIX", "sd")
    return disk.merged({"DISK_ID": str(disk_id), "DEV_PREFIX": _prefix(disk, prefix)})


def _prefix(disk: Vector, prefix: str) -> str:
    """A target that people chose tells the prefix."""
    return disk.get("TARGET")[:2] if disk.get("TARGET") and not disk.get("DEV_PREFIX") else prefix


def _from_image(conf: Configuration, disk: Vector, disk_id: int, image: Image, datastore: Datastore) -> Vector:
    cdrom = image.type is ImageType.CDROM
    default_prefix = image.template.get("DEV_PREFIX") or conf.template.get("DEFAULT_DEVICE_PREFIX", "sd")
    size = max(image.size, disk.get_int("SIZE", 0))
    fields = {
        "ALLOW_ORPHANS": datastore.template.get("ALLOW_ORPHANS", "NO"),
        "CLONE": "NO" if image.persistent or cdrom else "YES",
        "CLONE_TARGET": datastore.template.get("CLONE_TARGET", "SYSTEM"),
        "CLUSTER_ID": ",".join(map(str, datastore.cluster_ids)),
        "DATASTORE": datastore.name,
        "DATASTORE_ID": str(datastore.oid),
        "DEV_PREFIX": _prefix(disk, disk.get("DEV_PREFIX") or default_prefix),
        "DISK_ID": str(disk_id),
        "DISK_SNAPSHOT_TOTAL_SIZE": str(image.snapshots.total_size if image.snapshots and image.persistent else 0),
        "DISK_TYPE": image.disk_type.name if not cdrom else datastore.disk_type.name,
        "DRIVER": disk.get("DRIVER") or image.template.get("DRIVER") or image.format,
        "FORMAT": image.format,
        "IMAGE": image.name,
        "IMAGE_ID": str(image.oid),
        "IMAGE_STATE": str(image.state.value),
        "LN_TARGET": datastore.template.get("LN_TARGET", "NONE"),
        "ORIGINAL_SIZE": str(image.size),
        "READONLY": "YES" if cdrom else disk.get("READONLY") or "NO",
        "SAVE": "YES" if image.persistent else "NO",
        "SIZE": str(size),
        "SOURCE": image.source,
        "TM_MAD": datastore.tm_mad,
        "TYPE": "CDROM" if cdrom else datastore.disk_type.name,
    }
    if image.persistent:
        fields["PERSISTENT"] = "YES"
    return disk.merged({**_inherited(conf, image, datastore), **fields})


def from_image(reader: Reader, conf: Configuration, disk: Vector, disk_id: int, image: Image) -> Vector:
    """The disk as it would be in a VM; the image is not taken (one.template.info with `extended`)."""
    return _from_image(conf, disk, disk_id, image, DATASTORES.get(reader, image.datastore_id))


def _inherited(conf: Configuration, image: Image, datastore: Datastore) -> dict[str, str]:
    """Attributes that oned.conf hands on from images and datastores to disks."""
    found: dict[str, str] = {}
    for setting, template in (
        ("INHERIT_DATASTORE_ATTR", datastore.template),
        ("INHERIT_IMAGE_ATTR", image.template),
    ):
        for name in conf.inherited(setting):
            if template.get(name):
                found[name] = template.get(name)
    return found


def on_system_datastore(disk: Vector, datastore: Datastore) -> Vector:
    """A volatile disk takes its place from where the VM is deployed."""
    if disk.get("IMAGE_ID"):
        return disk
    drive = disk.get("FORMAT") or datastore.template.get("DRIVER") or "raw"
    return disk.merged(
        {
            "ALLOW_ORPHANS": datastore.template.get("ALLOW_ORPHANS", "NO"),
            "CLUSTER_ID": ",".join(map(str, datastore.cluster_ids)),
            "DATASTORE": datastore.name,
            "DATASTORE_ID": str(datastore.oid),
            "DISK_TYPE": datastore.disk_type.name,
            "DRIVER": disk.get("DRIVER") or drive,
            "FORMAT": drive,
            "TM_MAD": datastore.tm_mad,
        }
    )


# ---------------------------------------------------------------------- ids and targets
def next_disk_id(template: Template) -> int:
    """Above every disk's; the context's CD counts as one."""
    used = [disk.get_int("DISK_ID", -1) for disk in template.vectors("DISK")]
    used += [context.get_int("DISK_ID", -1) for context in template.vectors("CONTEXT")]
    return max(used, default=-1) + 1


def with_targets(disks: Iterable[Vector], is_os: frozenset[int] = frozenset()) -> tuple[Vector, ...]:
    """Gives every disk without TARGET the next free letter of its prefix: system disks (ids in `is_os`) first, then
    CD-ROMs, then the others. Raises INTERNAL where two ask for the same."""
    disks = list(disks)
    used: set[str] = set()
    for disk in disks:
        target = disk.get("TARGET")
        if target and target in used:
            raise internal(f"Two disks have defined the same target {target}")
        used.add(target)
    placed = dict(enumerate(disks))
    for number, disk in sorted(placed.items(), key=lambda item: _target_rank(item[1], is_os)):
        if not disk.get("TARGET"):
            target = free_target(disk.get("DEV_PREFIX"), used)
            used.add(target)
            placed[number] = disk.with_set("TARGET", target)
    return tuple(placed[number] for number in range(len(disks)))


def _target_rank(disk: Vector, is_os: frozenset[int]) -> int:
    if disk.get_int("DISK_ID", -1) in is_os:
        return 0
    return 1 if disk.get("TYPE") == "CDROM" else 2


def free_target(prefix: str, used: Iterable[str]) -> str:
    """`sda`, `sdb` … `sdz`, `sdaa` …"""
    taken = set(used)
    for number in range(26 * 27):
        high, low = divmod(number, 26)
        target = prefix + (_LETTERS[high - 1] if high else "") + _LETTERS[low]
        if target not in taken:
            return target
    raise internal("Not enough disk targets")


def os_disks(reader: Reader, disks: Iterable[Vector]) -> frozenset[int]:
    """Ids of the disks made from OS images: they get the first targets."""
    found = set()
    for disk in disks:
        oid = disk.get_int("IMAGE_ID")
        image = None if oid is None else reader.get(IMAGES.table, oid)
        if image is not None and image.type is ImageType.OS:
            found.add(disk.get_int("DISK_ID", -1))
    return frozenset(found)
