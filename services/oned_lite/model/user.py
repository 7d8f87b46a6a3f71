"""Users."""

from __future__ import annotations

import msgspec

from services.oned_lite.state import Reader

from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .quota import USER, defaults_xml, quotas_of
from .xml import element, escape, id_list, template_element, text_element


class LoginToken(msgspec.Struct, frozen=True, array_like=True):
    """`expires`: epoch seconds, -1 never; `egid`: the only group it gives, -1 all of the user's."""

    token: str
    expires: int
    egid: int


class User(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """`password`: sha256 hex for driver core, else the text given. `group_ids`: all groups, the primary one included,
    ascending. A user owns itself: `uid` is `oid`. `tokens` are in the order of their texts."""

    password: str
    auth_driver: str = "core"
    enabled: bool = True
    group_ids: tuple[int, ...]
    tokens: tuple[LoginToken, ...] = ()


CORE = "core"


def in_group(user: User, group_id: int) -> User:
    """The user with one more group."""
    return msgspec.structs.replace(user, group_ids=tuple(sorted({*user.group_ids, group_id})))


def out_of_group(user: User, group_id: int) -> User:
    """The user with one group less."""
    return msgspec.structs.replace(user, group_ids=tuple(one for one in user.group_ids if one != group_id))


def render(_reader: Reader, row: User) -> str:
    """`<USER>` as pools show it."""
    return f"<USER>{_fields(row)}</USER>"


def render_info(reader: Reader, row: User) -> str:
    """`<USER>` with its quotas and the default ones."""
    return f"<USER>{_fields(row)}{quotas_of(reader, USER, row.oid).to_xml()}{defaults_xml(reader, USER)}</USER>"


def _fields(row: User) -> str:
    tokens = "".join(
        f"<LOGIN_TOKEN>{element('TOKEN', escape(one.token))}{element('EXPIRATION_TIME', one.expires)}"
        f"{element('EGID', one.egid)}</LOGIN_TOKEN>"
        for one in row.tokens
    )
    return (
        f"{element('ID', row.oid)}{element('GID', row.gid)}{id_list('GROUPS', row.group_ids)}"
        f"{element('GNAME', row.gname)}{element('NAME', row.name)}{text_element('PASSWORD', row.password)}"
        f"{text_element('AUTH_DRIVER', row.auth_driver)}{element('ENABLED', int(row.enabled))}{tokens}"
        f"{template_element(row.template)}"
    )


USERS = Kind(
    type=ObjectType.USER,
    title="user",
    table=kind_table("user_pool", User, NameScope.POOL, group=lambda row: row.group_ids),
    prefix="one.user",
    root="USER",
    pool_root="USER_POOL",
    name_scope=NameScope.POOL,
    render=render,
    render_info=render_info,
    encrypted="USER_ENCRYPTED_ATTR",
)
