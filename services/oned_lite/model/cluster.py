"""Clusters: hosts, datastores and virtual networks that work together."""

from __future__ import annotations

from typing import Any

from services.oned_lite.state import Reader, Table

from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .xml import element, id_list, template_element

DEFAULT_CLUSTER = 0
FIRST_USER_CLUSTER = 100

MEMBERS: dict[str, Table[Any]] = {}
"""XML element ("HOSTS", "DATASTORES", "VNETS") to the table of those members, each with an index "cluster". Kinds that
live in clusters enter themselves here: they know clusters, clusters need not know them."""

MEMBER_ELEMENTS = ("HOSTS", "DATASTORES", "VNETS")


class Cluster(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """Members name their cluster; the cluster itself holds only its template."""


def member_ids(reader: Reader, element_name: str, oid: int) -> list[int]:
    """Ids of the cluster's hosts, datastores or networks."""
    table = MEMBERS.get(element_name)
    return [] if table is None else [key for key in reader.find(table, "cluster", oid) if isinstance(key, int)]


def render(reader: Reader, row: Cluster) -> str:
    """`<CLUSTER>`, the same in info and pools."""
    members = "".join(id_list(name, member_ids(reader, name, row.oid)) for name in MEMBER_ELEMENTS)
    return (
        f"<CLUSTER>{element('ID', row.oid)}{element('NAME', row.name)}{members}"
        f"{template_element(row.template)}</CLUSTER>"
    )


CLUSTERS = Kind(
    type=ObjectType.CLUSTER,
    title="cluster",
    table=kind_table("cluster_pool", Cluster, NameScope.POOL),
    prefix="one.cluster",
    root="CLUSTER",
    pool_root="CLUSTER_POOL",
    name_scope=NameScope.POOL,
    render=render,
    first_oid=FIRST_USER_CLUSTER,
    cluster_ids=lambda _reader, row: (row.oid,),
)
