"""Giving addresses of virtual networks to VMs, routers and reservations, and taking them back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from services.common.template import Template, Vector
from services.oned_lite.model import lease
from services.oned_lite.model.address_range import AddressRange
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.errors import internal
from services.oned_lite.model.lease import Holder
from services.oned_lite.model.objects import named
from services.oned_lite.model.user import USERS
from services.oned_lite.model.vnet import LEASING, VNETS, Vnet
from services.oned_lite.state import Reader, Transaction

from .vnet_create import group_list, security_groups

INHERITED = "INHERIT_VNET_ATTR"
ADDRESS_KEYS = ("IP", "IP6", "MAC")
"""What a lease can be asked for by."""


def save(tx: Transaction, row: Vnet) -> Vnet:
    """Writes a network; lists forget leases of ranges that were removed by force."""
    return tx.put(VNETS.table, replace(row, forgotten_leases=0) if row.forgotten_leases else row)


def given_out(tx: Transaction, row: Vnet, ar_id: int, index: int, count: int = 1) -> Vnet:
    """Notes that a range has given out addresses."""
    return _with_range(tx, row, ar_id, lambda one: replace(one, touched=True, hint=_past(one.hint, index, count)))


def _past(hint: int, index: int, count: int) -> int:
    return index + count if index == hint else hint


def given_back(tx: Transaction, row: Vnet, ar_id: int, index: int) -> Vnet:
    """Notes that an address is free again."""
    return _with_range(tx, row, ar_id, lambda one: replace(one, hint=min(one.hint, index)))


def _with_range(tx: Transaction, row: Vnet, ar_id: int, change: Callable[[AddressRange], AddressRange]) -> Vnet:
    return save(tx, replace(row, ranges=tuple(change(one) if one.ar_id == ar_id else one for one in row.ranges)))


# ---------------------------------------------------------------------- one address
def asked_address(wanted: Vector) -> tuple[str, str] | None:
    """Which of IP, IP6 and MAC is asked for, and its value; None where none is. Raises ValueError where several are."""
    asked = [(key, wanted.get(key)) for key in ADDRESS_KEYS if wanted.get(key)]
    if len(asked) > 1:
        raise ValueError("Only one attribute MAC, IP or IP6 can be set.")
    return asked[0] if asked else None


def take_one(tx: Transaction, row: Vnet, wanted: Vector, holder: Holder) -> tuple[AddressRange, int] | None:
    """A lease as `wanted` asks (IP, IP6 or MAC), or the first one free; the range and the address's place in it. None
    where there is none."""
    if row.state not in LEASING:
        return None
    try:
        asked = asked_address(wanted)
    except ValueError:
        return None
    for one in row.ranges:
        index = first_free(tx, row.oid, one) if asked is None else _free_index(tx, row.oid, one, *asked)
        if index is not None:
            lease.take(tx, row.oid, one.ar_id, (index,), holder)
            given_out(tx, row, one.ar_id, index)
            return one, index
    return None


def _free_index(reader: Reader, network_id: int, one: AddressRange, key: str, text: str) -> int | None:
    index = one.index_of(key, text)
    if index is None or lease.holder_of(reader, network_id, one.ar_id, index) is not None:
        return None
    return index


def first_free(reader: Reader, network_id: int, one: AddressRange) -> int | None:
    """The first free address of a range."""
    index = one.hint
    while index < one.size and lease.holder_of(reader, network_id, one.ar_id, index) is not None:
        index += 1
    return index if index < one.size else None


def release(tx: Transaction, network_id: int, nic: Vector, holder: Holder) -> None:
    """Gives back the lease that a NIC shows; nothing where the network or the range is gone."""
    row = tx.get(VNETS.table, network_id)
    one = None if row is None else row.range_of(nic.get_int("AR_ID", -1))
    if row is None or one is None:
        return
    index = one.index_of("MAC", nic.get("MAC"))
    if index is not None and lease.free(tx, network_id, one.ar_id, index, holder):
        given_back(tx, row, one.ar_id, index)


# ---------------------------------------------------------------------- several
def first_free_run(reader: Reader, network_id: int, one: AddressRange, count: int) -> int | None:
    """Where the first `count` free addresses in a row begin."""
    start = 0
    for used in lease.taken(reader, network_id, one.ar_id):
        if used - start >= count:
            return start
        start = used + 1
    return start if one.size - start >= count else None


def is_free(reader: Reader, network_id: int, one: AddressRange, index: int, count: int) -> bool:
    """Whether `count` addresses from `index` on exist and are free."""
    if index + count > one.size:
        return False
    return not any(index <= used < index + count for used in lease.taken(reader, network_id, one.ar_id))


def return_to_parent(tx: Transaction, row: Vnet, ranges: Iterable[AddressRange]) -> int:
    """Gives addresses of a reservation back to its parent; how many there were."""
    holder = Holder(VNETS.type, row.oid)
    count = 0
    for one in ranges:
        parent = tx.get(VNETS.table, row.parent_id)
        origin = None if parent is None or one.parent_ar_id is None else parent.range_of(one.parent_ar_id)
        first = None if origin is None else origin.index_of("MAC", one.addresses(0)["MAC"])
        if parent is None or origin is None or first is None:
            continue
        freed = [lease.free(tx, parent.oid, origin.ar_id, index, holder) for index in range(first, first + one.size)]
        count += sum(freed)
        given_back(tx, parent, origin.ar_id, first)
    return count


# ---------------------------------------------------------------------- NICs
def network_of(reader: Reader, nic: Vector, uid: int) -> Vnet:
    """The network a NIC names: by id, or by name and owner (`uid` by default). Raises INTERNAL where there is none."""
    if nic.get("NETWORK_ID"):
        found = reader.get(VNETS.table, nic.get_int("NETWORK_ID", -1))
        if found is None:
            raise internal(f"Virtual network with ID: {nic.get('NETWORK_ID')} does not exist")
        return found
    owner = _owner(reader, nic, uid)
    key = named(reader, VNETS, nic.get("NETWORK"), owner)
    found = None if key is None else reader.get(VNETS.table, key)
    if found is None:
        raise internal(
            f"User {owner} does not own a network with name: {nic.get('NETWORK')} ."
            " Set NETWORK_UNAME or NETWORK_UID of owner in NIC."
        )
    return found


def _owner(reader: Reader, nic: Vector, uid: int) -> int:
    given = nic.get_int("NETWORK_UID")
    if given is not None:
        return given
    if not nic.get("NETWORK_UNAME"):
        return uid
    found = reader.find(USERS.table, "name", nic.get("NETWORK_UNAME"))
    if not found:
        raise internal("User set in NETWORK_UNAME does not exist")
    return int(str(found[0]))


def templates_of(reader: Reader, template: Template) -> dict[str, Template]:
    """The templates of the networks that a VM's NICs are in, by network id."""
    found: dict[str, Template] = {}
    for name in ("NIC", "NIC_ALIAS", "PCI"):
        for nic in template.vectors(name):
            oid = nic.get("NETWORK_ID")
            row = reader.get(VNETS.table, nic.get_int("NETWORK_ID", -1)) if oid and oid not in found else None
            if row is not None:
                found[oid] = row.template
    return found


def leased(tx: Transaction, conf: Configuration, network: Vnet, nic: Vector, holder: Holder) -> Vector:
    """The NIC with an address of the network, and what it inherits from both. Raises INTERNAL where none is free."""
    taken = take_one(tx, network, nic, holder)
    if taken is None:
        raise internal(f"Cannot get IP/MAC lease from virtual network {network.oid}.")
    one, index = taken
    nic = nic.merged(_of_network(network, one, nic)).merged(one.addresses(index))
    return inherited(conf, network, one, nic)


def inherited(conf: Configuration, network: Vnet, one: AddressRange, nic: Vector) -> Vector:
    """The NIC with what it leaves open taken from the range, else from the network."""
    for name in conf.inherited(INHERITED):
        value = nic.get(name) or one.attributes.get(name) or network.template.get(name)
        if value:
            nic = nic.with_set(name, value)
    return nic


def _of_network(network: Vnet, one: AddressRange, nic: Vector) -> dict[str, str]:
    sources = (network.template, one.attributes, nic)
    groups = set().union(*(security_groups(source.get("SECURITY_GROUPS")) for source in sources))
    found = {
        "AR_ID": str(one.ar_id),
        "NETWORK": network.name,
        "NETWORK_ID": str(network.oid),
        "BRIDGE": network.bridge,
        "BRIDGE_TYPE": network.bridge_type,
        "CLUSTER_ID": group_list(network.cluster_ids),
        "PHYDEV": network.phydev,
        "VLAN_ID": network.vlan_id,
        "OUTER_VLAN_ID": network.outer_vlan_id,
        "VN_MAD": network.vn_mad,
        "SECURITY_GROUPS": group_list(groups),
        "PARENT_NETWORK_ID": str(network.parent_id) if network.is_reservation else "",
    }
    return {name: value for name, value in found.items() if value}
