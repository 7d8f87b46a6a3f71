"""May this caller do this? Owner, group and other bits, access rules, and locks."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from services.oned_lite.model import acl
from services.oned_lite.model.acl import ACL_RULES
from services.oned_lite.model.errors import unauthorized
from services.oned_lite.model.objects import Kind, ObjectType, Permissions, PoolObject
from services.oned_lite.state import Reader
from services.oned_lite.state.table import rows

from .caller import Caller


class Right(IntEnum):
    USE = 1
    MANAGE = 2
    ADMIN = 4
    CREATE = 8


class Authorization:
    """Collects the rights one call needs and refuses once, naming every missing one in the order asked for.

    >>> Authorization(reader, caller).need(Right.USE, TEMPLATES, row).create(ObjectType.VM).check()
    """

    def __init__(self, reader: Reader, caller: Caller) -> None:
        self._reader = reader
        self._caller = caller
        self._denials: list[str] = []

    def need(self, right: Right, kind: Kind[Any], row: PoolObject, *, ignore_lock: bool = False) -> Authorization:
        """`right` on one object. A lock at or above the right's level stops everybody, oneadmin included."""
        if not ignore_lock and is_locked(row, right):
            locked = f"{kind.type.name} is locked. [{row.oid}]"
            self._denials.append(locked if self._caller.is_admin else denial(right, kind.type, row.oid))
        elif not allowed(self._reader, self._caller, right, kind, row):
            self._denials.append(denial(right, kind.type, row.oid))
        return self

    def create(self, object_type: ObjectType) -> Authorization:
        """CREATE of a type: only access rules (and administrators) give it."""
        return self.need_type(Right.CREATE, object_type)

    def need_type(self, right: Right, object_type: ObjectType) -> Authorization:
        """`right` on a whole type."""
        caller = self._caller
        if not caller.is_admin and not rules_allow(self._reader, caller, right, object_type, -1, -1, ()):
            self._denials.append(denial(right, object_type, -1))
        return self

    def deny(self, detail: str) -> Authorization:
        """Adds a reason of another sort (a restricted attribute, for instance)."""
        self._denials.append(detail)
        return self

    def check(self) -> None:
        """Raises AUTHORIZATION where anything was missing."""
        if self._denials:
            raise unauthorized(self._caller.uid, "; ".join(self._denials))

    @property
    def passed(self) -> bool:
        return not self._denials


def denial(right: Right, object_type: ObjectType, oid: int) -> str:
    place = f" [{oid}]" if oid >= 0 else ""
    return f"Not authorized to perform {right.name} {object_type.name}{place}"


def is_locked(row: PoolObject, right: Right) -> bool:
    return row.lock is not None and 0 < row.lock.level <= right


def allowed(reader: Reader, caller: Caller, right: Right, kind: Kind[Any], row: PoolObject) -> bool:
    """Permissions and rules, without regard to locks."""
    if caller.is_admin or _bits_allow(caller, right, row.permissions, row.uid, row.gid, kind):
        return True
    if kind.type is ObjectType.GROUP and right is Right.USE and row.oid in caller.group_ids:
        return True
    return rules_allow(reader, caller, right, kind.type, row.oid, row.gid, kind.cluster_ids(reader, row))


_WITHOUT_PERMISSIONS = frozenset(
    {
        ObjectType.HOST,
        ObjectType.CLUSTER,
        ObjectType.GROUP,
        ObjectType.ZONE,
        ObjectType.VDC,
        ObjectType.ACL,
        ObjectType.HOOK,
    }
)


def _bits_allow(caller: Caller, right: Right, bits: Permissions, uid: int, gid: int, kind: Kind[Any]) -> bool:
    if right is Right.CREATE or kind.type in _WITHOUT_PERMISSIONS:
        return False
    if kind.type is ObjectType.USER:
        return uid == caller.uid and right is not Right.ADMIN
    position = {Right.USE: 0, Right.MANAGE: 1, Right.ADMIN: 2}[right]
    owner = (bits.owner_u, bits.owner_m, bits.owner_a)[position]
    group = (bits.group_u, bits.group_m, bits.group_a)[position]
    other = (bits.other_u, bits.other_m, bits.other_a)[position]
    return bool(other or (uid == caller.uid and owner) or (gid in caller.group_ids and group))


def rules_allow(
    reader: Reader,
    caller: Caller,
    right: Right,
    object_type: ObjectType,
    oid: int,
    gid: int,
    cluster_ids: tuple[int, ...],
) -> bool:
    """Does any rule for everybody, for the caller or for one of the caller's groups give `right`?"""
    selectors = [acl.ALL, acl.INDIVIDUAL | caller.uid, *(acl.GROUP | group for group in caller.group_ids)]
    wanted = {acl.ALL}
    if oid >= 0:
        wanted.add(acl.INDIVIDUAL | oid)
    if gid >= 0:
        wanted.add(acl.GROUP | gid)
    wanted.update(acl.CLUSTER | cluster for cluster in cluster_ids)
    selector_mask = acl.INDIVIDUAL | acl.GROUP | acl.ALL | acl.CLUSTER | acl.ID_MASK
    for selector in selectors:
        for rule in rows(reader, ACL_RULES, "user", selector):
            if rule.rights & right and rule.resource & object_type and rule.resource & selector_mask in wanted:
                return True
    return False
