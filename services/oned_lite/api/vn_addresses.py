"""one.vn.add_ar, rm_ar, free_ar, update_ar, hold and release: a network's address ranges and its addresses on hold."""

from __future__ import annotations

from msgspec.structs import replace

from services.common.template import Vector
from services.oned_lite.lifecycle import leases, vnet_update
from services.oned_lite.lifecycle.vnet import lease_charge, with_range
from services.oned_lite.model import lease
from services.oned_lite.model.address_range import AddressRange, RangeFault
from services.oned_lite.model.errors import action, internal
from services.oned_lite.model.lease import HOLD
from services.oned_lite.model.vnet import LEASING, VNETS, Vnet
from services.oned_lite.policy import quotas
from services.oned_lite.policy.authorization import Right

from .call import Call
from .method import MethodTable
from .shared.allocation import parsed
from .vn import RESTRICTED

METHODS = MethodTable("one.vn")


def _ready(call: Call, oid: int, right: Right, text: str, name: str, missing: str) -> tuple[Vnet, Vector]:
    """The network and the first vector `name` of the request. Raises NO_EXISTS, AUTHORIZATION, INTERNAL, ACTION."""
    row = call.fetch(VNETS, oid, right)
    given = parsed(text).vector(name)
    if row.state not in LEASING:
        raise action(f"Could not execute {call.method}Virtual Network is in wrong state: {row.state_text}")
    if given is None:
        raise internal(missing)
    return row, given


NO_RANGE = "Wrong AR definition. AR vector attribute is missing."


# ---------------------------------------------------------------------- ranges
@METHODS.add("add_ar")
def add_ar(call: Call, oid: int, text: str) -> int:
    row, given = _ready(call, oid, Right.ADMIN, text, "AR", NO_RANGE)
    try:
        leases.save(call.tx, with_range(call.tx, call.conf, row, given))
    except RangeFault as fault:
        raise internal(str(fault)) from None
    return oid


@METHODS.add("rm_ar")
def rm_ar(call: Call, oid: int, ar_id: int, force: bool = False) -> int:
    """`force`: even where addresses are in use; machines keep theirs, but nobody knows of it."""
    return _remove(call, oid, ar_id, Right.ADMIN, force=force)


@METHODS.add("free_ar")
def free_ar(call: Call, oid: int, ar_id: int, force: bool = False) -> int:
    """What the owner of a reservation does: the addresses are its parent's again."""
    return _remove(call, oid, ar_id, Right.MANAGE, force=force)


def _remove(call: Call, oid: int, ar_id: int, right: Right, *, force: bool) -> int:
    row = call.fetch(VNETS, oid, right)
    if row.state not in LEASING:
        raise action(f"Could not remove Adress Range, Virtual Network is in wrong state: {row.state_text}")
    one = row.range_of(ar_id)
    if one is None:
        raise internal("Address Range does not exist")
    if not force and lease.taken(call.tx, oid, ar_id):
        raise internal("Address Range has leases in use")
    gone = lease.free_all(call.tx, oid, ar_id)
    kept = tuple(other for other in row.ranges if other.ar_id != ar_id)
    row = leases.save(call.tx, replace(row, ranges=kept))
    if gone:
        call.tx.put(VNETS.table, replace(row, forgotten_leases=gone))
    if one.parent_ar_id is not None:
        count = leases.return_to_parent(call.tx, row, (one,))
        quotas.remove(call.tx, row, [lease_charge(row.parent_id, count)])
    return oid


@METHODS.add("update_ar")
def update_ar(call: Call, oid: int, text: str) -> int:
    """Replaces a range's attributes but for what makes it up. VMs with addresses of it follow."""
    row, given = _ready(call, oid, Right.MANAGE, text, "AR", NO_RANGE)
    ar_id = given.get_int("AR_ID")
    if ar_id is None:
        raise internal("AR/AR_ID attribute is missing.")
    one = row.range_of(ar_id)
    if one is None:
        raise internal(f"Address Range with ID {ar_id} was not found.")
    if row.is_reservation and not call.caller.is_admin:
        given = _unrestricted(call, one, given)
    taken = lease.taken(call.tx, oid, ar_id)
    try:
        changed = one.updated(given, max(taken, default=-1))
    except RangeFault as fault:
        raise internal(str(fault)) from None
    ranges = tuple(changed if other.ar_id == ar_id else other for other in row.ranges)
    after = leases.save(call.tx, replace(row, ranges=ranges))
    vnet_update.network_changed(call.tx, call.conf, row, after)
    return oid


def _unrestricted(call: Call, one: AddressRange, given: Vector) -> Vector:
    """What a plain user cannot change in his reservation is as it was."""
    names = [name.removeprefix("AR/") for name in call.conf.restricted(RESTRICTED) if name.startswith("AR/")]
    kept = {name: one.attributes[name] for name in names if name in one.attributes}
    return given.without(*names).merged(kept)


# ---------------------------------------------------------------------- holds
NO_LEASE = "Empty lease description."


@METHODS.add("hold")
def hold(call: Call, oid: int, text: str) -> int:
    """Takes the address in every range that has it, or in the one named by AR_ID."""
    row, given = _ready(call, oid, Right.MANAGE, text, "LEASES", NO_LEASE)
    found = [
        (one, index) for one, index in _places(row, given) if lease.holder_of(call.tx, oid, one.ar_id, index) is None
    ]
    if not found:
        raise internal("Address is not part of the address range or in use.")
    for one, index in found:
        lease.take(call.tx, oid, one.ar_id, (index,), HOLD)
        row = leases.given_out(call.tx, row, one.ar_id, index)
    return oid


@METHODS.add("release")
def release(call: Call, oid: int, text: str) -> int:
    """Frees the address wherever it is on hold."""
    row, given = _ready(call, oid, Right.MANAGE, text, "LEASES", NO_LEASE)
    for one, index in _places(row, given):
        if lease.free(call.tx, oid, one.ar_id, index, HOLD):
            row = leases.given_back(call.tx, row, one.ar_id, index)
    return oid


def _places(row: Vnet, given: Vector) -> list[tuple[AddressRange, int]]:
    """Every range that has the address asked for, and where. Raises INTERNAL."""
    try:
        asked = leases.asked_address(given)
    except ValueError as fault:
        raise internal(str(fault)) from None
    if asked is None:
        raise internal("Missing MAC, IP or IP6.")
    ar_id = given.get_int("AR_ID")
    ranges = [one for one in row.ranges if ar_id in (None, one.ar_id)]
    return [(one, index) for one in ranges if (index := one.index_of(*asked)) is not None]
