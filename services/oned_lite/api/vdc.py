"""one.vdc.*: virtual data centres."""

from __future__ import annotations

from services.oned_lite.model.errors import action, internal
from services.oned_lite.model.group import GROUPS
from services.oned_lite.model.kinds import kinds
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.removal import remove
from services.oned_lite.model.vdc import (
    ALL_RESOURCES,
    CLUSTERS_SECTION,
    DATASTORES_SECTION,
    HOSTS_SECTION,
    SECTIONS,
    VDCS,
    VNETS_SECTION,
    Resource,
    Section,
    Vdc,
)
from services.oned_lite.model.zone import LOCAL_ZONE, ZONES
from services.oned_lite.policy.authorization import Right

from . import shared
from .call import Call
from .method import MethodTable
from .pieces import Pieces
from .shared.allocation import check_new_name, parsed
from .shared.register import register
from .vdc_rules import grant, join, leave, withdraw

METHODS = MethodTable("one.vdc")
POOL_METHODS = MethodTable("one.vdcpool")
FIRST_USER_VDC = 100

register(METHODS, VDCS, "info", "rename")


@METHODS.add("allocate")
def allocate(call: Call, text: str) -> int:
    template = parsed(text)
    call.create(ObjectType.VDC)
    name = check_new_name(call, VDCS, template.get("NAME"))
    oid = call.next_oid(VDCS)
    call.tx.put(VDCS.table, Vdc(oid=oid, name=name, template=template.without("NAME")))
    return oid


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    return shared.update(call, VDCS, oid, text, append)


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    """Its groups lose what it gave them; `recursive` means nothing here."""
    vdc = call.fetch(VDCS, oid, Right.ADMIN)
    if oid < FIRST_USER_VDC:
        raise action("Cannot delete VDC. System VDCs (ID < 100) cannot be deleted.")
    for gid in vdc.group_ids:
        for section in SECTIONS:
            for resource in vdc.resources(section):
                withdraw(call.tx, call.conf, gid, section, resource)
    remove(call.tx, VDCS, oid)
    return oid


@METHODS.add("addgroup")
def addgroup(call: Call, oid: int, gid: int) -> int:
    vdc = _with_group(call, oid, gid)
    if gid in vdc.group_ids:
        raise internal(f"Group {gid} is already assigned to the VDC {oid}")
    join(call.tx, call.conf, vdc, gid)
    return oid


@METHODS.add("delgroup")
def delgroup(call: Call, oid: int, gid: int) -> int:
    vdc = _with_group(call, oid, gid)
    if gid not in vdc.group_ids:
        raise internal(f"Group {gid} is not assigned to the VDC {oid}")
    leave(call.tx, call.conf, vdc, gid)
    return oid


def _with_group(call: Call, oid: int, gid: int) -> Vdc:
    vdc = VDCS.get(call.tx, oid)
    group = GROUPS.get(call.tx, gid)
    call.authorize().need(Right.ADMIN, VDCS, vdc).need(Right.ADMIN, GROUPS, group).check()
    return vdc


def _add(call: Call, section: Section, oid: int, resource: Resource) -> int:
    """All resources of a zone (-10) take the place of the single ones."""
    vdc = _authorized(call, section, oid, resource, missing_ok=False)
    held = {*vdc.resources(section)}
    if resource in held:
        raise internal(f"{section.noun} {resource.oid} from Zone {resource.zone_id} is already assigned to the VDC")
    replaced = {one for one in held if one.zone_id == resource.zone_id} if resource.oid == ALL_RESOURCES else set()
    for gid in vdc.group_ids:
        for one in replaced:
            withdraw(call.tx, call.conf, gid, section, one)
        grant(call.tx, call.conf, gid, section, resource)
    call.tx.put(VDCS.table, vdc.with_resources(section, (held - replaced) | {resource}))
    return oid


def _delete(call: Call, section: Section, oid: int, resource: Resource) -> int:
    vdc = _authorized(call, section, oid, resource, missing_ok=True)
    held = {*vdc.resources(section)}
    if resource not in held:
        raise internal(f"{section.noun} {resource.oid} from Zone {resource.zone_id} is not assigned to the VDC ")
    for gid in vdc.group_ids:
        withdraw(call.tx, call.conf, gid, section, resource)
    call.tx.put(VDCS.table, vdc.with_resources(section, held - {resource}))
    return oid


def _authorized(call: Call, section: Section, oid: int, resource: Resource, *, missing_ok: bool) -> Vdc:
    """ADMIN of the VDC, the zone and, in this zone, the resource. What is to be taken out may be gone already."""
    vdc = VDCS.get(call.tx, oid)
    zone = call.tx.get(ZONES.table, resource.zone_id) if missing_ok else ZONES.get(call.tx, resource.zone_id)
    authorization = call.authorize().need(Right.ADMIN, VDCS, vdc)
    if zone is not None:
        authorization.need(Right.ADMIN, ZONES, zone)
    kind = kinds().get(section.table)
    if kind is not None and resource.oid != ALL_RESOURCES and resource.zone_id == LOCAL_ZONE:
        row = call.tx.get(kind.table, resource.oid) if missing_ok else kind.get(call.tx, resource.oid)
        if row is not None:
            authorization.need(Right.ADMIN, kind, row)
    authorization.check()
    return vdc


@METHODS.add("addcluster")
def addcluster(call: Call, oid: int, zone_id: int, cluster_id: int) -> int:
    return _add(call, CLUSTERS_SECTION, oid, Resource(zone_id, cluster_id))


@METHODS.add("delcluster")
def delcluster(call: Call, oid: int, zone_id: int, cluster_id: int) -> int:
    return _delete(call, CLUSTERS_SECTION, oid, Resource(zone_id, cluster_id))


@METHODS.add("addhost")
def addhost(call: Call, oid: int, zone_id: int, host_id: int) -> int:
    return _add(call, HOSTS_SECTION, oid, Resource(zone_id, host_id))


@METHODS.add("delhost")
def delhost(call: Call, oid: int, zone_id: int, host_id: int) -> int:
    return _delete(call, HOSTS_SECTION, oid, Resource(zone_id, host_id))


@METHODS.add("adddatastore")
def adddatastore(call: Call, oid: int, zone_id: int, datastore_id: int) -> int:
    return _add(call, DATASTORES_SECTION, oid, Resource(zone_id, datastore_id))


@METHODS.add("deldatastore")
def deldatastore(call: Call, oid: int, zone_id: int, datastore_id: int) -> int:
    return _delete(call, DATASTORES_SECTION, oid, Resource(zone_id, datastore_id))


@METHODS.add("addvnet")
def addvnet(call: Call, oid: int, zone_id: int, vnet_id: int) -> int:
    return _add(call, VNETS_SECTION, oid, Resource(zone_id, vnet_id))


@METHODS.add("delvnet")
def delvnet(call: Call, oid: int, zone_id: int, vnet_id: int) -> int:
    return _delete(call, VNETS_SECTION, oid, Resource(zone_id, vnet_id))


@POOL_METHODS.read("info")
def pool_info(call: Call) -> Pieces:
    return shared.pool_info(call, VDCS, -2, -1, -1)
