"""one.group.*: groups, their administrators and quotas."""

from __future__ import annotations

from services.oned_lite.model import acl
from services.oned_lite.model.errors import action, internal
from services.oned_lite.model.group import GROUPS, Group, user_ids
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.quota import GROUP, defaults_xml, pool_xml
from services.oned_lite.model.removal import remove
from services.oned_lite.model.user import USERS
from services.oned_lite.model.vdc import DEFAULT_VDC, VDCS
from services.oned_lite.policy import quotas
from services.oned_lite.policy.authorization import Right
from services.oned_lite.policy.caller import ONEADMIN_GID

from . import shared
from .call import Call
from .group_admins import appoint, resign
from .method import MethodTable
from .shared import limits
from .shared.allocation import check_new_name
from .shared.operations import check_operation_words
from .vdc_rules import join, leave

METHODS = MethodTable("one.group")
POOL_METHODS = MethodTable("one.grouppool")
QUOTA_METHODS = MethodTable("one.groupquota")
RESTRICTED = "GROUP_RESTRICTED_ATTR"
OWN = -1
FIRST_USER_GROUP = 100


@METHODS.add("allocate")
def allocate(call: Call, name: str) -> int:
    """A new group joins the default VDC."""
    call.create(ObjectType.GROUP)
    check_new_name(call, GROUPS, name)
    oid = call.next_oid(GROUPS)
    call.tx.put(GROUPS.table, Group(oid=oid, name=name, gid=oid, gname=name))
    vdc = call.tx.get(VDCS.table, DEFAULT_VDC)
    if vdc is not None:
        join(call.tx, call.conf, vdc, oid)
    return oid


@METHODS.read("info")
def info(call: Call, oid: int, decrypt: bool = False) -> str:
    """-1 is the caller's group."""
    return shared.info(call, GROUPS, call.caller.gid if oid == OWN else oid, decrypt)


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    return shared.update(call, GROUPS, oid, text, append, restricted=RESTRICTED, finish=check_operation_words)


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    """An empty group of people's own making. Objects keep its id and name; `recursive` means nothing here."""
    call.fetch(GROUPS, oid, Right.ADMIN)
    if oid < FIRST_USER_GROUP:
        raise action("Cannot delete group. System Groups (ID < 100) cannot be deleted.")
    if user_ids(call.tx, oid):
        raise action(f"Cannot delete group. Group {oid} is not empty.")
    for key in call.tx.find(VDCS.table, "group", oid):
        vdc = call.tx.get(VDCS.table, key)
        if vdc is not None:
            leave(call.tx, call.conf, vdc, oid)
    quotas.forget(call.tx, GROUP, oid)
    acl.delete_rules_for_user(call.tx, acl.GROUP | oid)
    acl.delete_rules_about(call.tx, None, acl.GROUP | oid)
    remove(call.tx, GROUPS, oid)
    return oid


@METHODS.add("addadmin")
def addadmin(call: Call, oid: int, user_id: int) -> int:
    """Makes a member an administrator of the group."""
    group = _administered(call, oid, user_id)
    if oid not in USERS.get(call.tx, user_id).group_ids:
        raise internal(f"Cannot edit group. User {user_id} is not part of Group {oid}.")
    if user_id in group.admin_ids:
        raise internal(f"Cannot edit group. User {user_id} is already an administrator of Group {oid}.")
    appoint(call.tx, oid, user_id)
    return oid


@METHODS.add("deladmin")
def deladmin(call: Call, oid: int, user_id: int) -> int:
    group = _administered(call, oid, user_id)
    if user_id not in group.admin_ids:
        raise internal(f"Cannot edit group. User {user_id} is not an administrator of Group {oid}.")
    resign(call.tx, oid, user_id)
    return oid


def _administered(call: Call, oid: int, user_id: int) -> Group:
    group = GROUPS.get(call.tx, oid)
    user = USERS.get(call.tx, user_id)
    call.authorize().need(Right.ADMIN, GROUPS, group).need(Right.ADMIN, USERS, user).check()
    return group


@METHODS.add("quota")
def quota(call: Call, oid: int, text: str) -> int:
    """Replaces the limits of what the template names."""
    if oid == ONEADMIN_GID:
        raise action("Cannot set quotas for oneadmin group")
    call.fetch(GROUPS, oid, Right.ADMIN)
    limits.set_limits(call, GROUP, oid, text)
    return oid


@POOL_METHODS.read("info")
def pool_info(call: Call) -> str:
    """Each group that the caller may use, followed by its quotas; the default quotas close the list."""
    rows = shared.listed(call, GROUPS, -2, -1, -1)
    body = "".join(GROUPS.render(call.tx, row) + pool_xml(call.tx, GROUP, row.oid) for row in rows)
    return f"<GROUP_POOL>{body}{defaults_xml(call.tx, GROUP)}</GROUP_POOL>"


@QUOTA_METHODS.add("info", in_disabled_zone=True, reads=True)
def quota_info(call: Call) -> str:
    return defaults_xml(call.tx, GROUP)


@QUOTA_METHODS.add("update")
def quota_update(call: Call, text: str) -> str:
    return limits.set_defaults(call, GROUP, text)
