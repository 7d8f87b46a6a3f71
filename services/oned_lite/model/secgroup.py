"""Security groups: what traffic the NICs that name them let through."""

from __future__ import annotations

from services.oned_lite.state import Reader

from . import vm_uses
from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .xml import template_element

DEFAULT_SECGROUP = 0


class SecurityGroup(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """Rules are RULE vectors of the template; VMs that use it are in `vm_uses`. `telling`: hypervisors are still to hear
    of the rules; `step` counts how often they were to."""

    telling: bool = False
    step: int = 0


def render(reader: Reader, row: SecurityGroup) -> str:
    """`<SECURITY_GROUP>`, the same in info and pools."""
    return (
        f"<SECURITY_GROUP>{row.owner_xml()}{row.permissions.to_xml()}"
        f"{vm_uses.to_xml(reader, ObjectType.SECGROUP, row.oid)}{template_element(row.template)}</SECURITY_GROUP>"
    )


SECGROUPS: Kind[SecurityGroup] = Kind(
    type=ObjectType.SECGROUP,
    title="security group",
    noun="SecurityGroup",
    table=kind_table("secgroup_pool", SecurityGroup, NameScope.OWNER, work=lambda row: (True,) if row.telling else ()),
    prefix="one.secgroup",
    root="SECURITY_GROUP",
    pool_root="SECURITY_GROUP_POOL",
    name_scope=NameScope.OWNER,
    render=render,
    first_oid=100,
)
