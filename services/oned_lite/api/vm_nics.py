"""one.vm.attachnic, detachnic, updatenic, attachsg and detachsg: the network interfaces of a VM that is there."""

from __future__ import annotations

import re

from services.common.template import Template, Vector
from services.oned_lite.lifecycle import leases, security_groups, vm_nics, vm_operations, vm_quota
from services.oned_lite.lifecycle.vm_nics import ALIAS, NIC
from services.oned_lite.lifecycle.vm_requests import resting
from services.oned_lite.model.errors import ApiError, action, internal
from services.oned_lite.model.secgroup import SECGROUPS
from services.oned_lite.model.vm import VMS, Vm
from services.oned_lite.model.vm_states import LcmState, VmState
from services.oned_lite.policy.authorization import Right

from .call import Call
from .method import MethodTable
from .shared.allocation import parsed
from .vm_resources import deny_restricted, need_named
from .vm_shared import actor, authorization_for, editor, fetch, refuse_imported

METHODS = MethodTable("one.vm")
ATTACH, GROUPS = "nic-attach", "sg-attach"
MERGE = 1
_SETTING = re.compile(r"(IN|OUT)BOUND_(AVG_BW|PEAK_BW|PEAK_KB)")
"""What updatenic changes; the rest of what it is given is dropped without a word."""

STATES: dict[VmState | LcmState, LcmState] = {
    LcmState.RUNNING: LcmState.HOTPLUG_NIC,
    VmState.POWEROFF: LcmState.HOTPLUG_NIC_POWEROFF,
}


def _state_for(vm: Vm, refusal: str) -> LcmState:
    lcm = STATES.get(resting(vm))
    if lcm is None:
        raise action(f"{refusal}, wrong state {vm.state_text}.")
    return lcm


def _refuse_router(vm: Vm) -> None:
    if vm.template.get("VROUTER_ID"):
        raise action("Action is not supported for virtual router VMs")


# ---------------------------------------------------------------------- attach and detach
@METHODS.add("attachnic")
def attachnic(call: Call, oid: int, text: str) -> int:
    """The first NIC of the template, else its first NIC_ALIAS."""
    template = parsed(text)
    vm = VMS.get(call.tx, oid)
    authorization = authorization_for(call, vm, ATTACH)
    need_named(call, authorization, template)
    deny_restricted(call, authorization, template)
    authorization.check()
    refuse_imported(call, vm, ATTACH)
    _refuse_router(vm)
    attach(call, vm, template)
    return oid


def attach(call: Call, vm: Vm, template: Template) -> None:
    """The same once rights are checked. Raises ACTION."""
    _check_quota(call, vm, template)
    lcm = _state_for(vm, f"Could not add a new NIC to VM {vm.oid}")
    name = next((one for one in (NIC, ALIAS) if template.vector(one) is not None), None)
    if name is None:
        raise action("Wrong format or missing NIC/NIC_ALIAS/PCI attribute")
    nic_id = vm_nics.next_nic_id(vm.template)
    attached = _with_attached(call, vm, name, template.vectors(name)[0])
    e = editor(call, vm)
    e.set_template(vm_nics.with_context(call.tx, vm, security_groups.with_rules(call.tx, attached)))
    kind = "nic-attach" if name == NIC else "alias-attach"
    vm_operations.begin(e, lcm, kind, actor(call), NIC_ID=nic_id)


def _check_quota(call: Call, vm: Vm, template: Template) -> None:
    """Limits come before everything else that may be wrong."""
    for name in (NIC, ALIAS):
        for nic in template.vectors(name)[:1]:
            try:
                network = leases.network_of(call.tx, nic, vm.uid)
            except ApiError:
                continue
            wanted = vm.template.with_added(name, nic.with_set("NETWORK_ID", str(network.oid)))
            vm_quota.check_template(call.tx, vm, wanted, call.caller.uid)


def _with_attached(call: Call, vm: Vm, name: str, given: Vector) -> Template:
    if name == ALIAS and vm_nics.parent_of(vm.template, given) is None:
        raise action("Alias not found.")
    try:
        if name == ALIAS:
            return vm_nics.with_alias(call.tx, call.conf, vm, vm.template, given)
        nic = vm_nics.with_defaults(vm.template, given)
        return vm_nics.with_new(call.tx, call.conf, vm, vm.template, NIC, nic)
    except ApiError as error:
        raise action(error.message) from None


@METHODS.add("detachnic")
def detachnic(call: Call, oid: int, nic_id: int) -> int:
    """Takes its aliases with it."""
    vm = fetch(call, oid, ATTACH)
    refuse_imported(call, vm, "nic-detach")
    _refuse_router(vm)
    detach(call, vm, nic_id)
    return oid


def detach(call: Call, vm: Vm, nic_id: int) -> None:
    """The same once rights are checked. Raises ACTION."""
    lcm = _state_for(vm, f"Could not detach NIC from VM {vm.oid}")
    found = vm_nics.find(vm, nic_id)
    if found is None:
        raise action(f"Could not detach NIC with NIC_ID {nic_id}, it does not exist.")
    kind = "alias-detach" if found[0] == ALIAS else "nic-detach"
    vm_operations.begin(editor(call, vm), lcm, kind, actor(call), NIC_ID=nic_id)


# ---------------------------------------------------------------------- update
@METHODS.add("updatenic")
def updatenic(call: Call, oid: int, nic_id: int, text: str, append: int = 0) -> int:
    """Limits of traffic. A running VM's hypervisor is told, if anything changes."""
    template = parsed(text)
    vm = VMS.get(call.tx, oid)
    authorization = authorization_for(call, vm, ATTACH)
    deny_restricted(call, authorization, template)
    authorization.check()
    refuse_imported(call, vm, "nic-update")
    found = vm_nics.find(vm, nic_id)
    if found is None:
        raise action(f"VM {oid}: NIC {nic_id} does not exists")
    name, nic = found
    if name == ALIAS:
        raise action("Action not supported for NIC_ALIAS")
    given = template.vector(NIC)
    if given is None:
        raise action(f"Error updating NIC ({nic_id}) for VM {oid}: Wrong NIC definition, attribute is missing")
    changed = _updated(nic, given, merging=append == MERGE)
    e = editor(call, vm)
    e.set_template(vm_nics.with_changed(vm.template, name, changed))
    if resting(vm) is LcmState.RUNNING and dict(changed.pairs) != dict(nic.pairs):
        vm_operations.begin(e, LcmState.HOTPLUG_NIC, "nic-update", actor(call), NIC_ID=nic_id)
    return oid


def _updated(nic: Vector, given: Vector, *, merging: bool) -> Vector:
    wanted = Vector(tuple(pair for pair in given.pairs if _SETTING.fullmatch(pair[0])))
    if not merging:
        nic = nic.without(*(name for name, _ in nic if _SETTING.fullmatch(name)))
    return nic.merged(wanted)


# ---------------------------------------------------------------------- security groups
@METHODS.add("attachsg")
def attachsg(call: Call, oid: int, nic_id: int, sg_id: int) -> int:
    vm = VMS.get(call.tx, oid)
    group = call.tx.get(SECGROUPS.table, sg_id)
    authorization = authorization_for(call, vm, GROUPS)
    if group is not None:
        authorization.need(Right.USE, SECGROUPS, group)
    authorization.check()
    refuse_imported(call, vm, GROUPS)
    if group is None:
        raise action(f"Could not attach SG {sg_id} to VM, SG does not exist")
    found = vm_nics.find(vm, nic_id)
    if found is None:
        raise internal(f"VM {oid} doesn't have NIC id {nic_id}")
    name, nic = found
    groups = security_groups.ids_of(nic)
    if sg_id in groups:
        raise action(f"VM {oid} SG {sg_id} already in NIC {nic_id}")
    security_groups.enter(call.tx, sg_id, oid)
    _put_groups(call, vm, name, nic, [*groups, sg_id])
    return oid


@METHODS.add("detachsg")
def detachsg(call: Call, oid: int, nic_id: int, sg_id: int) -> int:
    vm = fetch(call, oid, GROUPS)
    refuse_imported(call, vm, "sg-detach")
    found = vm_nics.find(vm, nic_id)
    if found is None:
        raise action(f"VM {oid} doesn't have NIC id {nic_id}")
    name, nic = found
    groups = security_groups.ids_of(nic)
    if sg_id not in groups:
        raise action(f"VM {oid} NIC {nic_id} doesn't contain SG {sg_id}")
    template = _put_groups(call, vm, name, nic, [one for one in groups if one != sg_id])
    if sg_id not in security_groups.used_by(template):
        security_groups.leave(call.tx, sg_id, oid)
    return oid


def _put_groups(call: Call, vm: Vm, name: str, nic: Vector, groups: list[int]) -> Template:
    """The NIC's groups, and the rules that the VM then has."""
    changed = nic.with_set("SECURITY_GROUPS", security_groups.text_of(sorted(groups)))
    template = vm_nics.with_changed(vm.template, name, changed)
    template = security_groups.with_rules(call.tx, template)
    editor(call, vm).set_template(template)
    return template
