"""Images: what disks, kernels and backups are made of."""

from __future__ import annotations

from enum import IntEnum

import msgspec

from services.oned_lite.state import Reader

from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .snapshots import Snapshots
from .xml import element, id_list, template_element, text_element


class ImageState(IntEnum):
    INIT = 0
    READY = 1
    USED = 2
    DISABLED = 3
    LOCKED = 4
    ERROR = 5
    CLONE = 6
    DELETE = 7
    USED_PERS = 8
    LOCKED_USED = 9
    LOCKED_USED_PERS = 10


STATE_TEXT = {
    ImageState.USED_PERS: "USED",
    ImageState.LOCKED_USED_PERS: "LOCKED_USED",
}
"""States whose name in messages differs from their own."""


def state_text(state: ImageState) -> str:
    return STATE_TEXT.get(state, state.name)


class ImageType(IntEnum):
    OS = 0
    CDROM = 1
    DATABLOCK = 2
    KERNEL = 3
    RAMDISK = 4
    CONTEXT = 5
    BACKUP = 6


FILE_TYPES = frozenset({ImageType.KERNEL, ImageType.RAMDISK, ImageType.CONTEXT})
"""Types that live in file datastores."""
DISK_TYPES = frozenset({ImageType.OS, ImageType.CDROM, ImageType.DATABLOCK})
"""Types that a VM can have as a disk."""


class DiskType(IntEnum):
    """How a hypervisor sees a disk."""

    FILE = 0
    CDROM = 1
    BLOCK = 2
    RBD = 3
    RBD_CDROM = 4
    GLUSTER = 5
    GLUSTER_CDROM = 6
    SHEEPDOG = 7
    SHEEPDOG_CDROM = 8
    ISCSI = 9
    NONE = 255

    @staticmethod
    def of(text: str) -> DiskType:
        """NONE for a text that names no type."""
        return DiskType.__members__.get(text.upper(), DiskType.NONE)


class Increment(msgspec.Struct, frozen=True, array_like=True):
    """One link in a chain of incremental backups; `type` FULL or INCREMENT, `size` in MB, `date` in epoch seconds."""

    oid: int
    type: str
    date: int
    size: int
    source: str
    parent: int = -1

    def to_xml(self) -> str:
        parts = [
            ("DATE", self.date),
            ("ID", self.oid),
            *([("PARENT_ID", self.parent)] if self.oid else []),
            ("SIZE", self.size),
            ("SOURCE", self.source),
            ("TYPE", self.type),
        ]
        return "<INCREMENT>" + "".join(text_element(tag, str(value)) for tag, value in parts) + "</INCREMENT>"


class Image(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """`size` in MB, `regtime` in epoch seconds. `running_vms` counts uses (a VM may use one image twice).

    `cloning_id` is the image (or, negative, the app: -id - 2) that this one is being copied from, -1 for none; the
    copied one counts its copies in `cloning_ops` and names them. `task` is what a driver has to do for it now (see
    lifecycle.image), "" for nothing; `step` grows with every change of state or task.
    """

    type: ImageType
    disk_type: DiskType = DiskType.FILE
    persistent: bool = False
    regtime: int
    source: str = ""
    path: str = ""
    format: str = ""
    fs: str = ""
    size: int = 0
    state: ImageState = ImageState.INIT
    prev_state: ImageState = ImageState.INIT
    running_vms: int = 0
    cloning_ops: int = 0
    cloning_id: int = -1
    target_snapshot: int = -1
    datastore_id: int
    datastore: str
    vm_ids: tuple[int, ...] = ()
    clone_ids: tuple[int, ...] = ()
    app_clone_ids: tuple[int, ...] = ()
    snapshots: Snapshots | None = Snapshots()
    increments: tuple[Increment, ...] = ()
    task: str = ""
    step: int = 0


def render(_reader: Reader, row: Image) -> str:
    """`<IMAGE>`, the same in info and pools."""
    snapshots = "<SNAPSHOTS></SNAPSHOTS>" if row.snapshots is None else row.snapshots.to_xml()
    increments = "".join(increment.to_xml() for increment in row.increments)
    return (
        f"<IMAGE>{row.owner_xml()}{row.lock_xml()}{row.permissions.to_xml()}"
        f"{element('TYPE', row.type.value)}{element('DISK_TYPE', row.disk_type.value)}"
        f"{element('PERSISTENT', int(row.persistent))}{element('REGTIME', row.regtime)}"
        f"{text_element('SOURCE', row.source)}{text_element('PATH', row.path)}{text_element('FORMAT', row.format)}"
        f"{text_element('FS', row.fs)}{element('SIZE', row.size)}{element('STATE', row.state.value)}"
        f"{element('PREV_STATE', row.prev_state.value)}{element('RUNNING_VMS', row.running_vms)}"
        f"{element('CLONING_OPS', row.cloning_ops)}{element('CLONING_ID', row.cloning_id)}"
        f"{element('TARGET_SNAPSHOT', row.target_snapshot)}{element('DATASTORE_ID', row.datastore_id)}"
        f"{element('DATASTORE', row.datastore)}{id_list('VMS', row.vm_ids)}{id_list('CLONES', row.clone_ids)}"
        f"{id_list('APP_CLONES', row.app_clone_ids)}{template_element(row.template)}{snapshots}"
        f"<BACKUP_INCREMENTS>{increments}</BACKUP_INCREMENTS></IMAGE>"
    )


IMAGES = Kind(
    type=ObjectType.IMAGE,
    title="image",
    table=kind_table(
        "image_pool",
        Image,
        NameScope.OWNER,
        datastore=lambda row: (row.datastore_id,),
        work=lambda row: (True,) if row.task else (),
    ),
    prefix="one.image",
    root="IMAGE",
    pool_root="IMAGE_POOL",
    name_scope=NameScope.OWNER,
    render=render,
    encrypted="IMAGE_ENCRYPTED_ATTR",
)
