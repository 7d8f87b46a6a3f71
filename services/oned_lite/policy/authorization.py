"""May this caller do this? Owner, group and other bits, access rules, and locks."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from services.oned_lite.model.errors import unauthorized
from services.oned_lite.model.objects import Kind, ObjectType, PoolObject
from services.oned_lite.state import Reader

from .acl import Grants, grants
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
        """CREATE of a type in the caller's group: only access rules (and administrators) give it."""
        return self._need_type(Right.CREATE, object_type, self._caller.gid)

    def need_type(self, right: Right, object_type: ObjectType) -> Authorization:
        """`right` on a whole type."""
        return self._need_type(right, object_type, NO_GROUP)

    def _need_type(self, right: Right, object_type: ObjectType, gid: int) -> Authorization:
        caller = self._caller
        if not caller.is_admin and not grants(self._reader, caller, right, object_type).cover(NO_OBJECT, gid, ()):
            self._denials.append(denial(right, object_type, NO_OBJECT))
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


NO_OBJECT = NO_GROUP = -1


def denial(right: Right, object_type: ObjectType, oid: int) -> str:
    place = f" [{oid}]" if oid >= 0 else ""
    return f"Not authorized to perform {right.name} {object_type.name}{place}"


def is_locked(row: PoolObject, right: Right) -> bool:
    return row.lock is not None and 0 < row.lock.level <= right


def allowed(reader: Reader, caller: Caller, right: Right, kind: Kind[Any], row: PoolObject) -> bool:
    """Permissions and rules, without regard to locks."""
    if caller.is_admin or owns(caller, right, kind.type, row):
        return True
    return covered(reader, grants(reader, caller, right, kind.type), kind, row)


def covered(reader: Reader, given: Grants, kind: Kind[Any], row: PoolObject) -> bool:
    """Do the caller's grants for this kind reach this object?"""
    return given.cover(row.oid, row.gid, kind.cluster_ids(reader, row) if given.clusters else ())


_WITHOUT_PERMISSIONS = frozenset(
    {ObjectType.HOST, ObjectType.CLUSTER, ObjectType.ZONE, ObjectType.VDC, ObjectType.ACL, ObjectType.HOOK}
)
_OWNER_BIT = {Right.USE: "owner_u", Right.MANAGE: "owner_m", Right.ADMIN: "owner_a"}
_GROUP_BIT = {Right.USE: "group_u", Right.MANAGE: "group_m", Right.ADMIN: "group_a"}
_OTHER_BIT = {Right.USE: "other_u", Right.MANAGE: "other_m", Right.ADMIN: "other_a"}


def owns(caller: Caller, right: Right, object_type: ObjectType, row: PoolObject) -> bool:
    """What the object's permissions give by themselves. Users may use and manage themselves, and use their groups."""
    if right is Right.CREATE or object_type in _WITHOUT_PERMISSIONS:
        return False
    if object_type is ObjectType.USER:
        return row.oid == caller.uid and right is not Right.ADMIN
    if object_type is ObjectType.GROUP:
        return row.oid in caller.group_ids and right is Right.USE
    bits = row.permissions
    return bool(
        getattr(bits, _OTHER_BIT[right])
        or (row.uid == caller.uid and getattr(bits, _OWNER_BIT[right]))
        or (row.gid in caller.group_ids and getattr(bits, _GROUP_BIT[right]))
    )
