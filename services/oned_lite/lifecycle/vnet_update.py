"""What a change of a network or of one of its ranges means for the VMs on it.

A NIC has copies of what its network says. They follow, unless the VM has a value of its own there. A running VM's
hypervisor is told; any other VM keeps the old values in VNET_UPDATE for when it next meets its hypervisor.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from services.common.template import Template, Vector
from services.oned_lite.model import vm_uses
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.vm import VMS, Vm
from services.oned_lite.model.vm_states import HistoryAction, LcmState
from services.oned_lite.model.vm_uses import UseState
from services.oned_lite.model.vnet import VNETS, Vnet, VnetState
from services.oned_lite.state import Transaction

from . import leases, vm_operations
from .vm_editor import Actor, VmEditor
from .vm_operations import OPERATIONS, Operation
from .work import WorkResult

OWN = ("PHYDEV", "VLAN_ID", "OUTER_VLAN_ID")
OF_TEMPLATE = (
    "MTU",
    "QINQ_TYPE",
    "CVLANS",
    "VLAN_TAGGED_ID",
    "INBOUND_AVG_BW",
    "INBOUND_PEAK_BW",
    "INBOUND_PEAK_KB",
    "OUTBOUND_AVG_BW",
    "OUTBOUND_PEAK_BW",
    "OUTBOUND_PEAK_KB",
    "SPOOFCHK",
    "TRUST",
)
"""What follows a change of the network, together with its OWN. The rest stays with a NIC as it was when it came."""
NIC_NAMES = ("NIC", "NIC_ALIAS", "PCI")
REMEMBERED = "VNET_UPDATE"
KIND = "vnet-update"
UNREACHABLE = frozenset(
    {
        LcmState.MIGRATE,
        LcmState.HOTPLUG,
        LcmState.HOTPLUG_NIC,
        LcmState.HOTPLUG_NIC_POWEROFF,
        LcmState.HOTPLUG_SNAPSHOT,
        LcmState.HOTPLUG_SAVEAS,
        LcmState.HOTPLUG_RESIZE,
        LcmState.DISK_SNAPSHOT,
        LcmState.DISK_SNAPSHOT_DELETE,
        LcmState.DISK_RESIZE,
        LcmState.UNKNOWN,
        *(state for state in LcmState if state.name.startswith("BOOT")),
    }
)
"""Where a VM cannot be told: that is an error, until somebody asks for a retry."""


def network_changed(tx: Transaction, conf: Configuration, before: Vnet, after: Vnet) -> None:
    """Has the NICs of all VMs on the network brought up to date; `after` is stored already."""
    old = _old(before, after)
    uses = vm_uses.of_object(tx, ObjectType.NET, after.oid)
    if not old or not uses:
        return
    for use in uses:
        if use.state is UseState.OUTDATED:  # of an earlier change: first things first
            _bring_up(tx, conf, tx.get(VMS.table, use.vm_id), before)
        vm_uses.enter(tx, ObjectType.NET, after.oid, use.vm_id, UseState.OUTDATED)
    if after.state is VnetState.UPDATE_FAILURE:
        after = after.in_state(VnetState.READY)
    leases.save(tx, replace(after, old=old))


def _old(before: Vnet, after: Vnet) -> tuple[tuple[int, Vector], ...]:
    """What NICs were told before and are told otherwise now, by range."""
    found = []
    for one in after.ranges:
        was, now = (_said(row, one.ar_id) for row in (before, after))
        changed = Vector.of({name: value for name, value in was.items() if value != now[name]})
        if changed:
            found.append((one.ar_id, changed))
    return tuple(found)


def bring(tx: Transaction, conf: Configuration, oid: int, vm: Vm) -> None:
    """Brings one VM that is outdated up to date."""
    row = tx.get(VNETS.table, oid)
    if row is None:
        vm_uses.leave(tx, ObjectType.NET, oid, vm.oid)
    else:
        _bring_up(tx, conf, vm, row)


def _bring_up(tx: Transaction, conf: Configuration, vm: Vm | None, row: Vnet) -> None:
    if vm is None:
        return
    if vm.in_lcm(*UNREACHABLE):
        vm_uses.enter(tx, ObjectType.NET, row.oid, vm.oid, UseState.ERROR)
        return
    vm_uses.enter(tx, ObjectType.NET, row.oid, vm.oid)
    template, old = _followed(vm.template, row)
    if not old:
        return
    remembered = Vector.of(old).merged(vm.template.vector(REMEMBERED) or Vector())
    e = VmEditor(tx, vm, conf)
    e.set_template(template.with_set(REMEMBERED, remembered))
    if vm.in_lcm(LcmState.RUNNING):
        vm_uses.enter(tx, ObjectType.NET, row.oid, vm.oid, UseState.UPDATING)
        owner = Actor(uid=vm.uid, gid=vm.gid, request_id=0)
        vm_operations.begin(e, LcmState.HOTPLUG_NIC, KIND, owner, NETWORK_ID=row.oid)


def _followed(template: Template, row: Vnet) -> tuple[Template, dict[str, str]]:
    """The VM's template with its NICs following the network, and the old values of what has changed there."""
    old: dict[str, str] = {}
    for name in NIC_NAMES:
        nics = [_follow(nic, row, old) for nic in template.vectors(name)]
        template = template.with_set(name, *nics) if nics else template
    return template, old


def _follow(nic: Vector, row: Vnet, old: dict[str, str]) -> Vector:
    ar_id = nic.get_int("AR_ID", -1)
    was = next((changed for one, changed in row.old if one == ar_id), None)
    if was is None or nic.get_int("NETWORK_ID") != row.oid:
        return nic
    now = _said(row, ar_id)
    for name, value in was:
        old[name] = value
        if nic.get(name) == value:
            nic = nic.with_set(name, now[name]) if now[name] else nic.without(name)
    return nic


def _said(row: Vnet, ar_id: int) -> dict[str, str]:
    """What the network says of a NIC with an address of that range."""
    one = row.range_of(ar_id)
    attributes = Vector() if one is None else one.attributes
    said = dict(zip(OWN, (row.phydev, row.vlan_id, row.outer_vlan_id), strict=True))
    for name in OF_TEMPLATE:
        said[name] = attributes.get(name) or row.template.get(name)
    return said


# ---------------------------------------------------------------------- the hypervisor's answer
def _told(e: VmEditor, _result: WorkResult) -> None:
    e.set_template(e.vm.template.without(REMEMBERED))
    _enter(e, UseState.UPDATED)


def _not_told(e: VmEditor, _result: WorkResult) -> None:
    """The network shows which VM could not be told, until somebody retries."""
    _enter(e, UseState.ERROR)
    row = e.tx.get(VNETS.table, _network_id(e))
    if row is not None and row.state is VnetState.READY:
        leases.save(e.tx, row.in_state(VnetState.UPDATE_FAILURE))


def _enter(e: VmEditor, state: UseState) -> None:
    if _network_id(e) in _networks_of(e.vm.template):
        vm_uses.enter(e.tx, ObjectType.NET, _network_id(e), e.vm.oid, state)


def _network_id(e: VmEditor) -> int:
    return e.vm.operation.get_int("NETWORK_ID", -1)


def _networks_of(template: Template) -> Iterable[int | None]:
    return {nic.get_int("NETWORK_ID") for name in NIC_NAMES for nic in template.vectors(name)}


def retry(tx: Transaction, row: Vnet) -> None:
    """Tries again with the VMs that could not be told (one.vn.recover, operation 3)."""
    for use in vm_uses.of_object(tx, ObjectType.NET, row.oid):
        if use.state is UseState.ERROR:
            vm_uses.enter(tx, ObjectType.NET, row.oid, use.vm_id, UseState.OUTDATED)


OPERATIONS[KIND] = Operation("vmm", "update_nic", HistoryAction.NIC_UPDATE, succeed=_told, fail=_not_told)
