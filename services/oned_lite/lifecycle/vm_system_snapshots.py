"""System snapshots of a VM (SNAPSHOT attributes): memory and disks as the hypervisor keeps them."""

from __future__ import annotations

from services.common.template import Template, Vector
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.vm import Vm
from services.oned_lite.model.vm_states import LcmState, VmState

from .vm_editor import VmEditor
from .vm_operations import OPERATIONS, Operation
from .work import WorkResult


def find(vm: Vm, snap_id: int) -> Vector | None:
    return next((one for one in vm.template.vectors("SNAPSHOT") if one.get_int("SNAPSHOT_ID") == snap_id), None)


def next_id(vm: Vm) -> int:
    return max((one.get_int("SNAPSHOT_ID", -1) for one in vm.template.vectors("SNAPSHOT")), default=-1) + 1


def with_new(vm: Vm, conf: Configuration, name: str, now: int) -> Template:
    """The template with a snapshot to be taken."""
    oid = next_id(vm)
    fields = {
        "SNAPSHOT_ID": str(oid),
        "NAME": name or f"snapshot-{oid}",
        "TIME": str(now),
        "SYSTEM_DISK_SIZE": str(snapshot_mb(vm.template, conf)),
    }
    return vm.template.with_added("SNAPSHOT", Vector.of(fields))


def snapshot_mb(template: Template, conf: Configuration) -> int:
    """What a snapshot is counted as: the memory, and the share of the disks that oned.conf says."""
    factor = conf.template.get_float("VM_SNAPSHOT_FACTOR", 0.0)
    disks = sum(disk.get_int("SIZE", 0) for disk in template.vectors("DISK"))
    return template.get_int("MEMORY", 0) + int(disks * factor)


def _taken(e: VmEditor, result: WorkResult) -> None:
    wanted = e.vm.operation.get("SNAPSHOT_ID")
    e.set_template(
        e.vm.template.with_set(
            "SNAPSHOT",
            *(
                one.with_set("HYPERVISOR_ID", result.value("HYPERVISOR_ID"))
                if one.get("SNAPSHOT_ID") == wanted
                else one
                for one in e.vm.template.vectors("SNAPSHOT")
            ),
        )
    )


def _gone(e: VmEditor, _result: WorkResult) -> None:
    wanted = e.vm.operation.get("SNAPSHOT_ID")
    kept = [one for one in e.vm.template.vectors("SNAPSHOT") if one.get("SNAPSHOT_ID") != wanted]
    e.set_template(e.vm.template.with_set("SNAPSHOT", *kept))


def back_to_poweroff(e: VmEditor, about: Vector) -> None:
    """Where a snapshot of a powered-off VM was deleted, oned leaves LCM_STATE at RUNNING; clients see that."""
    if about.get("FROM") == VmState.POWEROFF.name:
        e.put(state=VmState.POWEROFF, lcm_state=LcmState.RUNNING)


OPERATIONS.update(
    {
        "snapshot-create": Operation("vmm", "snapshot_create", succeed=_taken, fail=_gone),
        "snapshot-revert": Operation("vmm", "snapshot_revert"),
        "snapshot-delete": Operation("vmm", "snapshot_delete", succeed=_gone, then=back_to_poweroff),
    }
)
