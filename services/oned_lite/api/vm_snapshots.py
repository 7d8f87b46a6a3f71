"""one.vm.snapshot*: system snapshots."""

from __future__ import annotations

from services.oned_lite.lifecycle import vm_operations, vm_system_snapshots
from services.oned_lite.model.errors import action
from services.oned_lite.model.vm import Vm
from services.oned_lite.model.vm_states import LcmState, VmState

from .call import Call
from .method import MethodTable
from .vm_shared import actor, driver_has, editor, fetch, refuse_imported

METHODS = MethodTable("one.vm")
NOTHING = -1
"""What a successful revert or delete answers; the field was never filled in."""


@METHODS.add("snapshotcreate")
def snapshotcreate(call: Call, oid: int, name: str) -> int:
    vm = fetch(call, oid, "snapshot")
    refuse_imported(call, vm, "snapshot-create")
    if not vm.in_lcm(LcmState.RUNNING):
        raise action(f"Could not create a new snapshot for VM {oid}, wrong state {vm.state_text}.")
    e = editor(call, vm)
    snap_id = vm_system_snapshots.next_id(vm)
    e.set_template(vm_system_snapshots.with_new(vm, call.conf, name, call.tx.now))
    vm_operations.begin(e, LcmState.HOTPLUG_SNAPSHOT, "snapshot-create", actor(call), SNAPSHOT_ID=snap_id)
    return snap_id


@METHODS.add("snapshotrevert")
def snapshotrevert(call: Call, oid: int, snap_id: int) -> int:
    vm = fetch(call, oid, "snapshot")
    refuse_imported(call, vm, "snapshot-revert")
    refusal = f"Could not revert VM {oid} to snapshot {snap_id}"
    if not vm.in_lcm(LcmState.RUNNING):
        raise action(f"{refusal}, wrong state {vm.state_text}.")
    _check_exists(vm, snap_id, refusal)
    _begin(call, vm, "snapshot-revert", snap_id)
    return NOTHING


@METHODS.add("snapshotdelete")
def snapshotdelete(call: Call, oid: int, snap_id: int) -> int:
    """Of a powered-off VM too, where the hypervisor keeps snapshots (KEEP_SNAPSHOTS of its driver)."""
    vm = fetch(call, oid, "snapshot")
    refuse_imported(call, vm, "snapshot-delete")
    refusal = f"Could not delete snapshot {snap_id} for VM {oid}"
    powered_off = vm.state == VmState.POWEROFF and driver_has(call, vm, "KEEP_SNAPSHOTS")
    if not (vm.in_lcm(LcmState.RUNNING) or powered_off):
        raise action(f"{refusal}, wrong state {vm.state_text}.")
    _check_exists(vm, snap_id, refusal)
    _begin(call, vm, "snapshot-delete", snap_id)
    return NOTHING


def _check_exists(vm: Vm, snap_id: int, refusal: str) -> None:
    if vm_system_snapshots.find(vm, snap_id) is None:
        raise action(f"{refusal}, it does not exist.")


def _begin(call: Call, vm: Vm, kind: str, snap_id: int) -> None:
    parameters: dict[str, object] = {"SNAPSHOT_ID": snap_id}
    if vm.state == VmState.POWEROFF:
        parameters["FROM"] = VmState.POWEROFF.name
    vm_operations.begin(editor(call, vm), LcmState.HOTPLUG_SNAPSHOT, kind, actor(call), **parameters)
