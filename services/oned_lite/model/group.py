"""Groups."""

from __future__ import annotations

from services.oned_lite.state import Reader

from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .quota import GROUP, defaults_xml, quotas_of
from .user import USERS
from .xml import element, id_list, template_element


class Group(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """Its users are those whose `group_ids` name it; `admin_ids` of them administer it."""

    admin_ids: tuple[int, ...] = ()


def user_ids(reader: Reader, gid: int) -> list[int]:
    return [oid for oid in reader.find(USERS.table, "group", gid) if isinstance(oid, int)]


def render(reader: Reader, row: Group) -> str:
    """`<GROUP>` as pools show it."""
    return f"<GROUP>{_fields(reader, row)}</GROUP>"


def render_info(reader: Reader, row: Group) -> str:
    """`<GROUP>` with its quotas and the default ones."""
    quotas = quotas_of(reader, GROUP, row.oid).to_xml()
    return f"<GROUP>{_fields(reader, row)}{quotas}{defaults_xml(reader, GROUP)}</GROUP>"


def _fields(reader: Reader, row: Group) -> str:
    return (
        f"{element('ID', row.oid)}{element('NAME', row.name)}{template_element(row.template)}"
        f"{id_list('USERS', user_ids(reader, row.oid))}{id_list('ADMINS', row.admin_ids)}"
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
    render_info=render_info,
    first_oid=100,
)
