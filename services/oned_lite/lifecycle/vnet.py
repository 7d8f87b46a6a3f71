"""The life of a virtual network: created and deleted by its driver, and what people do about one that failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from services.common.template import Vector
from services.oned_lite.model import lease, vm_uses
from services.oned_lite.model.address_range import RangeFault, new_range
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.quota import NETWORK_QUOTA
from services.oned_lite.model.removal import remove
from services.oned_lite.model.times import stamp
from services.oned_lite.model.vnet import VNETS, Vnet, VnetState, with_managed
from services.oned_lite.policy import quotas
from services.oned_lite.policy.quotas import Charge
from services.oned_lite.state import Reader, Transaction

from . import leases, vnet_update
from .work import Duty, Step, Work, WorkKey, WorkResult

CREATE, DELETE = "vnet_create", "vnet_delete"
ACTIONS: Mapping[VnetState, str] = {VnetState.LOCK_CREATE: CREATE, VnetState.LOCK_DELETE: DELETE}
DEADLINE_S = 60.0

DELETABLE = frozenset({VnetState.INIT, VnetState.READY, VnetState.ERROR, VnetState.UPDATE_FAILURE})
RECOVERABLE: Mapping[str, frozenset[VnetState]] = {
    "failure": frozenset({VnetState.INIT, VnetState.LOCK_CREATE, VnetState.LOCK_DELETE}),
    "success": frozenset(
        {
            VnetState.INIT,
            VnetState.LOCK_CREATE,
            VnetState.ERROR,
            VnetState.LOCK_DELETE,
            VnetState.UPDATE_FAILURE,
        }
    ),
    "delete": frozenset({VnetState.INIT, VnetState.LOCK_CREATE, VnetState.LOCK_DELETE, VnetState.ERROR}),
    "retry": frozenset({VnetState.UPDATE_FAILURE}),
}
"""In which states one.vn.recover may be asked for what."""


def with_error(row: Vnet, now: int, reason: str) -> Vnet:
    template = row.template.with_set("ERROR", f"{stamp(now)} : {reason}")
    return replace(row, template=template).in_state(VnetState.ERROR)


# ---------------------------------------------------------------------- duty
def required(_reader: Reader, row: Vnet, _conf: Configuration) -> Sequence[Work]:
    action = ACTIONS[row.state]
    key = WorkKey(VNETS.table.name, row.oid, row.step, action)
    arguments = (("BRIDGE", row.bridge), ("PHYDEV", row.phydev), ("VLAN_ID", row.vlan_id))
    return (Work(key=key, driver=f"vn/{row.vn_mad}", arguments=arguments, timeout_s=DEADLINE_S),)


def finished(step: Step, work: Work, result: WorkResult) -> None:
    row = step.tx.get(VNETS.table, work.key.oid)
    if row is None or row.step != work.key.step:
        return
    if not result.ok:
        leases.save(step.tx, with_error(row, step.tx.now, result.message))
    elif row.state is VnetState.LOCK_DELETE:
        forget(step.tx, row)
    else:
        leases.save(step.tx, created(step.tx, step.conf, row))


def created(tx: Transaction, conf: Configuration, row: Vnet) -> Vnet:
    """The driver has made the network: its ranges, as far as they are not there yet, are added; the first wrong one ends
    that with an error."""
    wanted = row.template.vectors("AR")
    row = replace(row, template=with_managed(row, row.template.without("AR")))
    for vector in wanted:
        try:
            row = with_range(tx, conf, row, vector)
        except RangeFault as fault:
            return with_error(row, tx.now, str(fault))
    return row.in_state(VnetState.READY)


def with_range(tx: Transaction, conf: Configuration, row: Vnet, wanted: Vector) -> Vnet:
    """The network with one more range. Raises RangeFault."""
    prefix = conf.template.get("MAC_PREFIX", "02:00")
    new = new_range(wanted, row.next_ar_id, prefix, tx.random(4))
    return replace(row, ranges=(*row.ranges, new), next_ar_id=row.next_ar_id + 1)


# ---------------------------------------------------------------------- the end of a network
def begin_delete(tx: Transaction, row: Vnet) -> None:
    """Hands a network without leases to its driver; a reservation's addresses go back to its parent."""
    _return_addresses(tx, row)
    leases.save(tx, replace(row, ranges=()).in_state(VnetState.LOCK_DELETE))


def forget(tx: Transaction, row: Vnet) -> None:
    """With whatever leases it still has: nobody could give them back later."""
    _return_addresses(tx, row)
    for one in row.ranges:
        lease.free_all(tx, row.oid, one.ar_id)
    vm_uses.forget(tx, VNETS.type, row.oid)
    remove(tx, VNETS, row.oid)


def _return_addresses(tx: Transaction, row: Vnet) -> None:
    if row.is_reservation:
        count = leases.return_to_parent(tx, row, row.ranges)
        quotas.remove(tx, row, [lease_charge(row.parent_id, count)])


def lease_charge(network_id: int, count: int) -> Charge:
    """What addresses of a network count for who has them."""
    return Charge(NETWORK_QUOTA, network_id, {"LEASES": count})


def charges(row: Vnet) -> list[Charge]:
    """What a network counts for its owner: the addresses of a reservation."""
    count = sum(one.size for one in row.ranges if one.parent_ar_id is not None)
    return [lease_charge(row.parent_id, count)] if row.is_reservation and count else []


# ---------------------------------------------------------------------- recovery
def recover(tx: Transaction, conf: Configuration, row: Vnet, how: str) -> None:
    """Settles what a driver has left undecided. The state has been checked against RECOVERABLE."""
    if how == "failure":
        leases.save(tx, with_error(row, tx.now, ""))
    elif how == "delete" or (how == "success" and row.state is VnetState.LOCK_DELETE):
        forget(tx, row)
    elif how == "retry":
        leases.save(tx, row.in_state(VnetState.READY))
        vnet_update.retry(tx, row)
    else:
        leases.save(tx, created(tx, conf, replace(row, template=row.template.without("ERROR"))))


DUTY = Duty(VNETS.table, required, finished)
