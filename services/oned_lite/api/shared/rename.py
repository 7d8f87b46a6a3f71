"""one.*.rename."""

from __future__ import annotations

from typing import Any

import msgspec

from services.oned_lite.api.call import Call
from services.oned_lite.model.errors import action
from services.oned_lite.model.objects import Kind, named
from services.oned_lite.policy.authorization import Right
from services.oned_lite.policy.names import name_fault


def rename(call: Call, kind: Kind[Any], oid: int, name: str, *, right: Right = Right.MANAGE) -> int:
    """Gives an object another name. The name it already has is accepted before any right is looked at."""
    row = kind.get(call.tx, oid)
    if row.name == name:
        return oid
    call.authorize().need(right, kind, row).check()
    fault = name_fault(name)
    if fault is not None:
        raise action(fault)
    other = named(call.tx, kind, name, row.uid)
    if other is not None:
        raise action(f"{kind.title} cannot be renamed to {name} because it collides with {kind.title} {other}")
    call.tx.put(kind.table, msgspec.structs.replace(row, name=name))
    return oid
