"""Virtual data centres: groups, and the resources they may use, from whichever zone."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from services.oned_lite.state import Reader

from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .xml import element, id_list, template_element

ALL_RESOURCES = -10
DEFAULT_VDC = 0


@dataclass(frozen=True, slots=True)
class Section:
    """One sort of resource of a VDC: its elements in XML, the table its objects are in, and its name in messages."""

    field: str
    container: str
    tag: str
    id_tag: str
    table: str
    noun: str


CLUSTERS_SECTION = Section("clusters", "CLUSTERS", "CLUSTER", "CLUSTER_ID", "cluster_pool", "CLUSTER")
HOSTS_SECTION = Section("hosts", "HOSTS", "HOST", "HOST_ID", "host_pool", "HOST")
DATASTORES_SECTION = Section("datastores", "DATASTORES", "DATASTORE", "DATASTORE_ID", "datastore_pool", "DATASTORE")
VNETS_SECTION = Section("vnets", "VNETS", "VNET", "VNET_ID", "network_pool", "NET")
SECTIONS = (CLUSTERS_SECTION, HOSTS_SECTION, DATASTORES_SECTION, VNETS_SECTION)


class Resource(msgspec.Struct, frozen=True, array_like=True, order=True):
    """`oid` -10: all of the zone."""

    zone_id: int
    oid: int


class Vdc(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    group_ids: tuple[int, ...] = ()
    clusters: tuple[Resource, ...] = ()
    hosts: tuple[Resource, ...] = ()
    datastores: tuple[Resource, ...] = ()
    vnets: tuple[Resource, ...] = ()

    def resources(self, section: Section) -> tuple[Resource, ...]:
        found: tuple[Resource, ...] = getattr(self, section.field)
        return found

    def with_resources(self, section: Section, resources: set[Resource]) -> Vdc:
        changed: Vdc = msgspec.structs.replace(self, **{section.field: tuple(sorted(resources))})
        return changed


def render(_reader: Reader, row: Vdc) -> str:
    """`<VDC>`, the same in info and pools."""
    sections = "".join(_section_xml(row, section) for section in SECTIONS)
    return (
        f"<VDC>{element('ID', row.oid)}{element('NAME', row.name)}{id_list('GROUPS', row.group_ids)}{sections}"
        f"{template_element(row.template)}</VDC>"
    )


def _section_xml(row: Vdc, section: Section) -> str:
    inner = "".join(
        f"<{section.tag}>{element('ZONE_ID', one.zone_id)}{element(section.id_tag, one.oid)}</{section.tag}>"
        for one in row.resources(section)
    )
    return f"<{section.container}>{inner}</{section.container}>"


VDCS = Kind(
    type=ObjectType.VDC,
    title="VDC",
    noun="Vdc",
    table=kind_table("vdc_pool", Vdc, NameScope.POOL, group=lambda row: row.group_ids),
    prefix="one.vdc",
    root="VDC",
    pool_root="VDC_POOL",
    name_scope=NameScope.POOL,
    render=render,
    first_oid=100,
)
