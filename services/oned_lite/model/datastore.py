"""Datastores: where images rest, and where the disks of running VMs lie."""

from __future__ import annotations

from enum import IntEnum

from services.oned_lite.state import Reader

from .cluster import MEMBERS
from .image import IMAGES, DiskType
from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .xml import element, id_list, template_element, text_element

SYSTEM_DATASTORE, DEFAULT_DATASTORE, FILES_DATASTORE = 0, 1, 2
NO_DRIVER = "-"
"""DS_MAD of system datastores, TM_MAD of backup datastores."""


class DatastoreType(IntEnum):
    IMAGE_DS = 0
    SYSTEM_DS = 1
    FILE_DS = 2
    BACKUP_DS = 3

    @staticmethod
    def of(text: str) -> DatastoreType:
        """A text that names no type means images."""
        return DatastoreType.__members__.get(text.upper(), DatastoreType.IMAGE_DS)


class Datastore(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """`total_mb`, `free_mb`, `used_mb` are what monitoring last found. `monitoring` asks for a new look, `step` counts
    them."""

    ds_mad: str
    tm_mad: str
    base_path: str
    type: DatastoreType
    disk_type: DiskType = DiskType.FILE
    enabled: bool = True
    cluster_ids: tuple[int, ...] = ()
    total_mb: int = 0
    free_mb: int = 0
    used_mb: int = 0
    monitoring: bool = False
    step: int = 0

    @property
    def is_shared(self) -> bool:
        """All hosts see the same files."""
        return self.template.get_bool("SHARED", False)


def image_ids(reader: Reader, oid: int) -> list[int]:
    """Ids of the images in a datastore."""
    return [key for key in reader.find(IMAGES.table, "datastore", oid) if isinstance(key, int)]


def render(reader: Reader, row: Datastore) -> str:
    """`<DATASTORE>`, the same in info and pools."""
    return (
        f"<DATASTORE>{row.owner_xml()}{row.permissions.to_xml()}"
        f"{text_element('DS_MAD', row.ds_mad)}{text_element('TM_MAD', row.tm_mad)}"
        f"{text_element('BASE_PATH', row.base_path)}{element('TYPE', row.type.value)}"
        f"{element('DISK_TYPE', row.disk_type.value)}{element('STATE', 0 if row.enabled else 1)}"
        f"{id_list('CLUSTERS', row.cluster_ids)}{element('TOTAL_MB', row.total_mb)}"
        f"{element('FREE_MB', row.free_mb)}{element('USED_MB', row.used_mb)}"
        f"{id_list('IMAGES', image_ids(reader, row.oid))}{template_element(row.template)}</DATASTORE>"
    )


DATASTORES = Kind(
    type=ObjectType.DATASTORE,
    title="datastore",
    table=kind_table(
        "datastore_pool",
        Datastore,
        NameScope.POOL,
        cluster=lambda row: row.cluster_ids,
        type=lambda row: (row.type,),
        work=lambda row: (True,) if row.monitoring else (),
    ),
    prefix="one.datastore",
    root="DATASTORE",
    pool_root="DATASTORE_POOL",
    name_scope=NameScope.POOL,
    render=render,
    encrypted="DATASTORE_ENCRYPTED_ATTR",
    first_oid=100,
    cluster_ids=lambda _reader, row: row.cluster_ids,
)

MEMBERS["DATASTORES"] = DATASTORES.table
