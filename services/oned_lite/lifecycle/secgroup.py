"""Bringing the rules of a security group to the VMs that use it.

Their templates get the new rules at once. The hypervisors of running VMs are told one after the other: until then a VM
is in UPDATING_VMS, and in ERROR_VMS where its hypervisor would not listen.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from services.oned_lite.model import vm_uses
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.secgroup import SECGROUPS, SecurityGroup
from services.oned_lite.model.vm import VMS, current_record
from services.oned_lite.model.vm_states import LcmState
from services.oned_lite.model.vm_uses import UseState
from services.oned_lite.state import Reader, Transaction

from .security_groups import with_rules
from .vm_editor import VmEditor
from .work import Duty, Step, Work, WorkKey, WorkResult

UPDATE = "update_sg"
AT_A_TIME = 8
DEADLINE_S = 60.0
UNFINISHED = frozenset({UseState.OUTDATED, UseState.UPDATING, UseState.ERROR})


def commit(tx: Transaction, conf: Configuration, row: SecurityGroup, *, everybody: bool) -> None:
    """Gives the rules to all VMs that use the group, or to those that have not got them yet."""
    telling = False
    for use in vm_uses.of_object(tx, ObjectType.SECGROUP, row.oid):
        vm = tx.get(VMS.table, use.vm_id)
        if vm is None or not (everybody or use.state in UNFINISHED):
            continue
        VmEditor(tx, vm, conf).set_template(with_rules(tx, vm.template))
        running = vm.in_lcm(LcmState.RUNNING, LcmState.UNKNOWN)
        telling = telling or running
        _enter(tx, row.oid, vm.oid, UseState.UPDATING if running else UseState.UPDATED)
    if telling:
        tx.put(SECGROUPS.table, replace(row, telling=True, step=row.step + 1))


def _enter(tx: Transaction, oid: int, vm_id: int, state: UseState) -> None:
    vm_uses.enter(tx, ObjectType.SECGROUP, oid, vm_id, state)


# ---------------------------------------------------------------------- duty
def required(reader: Reader, row: SecurityGroup, _conf: Configuration) -> Sequence[Work]:
    """A few VMs at a time."""
    return [_work(reader, row, vm_id) for vm_id in _updating(reader, row)[:AT_A_TIME]]


def _updating(reader: Reader, row: SecurityGroup) -> list[int]:
    uses = vm_uses.of_object(reader, ObjectType.SECGROUP, row.oid)
    return [use.vm_id for use in uses if use.state is UseState.UPDATING]


def _work(reader: Reader, row: SecurityGroup, vm_id: int) -> Work:
    vm = reader.get(VMS.table, vm_id)
    record = None if vm is None else current_record(reader, vm)
    arguments = (("VM_ID", str(vm_id)), ("HOST", "" if record is None else record.hostname))
    return Work(
        key=WorkKey(SECGROUPS.table.name, row.oid, row.step, f"{UPDATE} {vm_id}"),
        driver=f"vmm/{'dummy' if record is None else record.vm_mad}",
        arguments=arguments,
        timeout_s=DEADLINE_S,
    )


def finished(step: Step, work: Work, result: WorkResult) -> None:
    """A VM that has left the group meanwhile stays out."""
    row = step.tx.get(SECGROUPS.table, work.key.oid)
    if row is None or row.step != work.key.step:
        return
    vm_id = int(work.argument("VM_ID"))
    waiting = _updating(step.tx, row)
    if vm_id in waiting:
        _enter(step.tx, row.oid, vm_id, UseState.UPDATED if result.ok else UseState.ERROR)
    if not {*waiting} - {vm_id}:
        step.tx.put(SECGROUPS.table, replace(row, telling=False))


DUTY = Duty(SECGROUPS.table, required, finished)
