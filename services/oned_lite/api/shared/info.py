"""one.*.info and one.*pool.info: one object, and lists with ownership filter, id range and paging."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, TypeVar, cast

import msgspec

from services.common.xmlrpc import EncodedText, encode_text
from services.oned_lite.api.call import Call
from services.oned_lite.api.method import read_late
from services.oned_lite.api.pieces import Pieces
from services.oned_lite.model.errors import bad_request
from services.oned_lite.model.group import GROUPS
from services.oned_lite.model.objects import Kind, PoolObject
from services.oned_lite.model.user import USERS
from services.oned_lite.policy import secrets
from services.oned_lite.policy.acl import grants
from services.oned_lite.policy.authorization import Right, covered, owns

R = TypeVar("R", bound=PoolObject)

GROUP_FILTER, MINE_FILTER, ALL_FILTER, MINE_GROUP_FILTER = -4, -3, -2, -1


def info(call: Call, kind: Kind[R], oid: int, decrypt: bool = False) -> str:
    """The object's XML. `decrypt` shows administrators encrypted attributes in plain text; from others it is ignored."""
    row = call.fetch(kind, oid, Right.USE, ignore_lock=True)
    if read_late(decrypt) and kind.encrypted and call.caller.is_admin:
        plain = secrets.opened(call.tx, call.conf, kind.encrypted, row.template)
        row = msgspec.structs.replace(row, template=plain)
    return kind.info_xml(call.tx, row)


def pool_info(
    call: Call, kind: Kind[R], filter_flag: int, start: int, end: int, *, where: Callable[[R], bool] | None = None
) -> Pieces:
    """`<KIND_POOL>…</KIND_POOL>` of the rows that `listed` gives."""
    rows = listed(call, kind, filter_flag, start, end, where=where)
    return framed(kind.pool_root, (encode_text(kind.render(call.tx, row)) for row in rows))


def framed(root: str, pieces: Iterable[EncodedText]) -> Pieces:
    """`pieces` in an element."""
    return Pieces(chain((encode_text(f"<{root}>"),), pieces, (encode_text(f"</{root}>"),)))


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
        keys = call.tx.find(kind.table, "uid", call.caller.uid)
    elif filter_flag == GROUP_FILTER:
        keys = call.tx.find(kind.table, "gid", call.caller.gid)
    elif filter_flag >= 0:
        keys = call.tx.find(kind.table, "uid", filter_flag)
    else:
        keys = call.tx.keys(kind.table)
    return cast(list[int], keys)  # tables of objects have ids as keys


def _ordered(call: Call, oids: list[int]) -> Iterable[int]:
    return reversed(oids) if descending(call) else oids


def descending(call: Call) -> bool:
    """API_LIST_ORDER: in OPENNEBULA of the user, else of the effective group, else of the daemon's configuration."""
    user = call.tx.get(USERS.table, call.caller.uid)
    group = call.tx.get(GROUPS.table, call.caller.gid)
    for template in (one.template for one in (user, group) if one is not None):
        chosen = next((vector.get("API_LIST_ORDER") for vector in template.vectors("OPENNEBULA")), "")
        if chosen:
            return chosen == "DESC"
    return call.conf.template.get("API_LIST_ORDER", "DESC") == "DESC"


def _visible(
    call: Call, kind: Kind[R], filter_flag: int, oids: Iterable[int], where: Callable[[R], bool] | None
) -> Iterator[R]:
    shown = _shown(call, kind, filter_flag)
    for oid in oids:
        row = call.tx.get(kind.table, oid)
        if row is not None and (where is None or where(row)) and shown(row):
            yield row


def _shown(call: Call, kind: Kind[R], filter_flag: int) -> Callable[[R], bool]:
    """The filter as a test of rows. An owner is shown his objects even where he may not use them; with -4 so is everybody
    in the group."""
    caller = call.caller
    mine_or_group = filter_flag == MINE_GROUP_FILTER
    if caller.is_admin and mine_or_group:
        return lambda row: row.uid == caller.uid or row.gid in caller.group_ids
    if caller.is_admin or filter_flag in (MINE_FILTER, GROUP_FILTER):
        return lambda _row: True
    given = grants(call.tx, caller, Right.USE, kind.type)
    return lambda row: (
        row.uid == caller.uid
        or (
            (not mine_or_group or row.gid in caller.group_ids)
            and (owns(caller, Right.USE, kind.type, row) or covered(call.tx, given, kind, row))
        )
    )


def _page(rows: Iterator[R], offset: int, size: int) -> Iterator[R]:
    for number, row in enumerate(rows):
        if number >= offset + size:
            return
        if number >= offset:
            yield row
