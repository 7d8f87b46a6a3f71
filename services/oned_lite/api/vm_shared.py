"""What the methods of one.vm have in common: finding the VM, the right it takes, who asks."""

from __future__ import annotations

from dataclasses import replace

from services.oned_lite.lifecycle.vm_editor import Actor, VmEditor
from services.oned_lite.model.errors import action
from services.oned_lite.model.vm import VMS, Vm, current_record
from services.oned_lite.policy.authorization import Authorization
from services.oned_lite.policy.vm_operations import right_for

from .call import Call

REQUEST_IDS = 625
REQUEST_ID_STEP = 16


def authorization_for(call: Call, vm: Vm, word: str) -> Authorization:
    """Asks for the right that the operation lists give to `word` (not yet checked: callers may add to it)."""
    return call.authorize().need(right_for(call.tx, call.conf, call.caller, word), VMS, vm)


def fetch(call: Call, oid: int, word: str) -> Vm:
    """The VM, for an operation. Raises NO_EXISTS, then AUTHORIZATION."""
    vm = VMS.get(call.tx, oid)
    authorization_for(call, vm, word).check()
    return vm


def refuse_imported(call: Call, vm: Vm, name: str) -> None:
    """Imported VMs only do what oned.conf lists for their hypervisor (nothing by default)."""
    if vm.is_imported and name not in imported_actions(call):
        raise action(f'Action "{name}" is not supported for imported VMs')


def imported_actions(call: Call) -> frozenset[str]:
    for driver in call.conf.template.vectors("VM_MAD"):
        listed = driver.get("IMPORTED_VMS_ACTIONS")
        if listed:
            return frozenset(part.strip() for part in listed.split(","))
    return frozenset()


def actor(call: Call) -> Actor:
    """The caller, as history records show who asked."""
    number = int.from_bytes(call.tx.random(2), "big") % REQUEST_IDS
    return Actor(call.caller.uid, call.caller.gid, number * REQUEST_ID_STEP)


def owner_as_actor(call: Call, vm: Vm) -> Actor:
    """The VM's owner, whoever calls: what the history of a terminated VM tells."""
    return replace(actor(call), uid=vm.uid, gid=vm.gid)


def editor(call: Call, vm: Vm) -> VmEditor:
    return VmEditor(call.tx, vm, call.conf, call.caller.uid)


def driver_has(call: Call, vm: Vm, feature: str) -> bool:
    """Whether the VM's hypervisor driver says YES to a feature (KEEP_SNAPSHOTS, LIVE_RESIZE, COLD_NIC_ATTACH)."""
    record = current_record(call.tx, vm)
    mad = "" if record is None else record.vm_mad
    drivers = call.conf.template.vectors("VM_MAD")
    return any(driver.get("NAME") == mad and driver.get_bool(feature, False) for driver in drivers)
