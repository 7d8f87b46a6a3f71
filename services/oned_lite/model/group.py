"""Groups."""

from __future__ import annotations

from services.oned_lite.state import Reader

from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .user import USERS
from .xml import element, id_list, template_element


class Group(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """Its users are those whose `group_ids` name it; `admin_ids` of them administer it."""

    admin_ids: tuple[int, ...] = ()


def user_ids(reader: Reader, gid: int) -> list[int]:
    return [oid for oid in reader.find(USERS.table, "group", gid) if isinstance(oid, int)]


def render(reader: Reader, row: Group) -> str:
    """`<GROUP>` without quotas."""
    return (
        f"<GROUP>{element('ID', row.oid)}{element('NAME', row.name)}{template_element(row.template)}"
        f"{id_list('USERS', user_ids(reader, row.oid))}{id_list('ADMINS', row.admin_ids)}</GROUP>"
    )


GROUPS = Kind(
    type=ObjectType.GROUP,
    title="group",
    table=kind_table("group_pool", Group, NameScope.POOL),
    prefix="one.group",
    root="GROUP",
    pool_root="GROUP_POOL",
    name_scope=NameScope.POOL,
    render=render,
    first_oid=100,
)
