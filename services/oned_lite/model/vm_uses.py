"""Which VMs use a network or a security group, and whether they know its latest version (table vm_uses)."""

from __future__ import annotations

from collections.abc import Hashable
from enum import IntEnum

import msgspec

from services.oned_lite.state import Reader, Table, Transaction
from services.oned_lite.state.table import rows

from .objects import ObjectType
from .xml import id_list


class UseState(IntEnum):
    """Which of the four lists (UPDATED_VMS …) shows the VM."""

    UPDATED = 0
    OUTDATED = 1
    UPDATING = 2
    ERROR = 3


class VmUse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`type` is the bit of NET or SECGROUP."""

    type: int
    oid: int
    vm_id: int
    state: UseState = UseState.UPDATED


def _by_object(row: VmUse) -> tuple[Hashable, ...]:
    return ((row.type, row.oid),)


def _by_state(row: VmUse) -> tuple[Hashable, ...]:
    """Only where something is to be done: most VMs are up to date."""
    return (row.state,) if row.state in (UseState.OUTDATED, UseState.UPDATING) else ()


VM_USES: Table[VmUse] = Table(
    "vm_uses",
    VmUse,
    key=lambda row: (row.type, row.oid, row.vm_id),
    indexes={"object": _by_object, "state": _by_state},
)


def of_object(reader: Reader, kind: ObjectType, oid: int) -> list[VmUse]:
    """In the order of the VMs' ids."""
    return rows(reader, VM_USES, "object", (int(kind), oid))


def in_state(reader: Reader, state: UseState) -> list[VmUse]:
    """All that are OUTDATED or UPDATING."""
    return rows(reader, VM_USES, "state", state)


def enter(tx: Transaction, kind: ObjectType, oid: int, vm_id: int, state: UseState = UseState.UPDATED) -> None:
    """The VM uses the object, and is in that list."""
    tx.put(VM_USES, VmUse(type=int(kind), oid=oid, vm_id=vm_id, state=state))


def leave(tx: Transaction, kind: ObjectType, oid: int, vm_id: int) -> None:
    key = (int(kind), oid, vm_id)
    if tx.get(VM_USES, key) is not None:
        tx.delete(VM_USES, key)


def forget(tx: Transaction, kind: ObjectType, oid: int) -> None:
    """The object goes away."""
    for use in of_object(tx, kind, oid):
        leave(tx, kind, oid, use.vm_id)


def to_xml(reader: Reader, kind: ObjectType, oid: int) -> str:
    """`<UPDATED_VMS>` … `<ERROR_VMS>`."""
    uses = of_object(reader, kind, oid)
    return "".join(
        id_list(f"{state.name}_VMS", (use.vm_id for use in uses if use.state is state)) for state in UseState
    )
