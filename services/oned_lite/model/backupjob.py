"""Backup jobs: VMs that are backed up together, with how and where."""

from __future__ import annotations

from services.oned_lite.state import Reader

from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .scheduled_action import BACKUPJOB_PARENT, of_parent
from .xml import element, id_list

DEFAULT_PRIORITY = 50
PRIORITIES = range(100)
SEQUENTIAL, PARALLEL = "SEQUENTIAL", "PARALLEL"


class BackupJob(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """During a run its VMs move from `outdated` over `backing_up` to `updated` or `errors`. Times in seconds."""

    priority: int = DEFAULT_PRIORITY
    last_backup_time: int = 0
    last_backup_duration: int = 0
    updated: tuple[int, ...] = ()
    outdated: tuple[int, ...] = ()
    backing_up: tuple[int, ...] = ()
    errors: tuple[int, ...] = ()

    @property
    def vm_ids(self) -> tuple[int, ...]:
        """The VMs it is for (BACKUP_VMS)."""
        return tuple(int(oid) for oid in self.template.get("BACKUP_VMS").split(",") if oid)

    @property
    def is_running(self) -> bool:
        return bool(self.outdated or self.backing_up)


def _xml(reader: Reader, row: BackupJob, *, with_schedule: bool) -> str:
    schedule = of_parent(reader, BACKUPJOB_PARENT, row.oid)
    shown = "".join(one.to_xml() for one in schedule) if with_schedule else ""
    template = row.template.to_xml().removesuffix("</TEMPLATE>") + shown + "</TEMPLATE>"
    return (
        f"<BACKUPJOB>{row.owner_xml()}{row.lock_xml()}{row.permissions.to_xml()}{element('PRIORITY', row.priority)}"
        f"{element('LAST_BACKUP_TIME', row.last_backup_time)}"
        f"{element('LAST_BACKUP_DURATION', row.last_backup_duration)}"
        f"{id_list('SCHED_ACTIONS', (one.oid for one in schedule))}{id_list('UPDATED_VMS', row.updated)}"
        f"{id_list('OUTDATED_VMS', row.outdated)}{id_list('BACKING_UP_VMS', row.backing_up)}"
        f"{id_list('ERROR_VMS', row.errors)}{template}</BACKUPJOB>"
    )


def render(reader: Reader, row: BackupJob) -> str:
    """`<BACKUPJOB>` as pools show it."""
    return _xml(reader, row, with_schedule=False)


def render_info(reader: Reader, row: BackupJob) -> str:
    """`<BACKUPJOB>` with its scheduled actions."""
    return _xml(reader, row, with_schedule=True)


BACKUPJOBS = Kind(
    type=ObjectType.BACKUPJOB,
    title="-",
    table=kind_table(
        "backupjob_pool", BackupJob, NameScope.OWNER, running=lambda row: (True,) if row.is_running else ()
    ),
    prefix="one.backupjob",
    root="BACKUPJOB",
    pool_root="BACKUPJOB_POOL",
    name_scope=NameScope.OWNER,
    render=render,
    render_info=render_info,
)
