"""What a VM counts in its owner's quotas, as a function of its row: capacity, disks, leases and image uses.

Every change of a VM settles the difference between before and after, so what is counted is always what the VMs say.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from services.common.template import Template, Vector
from services.oned_lite.model.quota import DATASTORE_QUOTA, IMAGE_QUOTA, NETWORK_QUOTA, NO_ID, VM_QUOTA, Family
from services.oned_lite.model.vm import Vm
from services.oned_lite.model.vm_states import VmState
from services.oned_lite.policy import quotas
from services.oned_lite.policy.quotas import Charge, Owned, QuotaExceeded
from services.oned_lite.state import Reader, Transaction

NOT_RUNNING = frozenset({VmState.STOPPED, VmState.SUSPENDED, VmState.POWEROFF, VmState.UNDEPLOYED})
Sums = dict[tuple[str, int], tuple[Family, dict[str, float]]]


def charges(vm: Vm) -> list[Charge]:
    """What the VM counts for its owner; nothing once it is done."""
    if vm.state == VmState.DONE:
        return []
    capacity = _capacity(vm.template, running=vm.state not in NOT_RUNNING)
    return _summed([capacity, *_disk_charges(vm.template), *_nic_charges(vm.template)])


def settle(tx: Transaction, before: Vm, after: Vm, caller_uid: int | None = None) -> None:
    """Counts the change of a VM that stays with its owner. Where somebody asked for the change (`caller_uid`), what grows
    must be within the limits: raises QuotaExceeded."""
    difference = _difference(before, after)
    if caller_uid is None:
        quotas.add(tx, after, difference)
    else:
        quotas.check_and_add(tx, after, difference, caller_uid=caller_uid)


def _difference(before: Vm, after: Vm) -> list[Charge]:
    if before.state == after.state and before.template is after.template:
        return []
    return _summed([*charges(after), *(charge.times(-1) for charge in charges(before))])


def check_template(tx: Reader, vm: Vm, template: Template, caller_uid: int) -> None:
    """Asks whether the VM could have that template, and counts nothing: for what a driver will bring about later. Raises
    QuotaExceeded."""
    quotas.check(tx, vm, _difference(vm, replace(vm, template=template)), caller_uid=caller_uid)


def check_new(tx: Reader, owner: Owned, template: Template, caller_uid: int) -> None:
    """Asks for the capacity of a VM to be, before anything else is looked at, and counts nothing. Who has quotas must say
    how much memory and CPU he wants. Raises QuotaExceeded."""
    counted = quotas.counted(tx, owner)
    if not counted:
        return
    side = f"{counted[0][0]} [{counted[0][1]}]"
    if template.get_int("MEMORY", -1) < 0:
        raise QuotaExceeded(caller_uid, f"{side} MEMORY attribute must be a positive integer value")
    if template.get_float("CPU", -1.0) < 0:
        raise QuotaExceeded(caller_uid, f"{side} CPU attribute must be a positive float or integer value")
    quotas.check(tx, owner, [_capacity(template, running=True)], caller_uid=caller_uid)


def _capacity(template: Template, *, running: bool) -> Charge:
    cpu, memory = template.get_float("CPU", 0.0), template.get_int("MEMORY", 0)
    amounts: dict[str, float] = {"VMS": 1, "CPU": cpu, "MEMORY": memory}
    if running:
        amounts |= {"RUNNING_VMS": 1, "RUNNING_CPU": cpu, "RUNNING_MEMORY": memory}
    return Charge(VM_QUOTA, NO_ID, amounts)


def _disk_charges(template: Template) -> Iterator[Charge]:
    for disk in template.vectors("DISK"):
        oid = disk.get_int("IMAGE_ID")
        if oid is not None:
            yield Charge(IMAGE_QUOTA, oid, {"RVMS": 1})
        yield from _space(disk, is_volatile=oid is None)


def _space(disk: Vector, *, is_volatile: bool) -> Iterator[Charge]:
    """Copies and volatile disks lie where their target says. Where an image itself is used, it counts for itself: the VM
    only counts how far it has grown."""
    size = disk.get_int("SIZE", 0)
    with_snapshots = size + disk.get_int("DISK_SNAPSHOT_TOTAL_SIZE", 0)
    target = disk.get("CLONE_TARGET") if disk.get_bool("CLONE", False) else disk.get("LN_TARGET")
    if is_volatile or target == "SYSTEM":
        yield Charge(VM_QUOTA, NO_ID, {"SYSTEM_DISK_SIZE": with_snapshots})
    elif target == "SELF":
        yield Charge(DATASTORE_QUOTA, disk.get_int("DATASTORE_ID", 0), {"SIZE": with_snapshots})
    else:
        growth = size - disk.get_int("ORIGINAL_SIZE", size)
        yield Charge(DATASTORE_QUOTA, disk.get_int("DATASTORE_ID", 0), {"SIZE": max(0, growth)})


def _nic_charges(template: Template) -> Iterator[Charge]:
    for nic in (*template.vectors("NIC"), *template.vectors("NIC_ALIAS")):
        oid = nic.get_int("NETWORK_ID")
        if oid is not None:
            yield Charge(NETWORK_QUOTA, oid, {"LEASES": 1})


def _summed(parts: list[Charge]) -> list[Charge]:
    """One charge for each object, without amounts of nothing."""
    sums: Sums = {}
    for charge in parts:
        _, amounts = sums.setdefault((charge.family.name, charge.oid), (charge.family, {}))
        for metric, value in charge.amounts.items():
            amounts[metric] = amounts.get(metric, 0) + value
    found = (
        Charge(family, oid, {metric: value for metric, value in amounts.items() if value})
        for (_, oid), (family, amounts) in sums.items()
    )
    return [charge for charge in found if charge.amounts]
