"""one.vn.*: virtual networks. Their addresses are in `vn_addresses`, reservations in `vn_reserve`."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from services.common.template import Template
from services.oned_lite.lifecycle import vnet_update
from services.oned_lite.lifecycle.vnet import DELETABLE, RECOVERABLE, begin_delete, charges, recover
from services.oned_lite.lifecycle.vnet_create import BRIDGE_TYPES, VnetFault, set_up
from services.oned_lite.model import lease
from services.oned_lite.model.cluster import CLUSTERS, DEFAULT_CLUSTER
from services.oned_lite.model.errors import ApiError, action, internal
from services.oned_lite.model.lease import Holder
from services.oned_lite.model.objects import Kind, ObjectType
from services.oned_lite.model.vm import VMS
from services.oned_lite.model.vnet import VNETS, Vnet, render_info, with_managed
from services.oned_lite.policy.acl import grants
from services.oned_lite.policy.authorization import Right, allowed, covered, owns
from services.oned_lite.state import Reader

from . import shared
from .call import Call
from .method import MethodTable, read_late
from .pieces import Pieces
from .shared.allocation import MISSING, check_new_name, new_permissions, parsed, required
from .shared.register import register

METHODS = MethodTable("one.vn")
POOL_METHODS = MethodTable("one.vnpool")
RESTRICTED = "VNET_RESTRICTED_ATTR"
NO_CLUSTER = -1
RECOVERIES = ("failure", "success", "delete", "retry")

register(METHODS, VNETS, "rename", "chmod", "lock", "unlock")


# ---------------------------------------------------------------------- new networks
@METHODS.add("allocate")
def allocate(call: Call, text: str, cluster_id: int = MISSING) -> int:
    """Allocates a new virtual network

    It is in LOCK_CREATE until its driver makes it READY. Cluster -1 is the default one.
    """
    template = parsed(text)
    cluster = CLUSTERS.get(call.tx, DEFAULT_CLUSTER if required(cluster_id) == NO_CLUSTER else cluster_id)
    call.authorize().create(ObjectType.NET).need(Right.ADMIN, CLUSTERS, cluster).check()
    return create(call, template, (cluster.oid,)).oid


def create(call: Call, template: Template, cluster_ids: tuple[int, ...], *, name: str = "", default: str = "") -> Vnet:
    """A new network of the caller's, named `name` or as its template says; without either `default`-id. Raises INTERNAL."""
    name = name or template.get("NAME")
    if not name and not default:
        raise internal("No NAME in template for Virtual Network.")
    if name:
        check_new_name(call, VNETS, name)
    row = blank(call, name, cluster_ids)
    if not name:
        row = replace(row, name=check_new_name(call, VNETS, f"{default}-{row.oid}"))
    try:
        return call.tx.put(VNETS.table, set_up(call.tx, call.conf, row, template))
    except VnetFault as fault:
        raise refused(str(fault), row) from None


def blank(call: Call, name: str, cluster_ids: tuple[int, ...]) -> Vnet:
    """A new network that is nothing yet; not stored."""
    return Vnet(
        oid=call.next_oid(VNETS),
        name=name,
        uid=call.caller.uid,
        gid=call.caller.gid,
        uname=call.caller.name,
        gname=call.caller.gname,
        permissions=new_permissions(call),
        cluster_ids=cluster_ids,
    )


def refused(sentence: str, row: Vnet) -> ApiError:
    """A network that cannot be made. The first one ever takes its id with it."""
    error = internal(sentence)
    error.keeps_changes = row.oid == VNETS.first_oid
    return error


# ---------------------------------------------------------------------- looking
@METHODS.read("info")
def info(call: Call, oid: int, decrypt: bool = False) -> str:
    """Who may not manage the network sees only the leases and routers that he may use."""
    row = call.fetch(VNETS, oid, Right.USE, ignore_lock=True)
    read_late(decrypt)
    if allowed(call.tx, call.caller, Right.MANAGE, VNETS, row):
        return render_info(call.tx, row)
    held = {one.holder for each in row.ranges for one in lease.of_range(call.tx, oid, each.ar_id)}
    held |= {Holder(ObjectType.VROUTER, vrouter_id) for vrouter_id in row.vrouter_ids}
    return render_info(call.tx, row, frozenset(holder.number for holder in held if _may_see(call, holder)))


HOLDER_KINDS: dict[ObjectType, Kind[Any]] = {ObjectType.VM: VMS, ObjectType.NET: VNETS}
"""What can hold a lease; routers enter themselves."""


def _may_see(call: Call, holder: Holder) -> bool:
    kind = HOLDER_KINDS[ObjectType(holder.type)]
    row = call.tx.get(kind.table, holder.oid)
    return row is not None and allowed(call.tx, call.caller, Right.USE, kind, row)


@POOL_METHODS.read("info")
def pool_info(call: Call, filter_flag: int, start_id: int, end_id: int) -> Pieces:
    """Rules about all networks or a cluster's do not show other people's reservations."""
    caller = call.caller
    if caller.is_admin:
        return shared.pool_info(call, VNETS, filter_flag, start_id, end_id)
    narrow = grants(call.tx, caller, Right.USE, ObjectType.NET, broad=False)

    def shown(row: Vnet) -> bool:
        return (
            not row.is_reservation
            or row.uid == caller.uid
            or owns(caller, Right.USE, ObjectType.NET, row)
            or covered(call.tx, narrow, VNETS, row)
        )

    return shared.pool_info(call, VNETS, filter_flag, start_id, end_id, where=shown)


# ---------------------------------------------------------------------- changes
@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    """VMs on the network follow."""
    before = call.tx.get(VNETS.table, oid)
    shared.update(call, VNETS, oid, text, append, restricted=RESTRICTED, finish=_finish_update)
    if before is not None:
        vnet_update.network_changed(call.tx, call.conf, before, VNETS.get(call.tx, oid))
    return oid


def _finish_update(_call: Call, row: Vnet, template: Template) -> Vnet:
    """Some of a network's fields follow its template, some stay where that says nothing they could be."""
    bridge_type = template.get("BRIDGE_TYPE")
    row = replace(
        row,
        vn_mad=template.get("VN_MAD"),
        bridge=template.get("BRIDGE") or row.bridge,
        bridge_type=bridge_type if bridge_type in BRIDGE_TYPES else row.bridge_type,
        phydev=template.get("PHYDEV"),
        vlan_id=row.vlan_id if row.vlan_automatic else template.get("VLAN_ID"),
        outer_vlan_id=row.outer_vlan_id if row.outer_vlan_automatic else template.get("OUTER_VLAN_ID"),
        forgotten_leases=0,
    )
    return replace(row, template=with_managed(row, template))


@METHODS.add("chown")
def chown(call: Call, oid: int, uid: int, gid: int) -> int:
    """The addresses of a reservation count for its new owner."""
    return shared.chown(call, VNETS, oid, uid, gid, charges=charges)


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    """Hands a network that has given out no address to its driver; `recursive` means nothing here."""
    row = call.fetch(VNETS, oid, Right.MANAGE)
    fault = _delete_fault(call.tx, row)
    if fault is not None:
        raise action(f"Cannot delete virtual network. {fault}")
    begin_delete(call.tx, row)
    return oid


def _delete_fault(reader: Reader, row: Vnet) -> str | None:
    if lease.used(reader, row.oid):
        return "Can not remove a virtual network with leases in use"
    if row.state not in DELETABLE:
        return f"Can not remove a virtual network, wrong state {row.state_text}"
    return None


@METHODS.add("recover")
def recover_(call: Call, oid: int, operation: int) -> int:
    """0 the driver failed, 1 it succeeded, 2 delete the network, 3 tell its VMs again."""
    row = call.fetch(VNETS, oid, Right.MANAGE)
    if not 0 <= operation < len(RECOVERIES):
        raise action("Wrong recovery operation code")
    how = RECOVERIES[operation]
    if row.state not in RECOVERABLE[how]:
        raise internal(f"Could not perform 'recover {how}' on VN {oid}, wrong state {row.state_text}.")
    recover(call.tx, call.conf, row, how)
    return oid
