"""one.vmpool.*: lists of VMs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from services.common.xmlrpc import encode_text
from services.oned_lite.model.errors import bad_request, internal
from services.oned_lite.model.numbers import is_whole
from services.oned_lite.model.vm import VMS, Vm, encoded_short, render
from services.oned_lite.model.vm_states import VmState
from services.oned_lite.policy.authorization import Right, allowed

from .call import Call
from .method import MethodTable
from .pieces import Pieces
from .shared.info import GROUP_FILTER, framed, listed

METHODS = MethodTable("one.vmpool")
ANY_STATE, NOT_DONE = -2, -1
STATE_MAX = 11


@METHODS.read("info")
def info(call: Call, filter_flag: int, start_id: int, end_id: int, state: int, search: str = "") -> Pieces:
    return _pool(call, _listed(call, filter_flag, start_id, end_id, state, search), extended=False)


@METHODS.read("infoextended")
def infoextended(call: Call, filter_flag: int, start_id: int, end_id: int, state: int, search: str = "") -> Pieces:
    return _pool(call, _listed(call, filter_flag, start_id, end_id, state, search), extended=True)


@METHODS.read("infoset")
def infoset(call: Call, ids: str, extended: bool) -> Pieces:
    """`ids` separated by commas; what is no number is passed over."""
    wanted = sorted({int(part) for part in ids.split(",") if is_whole(part.strip())}, reverse=True)
    rows = [row for oid in wanted if (row := call.tx.get(VMS.table, oid)) is not None]
    return _pool(call, [row for row in rows if allowed(call.tx, call.caller, Right.USE, VMS, row)], extended=extended)


@METHODS.read("monitoring")
def monitoring(call: Call, filter_flag: int, seconds: int = -1) -> str:
    """The dummy hypervisor reports nothing."""
    if filter_flag < GROUP_FILTER:
        raise bad_request("Incorrect filter_flag")
    return "<MONITORING_DATA></MONITORING_DATA>"


def _listed(call: Call, filter_flag: int, start_id: int, end_id: int, state: int, search: str) -> Iterator[Vm]:
    if filter_flag < GROUP_FILTER:
        raise bad_request("Incorrect filter_flag")
    if not ANY_STATE <= state <= STATE_MAX:
        raise bad_request("Incorrect filter_flag, state")
    if search:
        raise internal("Full text search is not supported by the SQL backend")
    return listed(call, VMS, filter_flag, start_id, end_id, where=_in_state(state))


def _in_state(state: int) -> Callable[[Vm], bool] | None:
    if state == ANY_STATE:
        return None
    if state == NOT_DONE:
        return lambda row: row.state is not VmState.DONE
    return lambda row: int(row.state) == state


def _pool(call: Call, rows: Iterable[Vm], *, extended: bool) -> Pieces:
    if extended:
        return framed("VM_POOL", (encode_text(render(call.tx, row)) for row in rows))
    return framed("VM_POOL", (encoded_short(call.tx, row) for row in rows))
