"""one.*pool.info: lists with ownership filter, id range and paging."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from services.oned_lite.api.call import Call
from services.oned_lite.model.errors import bad_request
from services.oned_lite.model.objects import Kind, PoolObject
from services.oned_lite.policy.authorization import Right, allowed

R = TypeVar("R", bound=PoolObject)

GROUP_FILTER, MINE_FILTER, ALL_FILTER, MINE_GROUP_FILTER = -4, -3, -2, -1


def pool_info(
    call: Call, kind: Kind[R], filter_flag: int, start: int, end: int, *, where: Callable[[R], bool] | None = None
) -> str:
    """`<KIND_POOL>…</KIND_POOL>` of the rows that `listed` gives."""
    body = "".join(kind.render(call.tx, row) for row in listed(call, kind, filter_flag, start, end, where=where))
    return f"<{kind.pool_root}>{body}</{kind.pool_root}>"


def listed(
    call: Call, kind: Kind[R], filter_flag: int, start: int, end: int, *, where: Callable[[R], bool] | None = None
) -> Iterator[R]:
    """The rows a pool call shows, in its order. Raises XML_RPC_API for an unknown filter.

    `end` below -1 asks for a page: -end rows after the first `start`; otherwise start..end are ids, -1 open.
    """
    if filter_flag < GROUP_FILTER:
        raise bad_request("Incorrect filter_flag")
    paged = end < -1
    candidates = _candidates(call, kind, filter_flag)
    if start >= 0 and not paged:
        candidates = [oid for oid in candidates if oid >= start and (end < 0 or oid <= end)]
    found = _visible(call, kind, filter_flag, _ordered(call, candidates), where)
    return _page(found, max(start, 0), -end) if paged else found


def _candidates(call: Call, kind: Kind[Any], filter_flag: int) -> list[int]:
    """Ids that may pass the filter, from the narrowest index there is."""
    if filter_flag == MINE_FILTER:
        return _ints(call.tx.find(kind.table, "uid", call.caller.uid))
    if filter_flag == GROUP_FILTER:
        return _ints(call.tx.find(kind.table, "gid", call.caller.gid))
    if filter_flag >= 0:
        return _ints(call.tx.find(kind.table, "uid", filter_flag))
    return _ints(call.tx.keys(kind.table))


def _ints(keys: Iterable[object]) -> list[int]:
    return [key for key in keys if isinstance(key, int)]


def _ordered(call: Call, oids: list[int]) -> Iterable[int]:
    return reversed(oids) if descending(call) else oids


def descending(call: Call) -> bool:
    """API_LIST_ORDER of the daemon's configuration."""
    return call.conf.template.get("API_LIST_ORDER", "DESC") == "DESC"


def _visible(
    call: Call, kind: Kind[R], filter_flag: int, oids: Iterable[int], where: Callable[[R], bool] | None
) -> Iterator[R]:
    for oid in oids:
        row = call.tx.get(kind.table, oid)
        if row is not None and (where is None or where(row)) and _shown(call, kind, filter_flag, row):
            yield row


def _shown(call: Call, kind: Kind[Any], filter_flag: int, row: PoolObject) -> bool:
    caller = call.caller
    if caller.is_admin and filter_flag != MINE_GROUP_FILTER:
        return True
    if filter_flag in (MINE_FILTER, GROUP_FILTER):
        return True
    if filter_flag == MINE_GROUP_FILTER:
        mine = row.uid == caller.uid
        return mine or (row.gid in caller.group_ids and (caller.is_admin or bool(row.permissions.group_u)))
    return row.uid == caller.uid or allowed(call.tx, caller, Right.USE, kind, row)


def _page(rows: Iterator[R], offset: int, size: int) -> Iterator[R]:
    for number, row in enumerate(rows):
        if number >= offset + size:
            return
        if number >= offset:
            yield row
