"""Handlers for the shared verbs of a kind that adds nothing to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from services.oned_lite.api.call import Call
from services.oned_lite.api.method import MethodTable
from services.oned_lite.api.pieces import Pieces
from services.oned_lite.model.objects import Kind

from .info import info, pool_info
from .locking import lock, unlock
from .ownership import chmod, chown
from .rename import rename

ChangeBits = Callable[[Call, int, Sequence[int], bool], int]
"""Changes the permissions of the object with that id; the last parameter is `recursive`."""


def register(methods: MethodTable, kind: Kind[Any], *verbs: str) -> None:
    """Adds `verbs` (of "info", "rename", "chown", "chmod", "lock", "unlock") for the kind."""
    for verb in verbs:
        _HANDLERS[verb](methods, kind)


def register_pool(pool_methods: MethodTable, kind: Kind[Any]) -> None:
    """Adds the pool's "info" with filter, start and end."""

    @pool_methods.read("info")
    def _pool_info(call: Call, filter_flag: int, start_id: int, end_id: int) -> Pieces:
        return pool_info(call, kind, filter_flag, start_id, end_id)


def _register_info(methods: MethodTable, kind: Kind[Any]) -> None:
    @methods.read("info")
    def _info(call: Call, oid: int, decrypt: bool = False) -> str:
        return info(call, kind, oid, decrypt)


def _register_rename(methods: MethodTable, kind: Kind[Any]) -> None:
    @methods.add("rename")
    def _rename(call: Call, oid: int, name: str) -> int:
        return rename(call, kind, oid, name)


def _register_chown(methods: MethodTable, kind: Kind[Any]) -> None:
    @methods.add("chown")
    def _chown(call: Call, oid: int, uid: int, gid: int) -> int:
        return chown(call, kind, oid, uid, gid)


def register_chmod(methods: MethodTable, change: ChangeBits) -> None:
    """Adds "chmod", whose nine bits stand one by one on the wire and reach `change` together."""

    def _chmod(
        call: Call,
        oid: int,
        owner_u: int,
        owner_m: int,
        owner_a: int,
        group_u: int,
        group_m: int,
        group_a: int,
        other_u: int,
        other_m: int,
        other_a: int,
        recursive: bool = False,
    ) -> int:
        bits = (owner_u, owner_m, owner_a, group_u, group_m, group_a, other_u, other_m, other_a)
        return change(call, oid, bits, recursive)

    _chmod.__doc__ = change.__doc__
    methods.add("chmod")(_chmod)


def _register_chmod(methods: MethodTable, kind: Kind[Any]) -> None:
    register_chmod(methods, lambda call, oid, bits, _recursive: chmod(call, kind, oid, bits))


def _register_lock(methods: MethodTable, kind: Kind[Any]) -> None:
    @methods.add("lock")
    def _lock(call: Call, oid: int, level: int, test: bool = False) -> int:
        return lock(call, kind, oid, level, test)


def _register_unlock(methods: MethodTable, kind: Kind[Any]) -> None:
    @methods.add("unlock")
    def _unlock(call: Call, oid: int) -> int:
        return unlock(call, kind, oid)


_HANDLERS: dict[str, Callable[[MethodTable, Kind[Any]], None]] = {
    "info": _register_info,
    "rename": _register_rename,
    "chown": _register_chown,
    "chmod": _register_chmod,
    "lock": _register_lock,
    "unlock": _register_unlock,
}
