"""Bringing the rules of a security group to the VMs that use it.

A VM is in OUTDATED_VMS until its template has the new rules (`vm_updates` sees to that, a few at a time), then in
UPDATING_VMS while its hypervisor is told, if it runs, and in ERROR_VMS where that would not listen.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from services.oned_lite.model import vm_uses
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.secgroup import SECGROUPS, SecurityGroup
from services.oned_lite.model.vm import VMS, Vm, current_record
from services.oned_lite.model.vm_states import LcmState
from services.oned_lite.model.vm_uses import UseState
from services.oned_lite.state import Reader, Transaction

from .security_groups import with_rules
from .vm_editor import VmEditor
from .work import Duty, Step, Work, WorkKey, WorkResult

UPDATE = "update_sg"
DEADLINE_S = 60.0
UNFINISHED = frozenset({UseState.OUTDATED, UseState.UPDATING, UseState.ERROR})


def commit(tx: Transaction, row: SecurityGroup, *, everybody: bool) -> None:
    """Has the rules brought to all VMs that use the group, or to those that have not got them yet."""
    uses = vm_uses.of_object(tx, ObjectType.SECGROUP, row.oid)
    outdated = [use for use in uses if everybody or use.state in UNFINISHED]
    for use in outdated:
        _enter(tx, row.oid, use.vm_id, UseState.OUTDATED)
    if outdated:
        tx.put(SECGROUPS.table, replace(row, step=row.step + 1))


def bring(tx: Transaction, conf: Configuration, oid: int, vm: Vm) -> None:
    """Gives the rules to one VM that is outdated."""
    row = tx.get(SECGROUPS.table, oid)
    if row is None:
        vm_uses.leave(tx, ObjectType.SECGROUP, oid, vm.oid)
        return
    VmEditor(tx, vm, conf).set_template(with_rules(tx, vm.template))
    running = vm.in_lcm(LcmState.RUNNING, LcmState.UNKNOWN)
    _enter(tx, oid, vm.oid, UseState.UPDATING if running else UseState.UPDATED)
    if running and not row.telling:
        tx.put(SECGROUPS.table, replace(row, telling=True))


def _enter(tx: Transaction, oid: int, vm_id: int, state: UseState) -> None:
    vm_uses.enter(tx, ObjectType.SECGROUP, oid, vm_id, state)


# ---------------------------------------------------------------------- duty
def required(reader: Reader, row: SecurityGroup, _conf: Configuration) -> Sequence[Work]:
    return [_work(reader, row, vm_id) for vm_id in _updating(reader, row)]


def _updating(reader: Reader, row: SecurityGroup) -> list[int]:
    """A few at a time: see `vm_updates`."""
    uses = vm_uses.in_state(reader, UseState.UPDATING)
    return [use.vm_id for use in uses if (use.type, use.oid) == (ObjectType.SECGROUP, row.oid)]


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
