"""Who administers a group, and the access rules that make it so."""

from __future__ import annotations

import msgspec

from services.oned_lite.model import acl
from services.oned_lite.model.group import GROUPS
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.state import Transaction

ALL_RIGHTS = acl.USE | acl.MANAGE | acl.ADMIN | acl.CREATE
_OWNED = (
    ObjectType.VM
    | ObjectType.NET
    | ObjectType.IMAGE
    | ObjectType.TEMPLATE
    | ObjectType.DOCUMENT
    | ObjectType.SECGROUP
    | ObjectType.VROUTER
    | ObjectType.VMGROUP
)
Rule = tuple[int, int]
"""Resource and rights."""


def _rules(gid: int) -> tuple[Rule, ...]:
    return (
        (ObjectType.USER | acl.GROUP | gid, ALL_RIGHTS),
        (_OWNED | ObjectType.BACKUPJOB | acl.GROUP | gid, acl.USE | acl.MANAGE),
        (ObjectType.VROUTER | acl.ALL, acl.CREATE),
        (ObjectType.GROUP | acl.INDIVIDUAL | gid, acl.MANAGE),
    )


def _rules_taken_back(gid: int) -> tuple[Rule, ...]:
    """oned looks for the second rule without BACKUPJOB and so leaves the one with it behind; clients see that."""
    users, _, routers, group = _rules(gid)
    return (users, (_OWNED | acl.GROUP | gid, acl.USE | acl.MANAGE), routers, group)


def appoint(tx: Transaction, gid: int, uid: int) -> None:
    """Makes a member an administrator."""
    group = GROUPS.get(tx, gid)
    tx.put(GROUPS.table, msgspec.structs.replace(group, admin_ids=tuple(sorted({*group.admin_ids, uid}))))
    for resource, rights in _rules(gid):
        acl.add_rule(tx, acl.INDIVIDUAL | uid, resource, rights, acl.ANY_ZONE)


def resign(tx: Transaction, gid: int, uid: int) -> None:
    """Ends it; nothing happens where the user was none."""
    group = tx.get(GROUPS.table, gid)
    if group is None or uid not in group.admin_ids:
        return
    admin_ids = tuple(one for one in group.admin_ids if one != uid)
    tx.put(GROUPS.table, msgspec.structs.replace(group, admin_ids=admin_ids))
    for resource, rights in _rules_taken_back(gid):
        acl.delete_rule(tx, acl.INDIVIDUAL | uid, resource, rights, acl.ANY_ZONE)
