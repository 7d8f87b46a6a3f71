"""What a datastore's template must say, and what its drivers add to it (DS_MAD_CONF and TM_MAD_CONF of oned.conf).

Faults are plain sentences (`DatastoreFault`); the API says them in its own way.
"""

from __future__ import annotations

from msgspec.structs import replace

from services.common.template import Template, Vector

from .configuration import Configuration
from .datastore import NO_DRIVER, SYSTEM_DATASTORE, Datastore, DatastoreType
from .image import DiskType

SYSTEM_DISK_TYPES = frozenset({DiskType.FILE, DiskType.BLOCK, DiskType.RBD})
TARGETS = frozenset({"NONE", "SELF", "SYSTEM"})
DEFAULT_DIRS = (("RESTRICTED_DIRS", "/"), ("SAFE_DIRS", "/var/tmp"))


class DatastoreFault(Exception):
    """What is wrong with a template, as oned says it."""


def driver_conf(conf: Configuration, list_name: str, name: str) -> Vector | None:
    """The entry of a driver in a list such as TM_MAD_CONF."""
    return next((entry for entry in conf.template.vectors(list_name) if entry.get("NAME") == name), None)


def completed(row: Datastore, conf: Configuration) -> Datastore:
    """A new datastore, its fields and template worked out from the template it was given. Raises DatastoreFault."""
    given = row.template
    kind = DatastoreType.of(given.get("TYPE"))
    ds_mad = _new_ds_mad(given, kind, conf)
    tm_mad = given.get("TM_MAD")
    template = given.without("BASE_PATH")
    if kind is DatastoreType.BACKUP_DS:
        tm_mad = NO_DRIVER
        template = template.without("DISK_TYPE")
        return replace(row, type=kind, ds_mad=ds_mad, tm_mad=tm_mad, template=_with_dirs(template))
    if not tm_mad:
        raise DatastoreFault("No TM_MAD in template.")
    template = _with_transfer_attributes(template, kind, tm_mad, conf)
    disk_type, template = _disk_type(template, kind, DiskType.FILE, default="FILE")
    row = replace(row, type=kind, ds_mad=ds_mad, tm_mad=tm_mad, disk_type=disk_type)
    return replace(row, template=_with_dirs(template))


def updated(row: Datastore, template: Template, conf: Configuration) -> Datastore:
    """The datastore after its template was replaced by `template`. Raises DatastoreFault."""
    kind = _updated_type(row, template)
    template = template.with_set("TYPE", kind.name)
    row = _with_new_transfer(row, template, kind, conf)
    row = _with_new_storage(row, kind, conf)
    disk_type, template = _disk_type(row.template, kind, row.disk_type)
    return replace(row, type=kind, disk_type=disk_type, template=template)


def _updated_type(row: Datastore, template: Template) -> DatastoreType:
    """The system datastore stays one, and so does a backup datastore."""
    if row.oid == SYSTEM_DATASTORE or row.type is DatastoreType.BACKUP_DS or not template.get("TYPE"):
        return row.type
    return DatastoreType.of(template.get("TYPE"))


def _with_new_transfer(row: Datastore, template: Template, kind: DatastoreType, conf: Configuration) -> Datastore:
    tm_mad = template.get("TM_MAD")
    if not tm_mad or kind is DatastoreType.BACKUP_DS:
        return replace(row, template=template.with_set("TM_MAD", row.tm_mad))
    template = _with_transfer_attributes(template, kind, tm_mad, conf)
    if kind is DatastoreType.SYSTEM_DS and tm_mad != row.tm_mad:
        row = _unmonitored(row)
    return replace(row, tm_mad=tm_mad, template=template)


def _with_new_storage(row: Datastore, kind: DatastoreType, conf: Configuration) -> Datastore:
    if kind is DatastoreType.SYSTEM_DS:
        return replace(row, ds_mad=NO_DRIVER, template=row.template.without("DS_MAD"))
    ds_mad = row.template.get("DS_MAD")
    if not ds_mad:
        return replace(row, template=row.template.with_set("DS_MAD", row.ds_mad))
    _check_ds_mad(row.template, ds_mad, conf)
    return replace(_unmonitored(row) if ds_mad != row.ds_mad else row, ds_mad=ds_mad)


def _unmonitored(row: Datastore) -> Datastore:
    """Other drivers, other figures: the old ones no longer count."""
    return replace(row, total_mb=0, free_mb=0, used_mb=0)


def _new_ds_mad(given: Template, kind: DatastoreType, conf: Configuration) -> str:
    ds_mad = given.get("DS_MAD")
    if kind is DatastoreType.SYSTEM_DS:
        if ds_mad:
            raise DatastoreFault("SYSTEM datastores cannot have DS_MAD defined.")
        return NO_DRIVER
    if not ds_mad:
        raise DatastoreFault("No DS_MAD in template.")
    _check_ds_mad(given, ds_mad, conf)
    return ds_mad


def _check_ds_mad(template: Template, ds_mad: str, conf: Configuration) -> None:
    entry = driver_conf(conf, "DS_MAD_CONF", ds_mad)
    if entry is None:
        raise DatastoreFault(f'DS_MAD named "{ds_mad}" is not defined in oned.conf')
    for name in filter(None, (name.strip() for name in entry.get("REQUIRED_ATTRS").split(","))):
        if not template.get(name):
            raise DatastoreFault(f'Datastore template is missing the "{name}" attribute or it\'s empty.')


def _with_transfer_attributes(template: Template, kind: DatastoreType, tm_mad: str, conf: Configuration) -> Template:
    """What the transfer driver decides: where disks are linked and cloned to, orphan snapshots, sharing."""
    entry = driver_conf(conf, "TM_MAD_CONF", tm_mad)
    if entry is None:
        raise DatastoreFault(f'TM_MAD named "{tm_mad}" is not defined in oned.conf')
    if kind is DatastoreType.SYSTEM_DS:
        shared = "YES" if entry.get_bool("SHARED", False) else "NO"
        migrates = entry.get("DS_MIGRATE") or "NO"
        template = template.without("LN_TARGET", "CLONE_TARGET")
        template = template.with_set("SHARED", shared).with_set("DS_MIGRATE", migrates)
    else:
        template = _with_targets(template.without("SHARED", "DS_MIGRATE"), tm_mad, entry)
    return template.with_set("ALLOW_ORPHANS", entry.get("ALLOW_ORPHANS") or "NO")


def _with_targets(template: Template, tm_mad: str, entry: Vector) -> Template:
    modes = [mode.strip().upper() for mode in entry.get("TM_MAD_SYSTEM").split(",") if mode.strip()]
    for suffix in ("", *(f"_{mode}" for mode in modes)):
        for name in (f"LN_TARGET{suffix}", f"CLONE_TARGET{suffix}"):
            if entry.get(name).upper() not in TARGETS:
                raise DatastoreFault(f'Wrong {name} for TM_MAD "{tm_mad}" in oned.conf')
            template = template.with_set(name, entry.get(name).upper())
    for name in (*(f"DISK_TYPE_{mode}" for mode in modes), "TM_MAD_SYSTEM", "DRIVER"):
        if entry.get(name):
            template = template.with_set(name, entry.get(name))
    return template


def _disk_type(
    template: Template, kind: DatastoreType, present: DiskType, *, default: str = ""
) -> tuple[DiskType, Template]:
    """The type of the disks and the template with or without DISK_TYPE. File and backup datastores hold files."""
    text = template.get("DISK_TYPE") or default
    if kind in (DatastoreType.FILE_DS, DatastoreType.BACKUP_DS):
        return DiskType.FILE, template.without("DISK_TYPE")
    if not text:
        return present, template.without("DISK_TYPE")
    disk_type = DiskType.of(text)
    if disk_type is DiskType.NONE:
        raise DatastoreFault("Unknown DISK_TYPE in template.")
    if kind is DatastoreType.SYSTEM_DS and disk_type not in SYSTEM_DISK_TYPES:
        raise DatastoreFault("Invalid DISK_TYPE for a System Datastore.")
    return disk_type, template.with_set("DISK_TYPE", disk_type.name)


def _with_dirs(template: Template) -> Template:
    """Where images may be read from; a template that says nothing gets the cautious answer."""
    if template.get("SAFE_DIRS") or template.get("RESTRICTED_DIRS"):
        return template
    for name, value in DEFAULT_DIRS:
        template = template.with_set(name, value)
    return template
