"""one.*.chown and one.*.chmod."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from services.oned_lite.api.call import Call
from services.oned_lite.model.errors import internal
from services.oned_lite.model.group import GROUPS
from services.oned_lite.model.objects import Kind, NameScope, Permissions, named
from services.oned_lite.model.user import USERS
from services.oned_lite.policy import quotas
from services.oned_lite.policy.authorization import Right
from services.oned_lite.policy.quotas import Charge

from .allocation import others_may

UNCHANGED = -1


def chown(
    call: Call, kind: Kind[Any], oid: int, uid: int, gid: int, *, charges: Callable[[Any], list[Charge]] | None = None
) -> int:
    """A new owner and/or group; -1 leaves the present one. Needs MANAGE on the object and the new user, USE on the new
    group; who already owns it needs no asking. What `charges` says that the object counts goes along with it."""
    row = before = kind.get(call.tx, oid)
    user = None if uid == UNCHANGED else USERS.get(call.tx, uid)
    group = None if gid == UNCHANGED else GROUPS.get(call.tx, gid)
    authorization = call.authorize().need(Right.MANAGE, kind, row)
    if user is not None and uid != row.uid:
        authorization.need(Right.MANAGE, USERS, user)
    if group is not None and gid != row.gid:
        authorization.need(Right.USE, GROUPS, group)
    authorization.check()
    if user is not None and uid != row.uid:
        other = named(call.tx, kind, row.name, uid)
        if other is not None and kind.name_scope is NameScope.OWNER:
            raise internal(f"user [{uid}] already owns {kind.title} [{other}] with NAME {row.name}")
        row = msgspec.structs.replace(row, uid=uid, uname=user.name)
    if group is not None:
        row = msgspec.structs.replace(row, gid=gid, gname=group.name)
    if charges is not None and (row.uid, row.gid) != (before.uid, before.gid):
        quotas.remove(call.tx, before, charges(before))
        quotas.check_and_add(call.tx, row, charges(row), caller_uid=call.caller.uid)
    call.tx.put(kind.table, row)
    return oid


def chmod(call: Call, kind: Kind[Any], oid: int, bits: Sequence[int]) -> int:
    """Nine bits, each 1, 0 or -1 (leave). Changing an ADMIN bit needs ADMIN, anything else MANAGE. ENABLE_OTHER_PERMISSIONS
    may keep the bits of all others to administrators."""
    row = kind.get(call.tx, oid)
    old = msgspec.structs.astuple(row.permissions)
    new = tuple(before if bit == UNCHANGED else bit for before, bit in zip(old, bits, strict=True))
    admin_changes = any(old[position] != new[position] for position in _ADMIN_BITS)
    authorization = call.authorize().need(Right.ADMIN if admin_changes else Right.MANAGE, kind, row)
    if old[_OTHERS] != new[_OTHERS] and not call.caller.is_admin and not others_may(call.conf):
        authorization.deny("Management of 'other' permissions is disabled in oned.conf")
    authorization.check()
    if any(bit not in (0, 1) for bit in new):
        raise internal("New permission values must be -1, 0 or 1")
    call.tx.put(kind.table, msgspec.structs.replace(row, permissions=Permissions(*new)))
    return oid


_ADMIN_BITS = (2, 5, 8)
_OTHERS = slice(6, 9)
