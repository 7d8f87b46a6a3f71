"""Leases: which address of which range of a network is taken, and by whom (table network_leases)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import msgspec

from services.oned_lite.state import Reader, Table, Transaction
from services.oned_lite.state.table import rows

from .objects import ObjectType

HOLD_ID = -1
_ID_BITS = (1 << 32) - 1


class Holder(msgspec.Struct, frozen=True, array_like=True):
    """Who has a lease: a VM, a virtual router or a reservation; `oid` -1 of a VM is an address on hold."""

    type: int
    oid: int

    @property
    def number(self) -> int:
        """As ALLOCATED shows it: the type's bit and 32 bits of id."""
        return self.type | (self.oid & _ID_BITS)


HOLD = Holder(ObjectType.VM, HOLD_ID)


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """`index` counts from the range's first address."""

    network_id: int
    ar_id: int
    index: int
    holder: Holder


def _of_range(row: Lease) -> tuple[Hashable, ...]:
    return ((row.network_id, row.ar_id),)


def _of_network(row: Lease) -> tuple[Hashable, ...]:
    return (row.network_id,)


LEASES: Table[Lease] = Table(
    "network_leases",
    Lease,
    key=lambda row: (row.network_id, row.ar_id, row.index),
    indexes={"range": _of_range, "network": _of_network},
)


def of_range(reader: Reader, network_id: int, ar_id: int) -> list[Lease]:
    """In the order of their addresses."""
    return rows(reader, LEASES, "range", (network_id, ar_id))


def taken(reader: Reader, network_id: int, ar_id: int) -> list[int]:
    """Indexes of a range's leases, ascending."""
    return [_index(key) for key in reader.find(LEASES, "range", (network_id, ar_id))]


def _index(key: Any) -> int:
    index: int = key[2]
    return index


def used(reader: Reader, network_id: int) -> int:
    """How many leases the network has given."""
    return len(reader.find(LEASES, "network", network_id))


def holder_of(reader: Reader, network_id: int, ar_id: int, index: int) -> Holder | None:
    lease = reader.get(LEASES, (network_id, ar_id, index))
    return None if lease is None else lease.holder


def take(tx: Transaction, network_id: int, ar_id: int, indexes: Iterable[int], holder: Holder) -> None:
    """Raises LookupError where one of them is taken already: callers have looked."""
    for index in indexes:
        if tx.get(LEASES, (network_id, ar_id, index)) is not None:
            raise LookupError(f"lease {index} of range {ar_id} of network {network_id} is taken")
        tx.put(LEASES, Lease(network_id=network_id, ar_id=ar_id, index=index, holder=holder))


def free(tx: Transaction, network_id: int, ar_id: int, index: int, holder: Holder) -> bool:
    """Gives a lease back, if it is that holder's."""
    if holder_of(tx, network_id, ar_id, index) != holder:
        return False
    tx.delete(LEASES, (network_id, ar_id, index))
    return True


def free_all(tx: Transaction, network_id: int, ar_id: int, holder: Holder | None = None) -> int:
    """Gives back a range's leases, all or those of one holder; how many there were."""
    gone = [one for one in of_range(tx, network_id, ar_id) if holder in (None, one.holder)]
    for lease in gone:
        tx.delete(LEASES, (network_id, ar_id, lease.index))
    return len(gone)
