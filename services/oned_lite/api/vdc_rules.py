"""The access rules that a VDC stands for: for each of its groups and resources (DEFAULT_VDC_*_ACL of oned.conf)."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from services.oned_lite.model import acl
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.objects import ObjectType
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
from services.oned_lite.state import Transaction

_TYPES: dict[Section, tuple[tuple[ObjectType, str], ...]] = {
    CLUSTERS_SECTION: (
        (ObjectType.HOST, "DEFAULT_VDC_CLUSTER_HOST_ACL"),
        (ObjectType.NET, "DEFAULT_VDC_CLUSTER_NET_ACL"),
        (ObjectType.DATASTORE, "DEFAULT_VDC_CLUSTER_DATASTORE_ACL"),
    ),
    HOSTS_SECTION: ((ObjectType.HOST, "DEFAULT_VDC_HOST_ACL"),),
    DATASTORES_SECTION: ((ObjectType.DATASTORE, "DEFAULT_VDC_DATASTORE_ACL"),),
    VNETS_SECTION: ((ObjectType.NET, "DEFAULT_VDC_VNET_ACL"),),
}
"""Which types of object a resource opens, and where its rights are written."""

_RIGHTS = {name: bit for bit, name in acl.RIGHT_NAMES.items()}
Rule = tuple[int, int, int]
"""Resource, rights and zone."""


def _rules(conf: Configuration, section: Section, resource: Resource) -> Iterator[Rule]:
    if resource.oid == ALL_RESOURCES:
        selector = acl.ALL
    else:
        selector = (acl.CLUSTER if section is CLUSTERS_SECTION else acl.INDIVIDUAL) | resource.oid
    for object_type, attribute in _TYPES[section]:
        rights = _rights(conf.template.get(attribute))
        if rights:
            yield object_type | selector, rights, acl.INDIVIDUAL | resource.zone_id


def _rights(text: str) -> int:
    """`USE+MANAGE`; `-` or nothing gives none."""
    return sum({_RIGHTS.get(word.strip().upper(), 0) for word in text.split("+")})


def grant(tx: Transaction, conf: Configuration, gid: int, section: Section, resource: Resource) -> None:
    for rule in _rules(conf, section, resource):
        acl.add_rule(tx, acl.GROUP | gid, *rule)


def withdraw(tx: Transaction, conf: Configuration, gid: int, section: Section, resource: Resource) -> None:
    """Also where another VDC gives the group the same, as oned does."""
    for rule in _rules(conf, section, resource):
        acl.delete_rule(tx, acl.GROUP | gid, *rule)


def join(tx: Transaction, conf: Configuration, vdc: Vdc, gid: int) -> None:
    """A group joins a VDC and may use all that is in it."""
    tx.put(VDCS.table, msgspec.structs.replace(vdc, group_ids=tuple(sorted({*vdc.group_ids, gid}))))
    for section in SECTIONS:
        for resource in vdc.resources(section):
            grant(tx, conf, gid, section, resource)


def leave(tx: Transaction, conf: Configuration, vdc: Vdc, gid: int) -> None:
    tx.put(VDCS.table, msgspec.structs.replace(vdc, group_ids=tuple(one for one in vdc.group_ids if one != gid)))
    for section in SECTIONS:
        for resource in vdc.resources(section):
            withdraw(tx, conf, gid, section, resource)
