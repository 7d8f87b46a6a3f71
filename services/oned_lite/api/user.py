"""one.user.*: users, their groups and quotas. Login tokens are in `user_login`."""

from __future__ import annotations

import hashlib
from typing import cast

import msgspec

from services.common.template import Template
from services.common.xmlrpc import Value
from services.oned_lite.model import acl
from services.oned_lite.model.errors import ParameterFault, action, bad_request, internal
from services.oned_lite.model.group import GROUPS, Group
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.quota import USER, defaults_xml, pool_xml
from services.oned_lite.model.removal import remove
from services.oned_lite.model.user import CORE, USERS, User, in_group, out_of_group
from services.oned_lite.policy import quotas, users
from services.oned_lite.policy.authorization import Right
from services.oned_lite.policy.caller import ONEADMIN_GID, ONEADMIN_UID, USERS_GID
from services.oned_lite.policy.names import taken_by

from . import shared
from .call import Call
from .group_admins import resign
from .method import MethodTable
from .shared import limits
from .shared.operations import check_operation_words

METHODS = MethodTable("one.user")
POOL_METHODS = MethodTable("one.userpool")
QUOTA_METHODS = MethodTable("one.userquota")
RESTRICTED = "USER_RESTRICTED_ATTR"
SELF = -1
NO_GROUPS: list[Value] = []
_NOT_AN_INTEGER = -500


@METHODS.add("allocate", hidden=("password",))
def allocate(call: Call, name: str, password: str, auth_driver: str, group_ids: list[Value] = NO_GROUPS) -> int:
    """Driver "" is core. The first group is the primary one; without any it is `users` where an administrator asks, else
    the caller's own."""
    groups = _groups(call, group_ids)
    authorization = call.authorize().create(ObjectType.USER)
    for group in groups:
        if group.oid != call.caller.gid:
            authorization.need(Right.MANAGE, GROUPS, group)
    authorization.check()
    driver = auth_driver or CORE
    fault = (
        users.name_fault(name)
        or users.password_fault(call.conf, driver, password)
        or taken_by(call.tx, USERS, name, call.caller.uid)
    )
    if fault is not None:
        raise internal(fault if fault.endswith(".") else f"{fault}.")
    return _new(call, name, users.stored_password(driver, password), driver, groups).oid


def _new(call: Call, name: str, password: str, driver: str, groups: list[Group]) -> User:
    oid = call.next_oid(USERS)
    token_password = hashlib.sha256(call.tx.random(32)).hexdigest()
    row = User(
        oid=oid,
        name=name,
        uid=oid,
        uname=name,
        gid=groups[0].oid,
        gname=groups[0].name,
        password=password,
        auth_driver=driver,
        group_ids=tuple(sorted({group.oid for group in groups})),
        template=Template.of(TOKEN_PASSWORD=token_password),
    )
    return call.tx.put(USERS.table, row)


def _groups(call: Call, group_ids: list[Value]) -> list[Group]:
    if not all(type(one) is int for one in group_ids):
        raise ParameterFault("Not integer type.  See type() method", _NOT_AN_INTEGER)
    if group_ids:
        return [GROUPS.get(call.tx, cast(int, one)) for one in group_ids]
    return [GROUPS.get(call.tx, USERS_GID if call.caller.gid == ONEADMIN_GID else call.caller.gid)]


@METHODS.read("info")
def info(call: Call, oid: int, decrypt: bool = False) -> str:
    """-1 is the caller."""
    return shared.info(call, USERS, call.caller.uid if oid == SELF else oid, decrypt)


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    return shared.update(call, USERS, oid, text, append, restricted=RESTRICTED, finish=check_operation_words)


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    """Never user 0. The user's objects stay, with his id and name; `recursive` means nothing here."""
    user = call.fetch(USERS, oid, Right.ADMIN)
    if oid == ONEADMIN_UID:
        raise action("Cannot delete user. oneadmin cannot be deleted.")
    for group_id in user.group_ids:
        resign(call.tx, group_id, oid)
    quotas.forget(call.tx, USER, oid)
    acl.delete_rules_for_user(call.tx, acl.INDIVIDUAL | oid)
    remove(call.tx, USERS, oid)
    return oid


@METHODS.add("passwd", hidden=("password",))
def passwd(call: Call, oid: int, password: str) -> int:
    """Ends the user's sessions and login tokens. Only some drivers let users change their own."""
    user = call.fetch(USERS, oid, Right.MANAGE)
    if not call.caller.is_admin and not users.may_change_password(call.conf, user.auth_driver):
        raise action(f"Password for driver {user.auth_driver} cannot be changed.")
    call.tx.put(USERS.table, _with_password(call, user, password))
    return oid


def _with_password(call: Call, user: User, password: str) -> User:
    fault = users.password_fault(call.conf, user.auth_driver, password)
    if fault is not None:
        raise action(fault)
    stored = users.stored_password(user.auth_driver, password)
    return msgspec.structs.replace(user, password=stored, tokens=())


@METHODS.add("chauth", hidden=("password",))
def chauth(call: Call, oid: int, auth_driver: str, password: str) -> int:
    """Any driver name is taken. Without a password what is stored stays, hash or not."""
    user = msgspec.structs.replace(call.fetch(USERS, oid, Right.ADMIN), auth_driver=auth_driver)
    call.tx.put(USERS.table, _with_password(call, user, password) if password else user)
    return oid


@METHODS.add("enable")
def enable(call: Call, oid: int, enable: bool) -> int:
    """Disabling ends the user's sessions and login tokens. Never user 0."""
    user = call.fetch(USERS, oid, Right.ADMIN)
    if oid == ONEADMIN_UID:
        raise action("Cannot enable/disable oneadmin user")
    tokens = user.tokens if enable else ()
    call.tx.put(USERS.table, msgspec.structs.replace(user, enabled=enable, tokens=tokens))
    return oid


@METHODS.add("addgroup")
def addgroup(call: Call, oid: int, gid: int) -> int:
    """One more secondary group."""
    user = _membership(call, oid, gid)
    if gid in user.group_ids:
        raise action("User is already in this group")
    call.tx.put(USERS.table, in_group(user, gid))
    return oid


@METHODS.add("delgroup")
def delgroup(call: Call, oid: int, gid: int) -> int:
    """Leaves a secondary group; who administered it does so no more."""
    user = _membership(call, oid, gid)
    if gid == user.gid:
        raise action("Cannot remove user from the primary group")
    if gid not in user.group_ids:
        raise action("User is not part of this group")
    resign(call.tx, gid, oid)
    call.tx.put(USERS.table, out_of_group(user, gid))
    return oid


def _membership(call: Call, oid: int, gid: int) -> User:
    """The user whose secondary groups are to change. Some drivers manage groups themselves."""
    user = USERS.get(call.tx, oid)
    group = GROUPS.get(call.tx, gid)
    call.authorize().need(Right.MANAGE, USERS, user).need(Right.MANAGE, GROUPS, group).check()
    _check_driver_lets_groups_change(call, user)
    return user


@METHODS.add("chgrp")
def chgrp(call: Call, oid: int, gid: int) -> int:
    """Another primary group. It takes the place of the old one, unless the user was in it already: then the old one stays
    as a secondary group."""
    if gid < 0:
        raise bad_request("Wrong group ID")
    user = USERS.get(call.tx, oid)
    group = GROUPS.get(call.tx, gid)
    authorization = call.authorize().need(Right.MANAGE, USERS, user)
    if gid != user.gid:
        authorization.need(Right.USE, GROUPS, group)
    authorization.check()
    if oid == ONEADMIN_UID:
        raise internal("user [0] oneadmin cannot be moved outside of the group [0] oneadmin")
    if gid == user.gid:
        return oid
    if gid not in user.group_ids:
        _check_driver_lets_groups_change(call, user)
        resign(call.tx, user.gid, oid)
        user = in_group(out_of_group(user, user.gid), gid)
    call.tx.put(USERS.table, msgspec.structs.replace(user, gid=gid, gname=group.name))
    return oid


def _check_driver_lets_groups_change(call: Call, user: User) -> None:
    if users.manages_groups(call.conf, user.auth_driver):
        raise action(f"Groups cannot be manually managed for auth driver {user.auth_driver}")


@METHODS.add("quota")
def quota(call: Call, oid: int, text: str) -> int:
    """Replaces the limits of what the template names."""
    if oid == ONEADMIN_UID:
        raise action("Cannot set quotas for oneadmin user")
    call.fetch(USERS, oid, Right.ADMIN)
    limits.set_limits(call, USER, oid, text)
    return oid


@POOL_METHODS.read("info")
def pool_info(call: Call) -> str:
    """Each user that the caller may use, followed by its quotas; the default quotas close the list."""
    rows = shared.listed(call, USERS, -2, -1, -1)
    body = "".join(USERS.render(call.tx, row) + pool_xml(call.tx, USER, row.oid) for row in rows)
    return f"<USER_POOL>{body}{defaults_xml(call.tx, USER)}</USER_POOL>"


@QUOTA_METHODS.add("info", in_disabled_zone=True, reads=True)
def quota_info(call: Call) -> str:
    return defaults_xml(call.tx, USER)


@QUOTA_METHODS.add("update")
def quota_update(call: Call, text: str) -> str:
    return limits.set_defaults(call, USER, text)
