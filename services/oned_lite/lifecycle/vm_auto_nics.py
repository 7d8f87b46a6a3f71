"""NICs with NETWORK_MODE=auto: their network is chosen when the VM is placed, by the scheduler or by who deploys it."""

from __future__ import annotations

from collections.abc import Mapping

from services.common.template import Vector
from services.oned_lite.model.errors import action
from services.oned_lite.model.vm import Vm
from services.oned_lite.model.vnet import Vnet

from . import requirements, security_groups, vm_nics
from .vm_context import is_waiting
from .vm_editor import VmEditor


def waiting(vm: Vm) -> list[Vector]:
    """The NICs and aliases that have no network yet."""
    return [nic for nic in vm_nics.all_of(vm.template) if is_waiting(nic)]


def check_choices(vm: Vm, given: tuple[Vector, ...]) -> None:
    """`given`: NICs with NIC_ID and NETWORK_ID. Raises ACTION where one does not wait for a network."""
    ids = {nic.get("NIC_ID") for nic in waiting(vm)}
    for nic in given:
        nic_id = nic.get_int("NIC_ID", -1)
        if vm_nics.find(vm, nic_id) is None:
            raise action(f"NIC_ID {nic_id} not found")
        if nic.get("NIC_ID") not in ids:
            raise action(f"NIC_ID {nic_id} not AUTO")


def settle(e: VmEditor, chosen: Mapping[int, Vector]) -> None:
    """Gives each NIC (by NIC_ID) an address of the network that its vector names. Raises INTERNAL where none is free."""
    template = e.vm.template
    for nic_id, network in chosen.items():
        found = vm_nics.find(e.vm, nic_id)
        if found is not None:
            name, nic = found
            leased = vm_nics.leased(e.tx, e.conf, e.vm, nic.merged(network))
            template = vm_nics.with_changed(template, name, leased)
    if chosen:
        template = requirements.with_automatic(security_groups.with_rules(e.tx, template))
        e.set_template(vm_nics.with_context(e.tx, e.vm, template))


def choice(network: Vnet) -> Vector:
    return Vector.of(NETWORK=network.name, NETWORK_ID=str(network.oid))
