"""Users."""

from __future__ import annotations

import msgspec

from services.oned_lite.state import Reader

from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .xml import element, id_list, template_element, text_element


class LoginToken(msgspec.Struct, frozen=True, array_like=True):
    """`expires`: epoch seconds, -1 never; `egid`: the only group it gives, -1 all of the user's."""

    token: str
    expires: int
    egid: int


class User(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """`password`: sha256 hex for driver core, else the text given. `group_ids`: all groups, the primary one included."""

    password: str
    auth_driver: str = "core"
    enabled: bool = True
    group_ids: tuple[int, ...]
    tokens: tuple[LoginToken, ...] = ()


def render(_reader: Reader, row: User) -> str:
    """`<USER>` without quotas."""
    tokens = "".join(
        f"<LOGIN_TOKEN><TOKEN>{one.token}</TOKEN><EXPIRATION_TIME>{one.expires}</EXPIRATION_TIME><EGID>{one.egid}</EGID></LOGIN_TOKEN>"
        for one in row.tokens
    )
    return (
        f"<USER>{element('ID', row.oid)}{element('GID', row.gid)}{id_list('GROUPS', row.group_ids)}"
        f"{element('GNAME', row.gname)}{element('NAME', row.name)}{text_element('PASSWORD', row.password)}"
        f"{text_element('AUTH_DRIVER', row.auth_driver)}{element('ENABLED', int(row.enabled))}{tokens}"
        f"{template_element(row.template)}</USER>"
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
)
