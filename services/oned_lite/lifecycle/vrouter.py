"""What virtual routers have of networks: floating addresses, and their place in VROUTERS."""

from __future__ import annotations

from msgspec.structs import replace

from services.common.template import Vector
from services.oned_lite.model.errors import internal
from services.oned_lite.model.lease import Holder
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.vm import Vm
from services.oned_lite.model.vnet import VNETS, Vnet
from services.oned_lite.model.vrouter import VROUTERS, VRouter
from services.oned_lite.state import Transaction

from . import leases

FLOATING_NAMES = {
    "IP": "VROUTER_IP",
    "MAC": "VROUTER_MAC",
    "IP6_LINK": "VROUTER_IP6_LINK",
    "IP6_ULA": "VROUTER_IP6_ULA",
    "IP6_GLOBAL": "VROUTER_IP6_GLOBAL",
}
"""How a router's NIC calls its floating addresses: a machine has addresses of its own under the plain names."""


def with_nic(tx: Transaction, row: VRouter, given: Vector, nic_id: int) -> VRouter:
    """The router with one more NIC; stored. Raises INTERNAL."""
    network = leases.network_of(tx, given, row.uid)
    nic = given.merged({"NETWORK": network.name, "NETWORK_ID": str(network.oid), "NIC_ID": str(nic_id)})
    if given.get_bool("FLOATING_IP", False):
        nic = _floating(tx, row, network, nic)
    _enter(tx, network.oid, row.oid)
    return tx.put(VROUTERS.table, replace(row, template=row.template.with_added("NIC", nic)))


def _floating(tx: Transaction, row: VRouter, network: Vnet, nic: Vector) -> Vector:
    taken = leases.take_one(tx, network, nic, Holder(ObjectType.VROUTER, row.oid))
    if taken is None:
        raise internal(f"Cannot get IP/MAC lease from virtual network {network.oid}.")
    one, index = taken
    addresses = {FLOATING_NAMES.get(name, name): value for name, value in one.addresses(index).items()}
    return nic.without(*FLOATING_NAMES).merged(addresses).with_set("AR_ID", str(one.ar_id))


def without_nic(tx: Transaction, row: VRouter, nic: Vector) -> VRouter:
    """The router without a NIC; stored. The network lists it no more, even where another NIC of it stays."""
    give_back(tx, row, nic)
    kept = [one for one in row.nics if one != nic]
    return tx.put(VROUTERS.table, replace(row, template=row.template.with_set("NIC", *kept)))


def give_back(tx: Transaction, row: VRouter, nic: Vector) -> None:
    """A NIC's floating address, and the router's place in the network's list."""
    network_id = nic.get_int("NETWORK_ID", -1)
    if nic.get("VROUTER_MAC"):
        held = nic.with_set("MAC", nic.get("VROUTER_MAC"))
        leases.release(tx, network_id, held, Holder(ObjectType.VROUTER, row.oid))
    network = tx.get(VNETS.table, network_id)
    if network is not None and row.oid in network.vrouter_ids:
        kept = tuple(oid for oid in network.vrouter_ids if oid != row.oid)
        leases.save(tx, replace(network, vrouter_ids=kept))


def _enter(tx: Transaction, network_id: int, oid: int) -> None:
    network = tx.get(VNETS.table, network_id)
    if network is not None and oid not in network.vrouter_ids:
        leases.save(tx, replace(network, vrouter_ids=tuple(sorted((*network.vrouter_ids, oid)))))


def leave(tx: Transaction, vm: Vm) -> None:
    """A machine that is done is none of its router's any more."""
    row = tx.get(VROUTERS.table, vm.template.get_int("VROUTER_ID", -1))
    if row is not None and vm.oid in row.vm_ids:
        tx.put(VROUTERS.table, replace(row, vm_ids=tuple(oid for oid in row.vm_ids if oid != vm.oid)))
