"""The VM's duty: which driver must be working for it now, and what its answer means."""

from __future__ import annotations

import time
from collections.abc import Sequence

from services.common.template import Vector
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.datastore import DATASTORES, Datastore
from services.oned_lite.model.history import HISTORY, History
from services.oned_lite.model.image import IMAGES
from services.oned_lite.model.vm import VMS, Vm
from services.oned_lite.model.vm_states import LcmState
from services.oned_lite.state import Reader

from . import vm_backup, vm_disk_operations, vm_nic_operations, vm_reconfigure, vm_system_snapshots
from .vm_editor import VmEditor
from .vm_phases import action_of, phase_of
from .work import Duty, Step, Work, WorkKey, WorkResult

TRANSFER_TIMEOUT_S = 3600.0
ERROR_CHARS_MAX = 100
"""What USER_TEMPLATE/ERROR shows of a driver's text."""


def _required(reader: Reader, vm: Vm, _conf: Configuration) -> Sequence[Work]:
    record = reader.get(HISTORY, (vm.oid, vm.seq))
    if record is None:
        return ()
    previous = reader.get(HISTORY, (vm.oid, vm.seq - 1)) if vm.seq else None
    phase = phase_of(vm)
    action = action_of(vm, record, previous)
    if vm.lcm_state == LcmState.SAVE_MIGRATE and previous is not None:
        record = previous
    mad = record.tm_mad if phase.family == "tm" else record.vm_mad
    return (
        Work(
            key=WorkKey(VMS.table.name, vm.oid, vm.step, action),
            driver=f"{phase.family}/{mad}",
            arguments=_arguments(reader, vm, record, previous),
            timeout_s=TRANSFER_TIMEOUT_S,
        ),
    )


def _arguments(reader: Reader, vm: Vm, record: History, previous: History | None) -> tuple[tuple[str, str], ...]:
    """What any driver may want to know of the VM: its host, its folder, its disks, and the operation's parameters."""
    arguments = [
        ("VM_ID", str(vm.oid)),
        ("VM_NAME", vm.name),
        ("HOST", record.hostname),
        ("TM_MAD", record.tm_mad),
        ("DEPLOY_ID", vm.deploy_id),
        ("IMPORTED", "YES" if vm.is_imported else "NO"),
        ("FOLDER", folder(reader, record, vm.oid)),
    ]
    if previous is not None:
        arguments.append(("OLD_FOLDER", folder(reader, previous, vm.oid)))
    if vm.template.vector("CONTEXT") is not None:
        arguments.append(("CONTEXT", "YES"))
    for disk in vm.template.vectors("DISK"):
        arguments.extend(_disk_arguments(reader, disk))
    arguments.extend(vm.operation.pairs)
    return tuple(arguments)


def folder(reader: Reader, record: History, oid: int) -> str:
    """The VM's folder in its system datastore."""
    datastore = reader.get(DATASTORES.table, record.ds_id)
    return f"{datastore.base_path}/{oid}" if isinstance(datastore, Datastore) else ""


def _disk_arguments(reader: Reader, disk: Vector) -> list[tuple[str, str]]:
    """`DISK.0.SOURCE`, `DISK.0.SIZE` (MB), `DISK.0.CLONE` …; no source for a volatile disk."""
    prefix = f"DISK.{disk.get('DISK_ID')}"
    shown = [(f"{prefix}.SIZE", disk.get("SIZE"))]
    image_id = disk.get_int("IMAGE_ID")
    image = None if image_id is None else reader.get(IMAGES.table, image_id)
    if image is not None:
        shown += [
            (f"{prefix}.SOURCE", image.source),
            (f"{prefix}.CLONE", disk.get("CLONE")),
            (f"{prefix}.DS_TM_MAD", disk.get("TM_MAD")),
        ]
    return shown


def _finished(step: Step, work: Work, result: WorkResult) -> None:
    vm = step.tx.get(VMS.table, work.key.oid)
    if vm is None or vm.step != work.key.step or not vm.is_active:
        return
    e = VmEditor(step.tx, vm, step.conf)
    phase = phase_of(vm)
    if not result.ok:
        e.report_error(error_text(e.now, result.message))
    (phase.succeed if result.ok else phase.fail)(e, result)


def error_text(now: int, message: str) -> str:
    """`Sun Nov 22 15:29:06 2026: text`, cut where it is long."""
    stamp = time.asctime(time.gmtime(now))
    if len(message) > ERROR_CHARS_MAX:
        message = f"{message[:ERROR_CHARS_MAX]}... see more details in VM log"
    return f"{stamp}: {message}"


OPERATION_MODULES = (vm_backup, vm_disk_operations, vm_nic_operations, vm_reconfigure, vm_system_snapshots)
"""They enter their operations into `vm_operations.OPERATIONS` as they are imported."""

DUTY = Duty(VMS.table, _required, _finished)
