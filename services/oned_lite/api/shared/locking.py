"""one.*.lock and one.*.unlock."""

from __future__ import annotations

from typing import Any

import msgspec

from services.oned_lite.api.call import Call
from services.oned_lite.model.errors import action
from services.oned_lite.model.objects import Kind, Lock
from services.oned_lite.policy.authorization import Right

LEVEL_ALL = 4
LEVEL_USE = 1
LEVELS = range(1, 5)


def lock(call: Call, kind: Kind[Any], oid: int, level: int, test: bool = False) -> int:
    """Stops operations of `level` (1 use, 2 manage, 3 admin, 4 all) and above. With `test`, a lock that is there is an
    error whose whole message is the lock's time."""
    row = call.fetch(kind, oid, Right.MANAGE, ignore_lock=True)
    if level not in LEVELS:
        raise action("Wrong lock level specified")
    if test and row.lock is not None:
        raise action(str(row.lock.time))
    if row.lock is not None and row.lock.owner != call.caller.uid and not call.caller.is_admin:
        raise action("Error trying to lock the resource.")
    stored = LEVEL_USE if level == LEVEL_ALL else level
    request_id = int.from_bytes(call.tx.random(2), "big")
    call.tx.put(kind.table, msgspec.structs.replace(row, lock=Lock(stored, call.caller.uid, call.tx.now, request_id)))
    return oid


def unlock(call: Call, kind: Kind[Any], oid: int) -> int:
    """By the lock's owner or an administrator."""
    row = call.fetch(kind, oid, Right.MANAGE, ignore_lock=True)
    owner = -1 if row.lock is None else row.lock.owner
    if owner != call.caller.uid and not call.caller.is_admin:
        raise action("Cannot unlock: Lock is owned by another user")
    call.tx.put(kind.table, msgspec.structs.replace(row, lock=None))
    return oid
