"""What a change of a network or of one of its ranges means for the VMs on it.

A NIC has copies of what its network says. They follow, unless the VM has a value of its own there. A running VM's
hypervisor is told; any other VM keeps the old values in VNET_UPDATE for when it next meets its hypervisor.
"""

from __future__ import annotations

from collections.abc import Iterable

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
from .leases import INHERITED
from .vm_editor import Actor, VmEditor
from .vm_operations import OPERATIONS, Operation
from .work import WorkResult

OWN = ("BRIDGE", "PHYDEV", "VLAN_ID", "OUTER_VLAN_ID")
NIC_NAMES = ("NIC", "NIC_ALIAS", "PCI")
REMEMBERED = "VNET_UPDATE"
KIND = "vnet-update"
DAEMON = Actor(uid=0, gid=0, request_id=0)
"""Who updates NICs, as history records show it, whoever changed the network."""


def network_changed(tx: Transaction, conf: Configuration, before: Vnet, after: Vnet) -> None:
    """Brings the NICs of all VMs on the network up to date; `after` is stored already."""
    for use in vm_uses.of_object(tx, ObjectType.NET, after.oid):
        vm = tx.get(VMS.table, use.vm_id)
        if vm is not None:
            _bring_up(tx, conf, vm, before, after)


def _bring_up(tx: Transaction, conf: Configuration, vm: Vm, before: Vnet, after: Vnet) -> None:
    template, old = _followed(conf, vm.template, before, after)
    if not old:
        return
    remembered = Vector.of(old).merged(vm.template.vector(REMEMBERED) or Vector())
    e = VmEditor(tx, vm, conf)
    e.set_template(template.with_set(REMEMBERED, remembered))
    if vm.in_lcm(LcmState.RUNNING):
        vm_uses.enter(tx, ObjectType.NET, after.oid, vm.oid, UseState.UPDATING)
        vm_operations.begin(e, LcmState.HOTPLUG_NIC, KIND, DAEMON, NETWORK_ID=after.oid)


def _followed(conf: Configuration, template: Template, before: Vnet, after: Vnet) -> tuple[Template, dict[str, str]]:
    """The VM's template with its NICs following the network, and the old values of what has changed there."""
    old: dict[str, str] = {}
    for name in NIC_NAMES:
        nics = [_follow(conf, nic, before, after, old) for nic in template.vectors(name)]
        template = template.with_set(name, *nics) if nics else template
    return template, old


def _follow(conf: Configuration, nic: Vector, before: Vnet, after: Vnet, old: dict[str, str]) -> Vector:
    if nic.get_int("NETWORK_ID") != after.oid:
        return nic
    was, now = (_said(conf, row, nic.get_int("AR_ID", -1)) for row in (before, after))
    for name, value in now.items():
        if was[name] == value:
            continue
        old[name] = was[name]
        if nic.get(name) == was[name]:
            nic = nic.with_set(name, value) if value else nic.without(name)
    return nic


def _said(conf: Configuration, row: Vnet, ar_id: int) -> dict[str, str]:
    """What the network says of a NIC with an address of that range."""
    one = row.range_of(ar_id)
    attributes = Vector() if one is None else one.attributes
    said = dict(zip(OWN, (row.bridge, row.phydev, row.vlan_id, row.outer_vlan_id), strict=True))
    for name in conf.inherited(INHERITED):
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


def retry(tx: Transaction, conf: Configuration, row: Vnet) -> None:
    """Tells the running VMs again that could not be told (one.vn.recover, operation 3)."""
    for use in vm_uses.of_object(tx, ObjectType.NET, row.oid):
        vm = tx.get(VMS.table, use.vm_id)
        if use.state is not UseState.ERROR or vm is None:
            continue
        if vm.in_lcm(LcmState.RUNNING):
            vm_uses.enter(tx, ObjectType.NET, row.oid, vm.oid, UseState.UPDATING)
            e = VmEditor(tx, vm, conf)
            vm_operations.begin(e, LcmState.HOTPLUG_NIC, KIND, DAEMON, NETWORK_ID=row.oid)
        else:
            vm_uses.enter(tx, ObjectType.NET, row.oid, vm.oid)


OPERATIONS[KIND] = Operation("vmm", "update_nic", HistoryAction.NIC_UPDATE, succeed=_told, fail=_not_told)
