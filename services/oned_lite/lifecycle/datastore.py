"""How full the datastores are: one look at each when it is new and then every MONITORING_INTERVAL_DATASTORE seconds."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.datastore import DATASTORES, Datastore, DatastoreType
from services.oned_lite.state import Reader
from services.oned_lite.state.table import scan

from .work import Duty, Step, Timer, Work, WorkKey, WorkResult

MONITOR = "monitor"
DEADLINE_S = 60.0
INTERVAL_S = 300.0
MONITORED_TRANSFERS = frozenset({"shared", "ssh", "ceph", "fs_lvm", "fs_lvm_ssh", "qcow2", "vcenter"})
"""Transfer drivers that can say how full a system datastore is (-s of DATASTORE_MAD in oned.conf)."""


def is_monitored(row: Datastore) -> bool:
    """A system datastore that hosts do not share has no figures of its own: they come with the hosts'."""
    if row.type is DatastoreType.SYSTEM_DS:
        return row.is_shared and row.tm_mad in MONITORED_TRANSFERS
    return True


def required(_reader: Reader, row: Datastore, _conf: Configuration) -> Sequence[Work]:
    key = WorkKey(DATASTORES.table.name, row.oid, row.step, MONITOR)
    driver = "ds/fs" if row.type is DatastoreType.SYSTEM_DS else f"ds/{row.ds_mad}"
    arguments = (("ACTION", MONITOR), ("BASE_PATH", row.base_path))
    return (Work(key=key, driver=driver, arguments=arguments, timeout_s=DEADLINE_S),)


def finished(step: Step, work: Work, result: WorkResult) -> None:
    """A look that failed leaves the figures as they were."""
    row = step.tx.get(DATASTORES.table, work.key.oid)
    if row is None:
        return
    row = replace(row, monitoring=False, step=row.step + 1)
    if result.ok:
        total, free, used = (int(result.value(name, "0")) for name in ("TOTAL_MB", "FREE_MB", "USED_MB"))
        row = replace(row, total_mb=total, free_mb=free, used_mb=used)
    step.tx.put(DATASTORES.table, row)


def look_again(step: Step) -> None:
    """Asks for the figures of every datastore that has any."""
    for row in scan(step.tx, DATASTORES.table):
        if not row.monitoring and is_monitored(row):
            step.tx.put(DATASTORES.table, replace(row, monitoring=True))


DUTY = Duty(DATASTORES.table, required, finished)
TIMER = Timer("datastores", INTERVAL_S, look_again, attribute="MONITORING_INTERVAL_DATASTORE")
