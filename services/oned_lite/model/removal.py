"""Taking an object away, with what others keep about it."""

from __future__ import annotations

from typing import Any

from services.oned_lite.state import Transaction

from . import acl
from .objects import Kind, ObjectType
from .vdc import CLUSTERS_SECTION, DATASTORES_SECTION, HOSTS_SECTION, VDCS, VNETS_SECTION, Resource, Section
from .zone import LOCAL_ZONE

_SECTIONS: dict[ObjectType, Section] = {
    ObjectType.CLUSTER: CLUSTERS_SECTION,
    ObjectType.HOST: HOSTS_SECTION,
    ObjectType.DATASTORE: DATASTORES_SECTION,
    ObjectType.NET: VNETS_SECTION,
}


def remove(tx: Transaction, kind: Kind[Any], oid: int) -> None:
    """Deletes the row, the access rules about this object (or this cluster's members), and its place in VDCs."""
    tx.delete(kind.table, oid)
    acl.delete_rules_about(tx, kind.type, acl.INDIVIDUAL | oid)
    if kind.type is ObjectType.CLUSTER:
        acl.delete_rules_about(tx, None, acl.CLUSTER | oid)
    section = _SECTIONS.get(kind.type)
    if section is not None:
        _leave_vdcs(tx, section, Resource(LOCAL_ZONE, oid))


def _leave_vdcs(tx: Transaction, section: Section, resource: Resource) -> None:
    for key in tx.keys(VDCS.table):
        vdc = tx.get(VDCS.table, key)
        if vdc is not None and resource in vdc.resources(section):
            tx.put(VDCS.table, vdc.with_resources(section, {*vdc.resources(section)} - {resource}))
