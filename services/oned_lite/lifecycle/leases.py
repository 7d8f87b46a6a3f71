"""Giving addresses of virtual networks to VMs, routers and reservations, and taking them back."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from services.common.template import Vector
from services.oned_lite.model import lease
from services.oned_lite.model.address_range import AddressRange
from services.oned_lite.model.lease import Holder
from services.oned_lite.model.vnet import LEASING, VNETS, Vnet
from services.oned_lite.state import Reader, Transaction

ADDRESS_KEYS = ("IP", "IP6", "MAC")
"""What a lease can be asked for by."""


def save(tx: Transaction, row: Vnet) -> Vnet:
    """Writes a network; lists forget leases of ranges that were removed by force."""
    return tx.put(VNETS.table, replace(row, forgotten_leases=0) if row.forgotten_leases else row)


def lists_recounted(tx: Transaction, row: Vnet) -> Vnet:
    """For changes of leases only: the network is only written where its lists are out of date."""
    return save(tx, row) if row.forgotten_leases else row


def touched(tx: Transaction, row: Vnet, ar_id: int) -> Vnet:
    """Notes that a range has given out an address."""
    if all(one.touched for one in row.ranges if one.ar_id == ar_id):
        return lists_recounted(tx, row)
    ranges = tuple(replace(one, touched=True) if one.ar_id == ar_id else one for one in row.ranges)
    return save(tx, replace(row, ranges=ranges))


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
        index = first_free(tx, row.oid, one, 1) if asked is None else _free_index(tx, row.oid, one, *asked)
        if index is not None:
            lease.take(tx, row.oid, one.ar_id, (index,), holder)
            touched(tx, row, one.ar_id)
            return one, index
    return None


def _free_index(reader: Reader, network_id: int, one: AddressRange, key: str, text: str) -> int | None:
    index = one.index_of(key, text)
    if index is None or lease.holder_of(reader, network_id, one.ar_id, index) is not None:
        return None
    return index


def first_free(reader: Reader, network_id: int, one: AddressRange, count: int) -> int | None:
    """Where the first `count` free addresses in a row begin."""
    start = 0
    for used in lease.taken(reader, network_id, one.ar_id):
        if used - start >= count:
            return start
        start = used + 1
    return start if one.size - start >= count else None


def release(tx: Transaction, network_id: int, nic: Vector, holder: Holder) -> None:
    """Gives back the lease that a NIC shows; nothing where the network or the range is gone."""
    row = tx.get(VNETS.table, network_id)
    one = None if row is None else row.range_of(nic.get_int("AR_ID", -1))
    if row is None or one is None:
        return
    index = one.index_of("MAC", nic.get("MAC"))
    if index is not None and lease.free(tx, network_id, one.ar_id, index, holder):
        lists_recounted(tx, row)


# ---------------------------------------------------------------------- several
def is_free(reader: Reader, network_id: int, one: AddressRange, index: int, count: int) -> bool:
    """Whether `count` addresses from `index` on exist and are free."""
    if index + count > one.size:
        return False
    return not any(index <= used < index + count for used in lease.taken(reader, network_id, one.ar_id))


def return_to_parent(tx: Transaction, row: Vnet, ranges: Iterable[AddressRange]) -> int:
    """Gives addresses of a reservation back to its parent; how many there were."""
    parent = tx.get(VNETS.table, row.parent_id)
    if parent is None:
        return 0
    holder = Holder(VNETS.type, row.oid)
    count = 0
    for one in ranges:
        origin = None if one.parent_ar_id is None else parent.range_of(one.parent_ar_id)
        first = None if origin is None else origin.index_of("MAC", one.addresses(0)["MAC"])
        if origin is None or first is None:
            continue
        for index in range(first, first + one.size):
            count += lease.free(tx, parent.oid, origin.ar_id, index, holder)
    lists_recounted(tx, parent)
    return count
