"""one.vmpool.accounting, showback and calculateshowback."""

from __future__ import annotations

from collections.abc import Iterator

from services.oned_lite.lifecycle.showback import Month, computed
from services.oned_lite.model.errors import bad_request, unauthorized
from services.oned_lite.model.history import History, records
from services.oned_lite.model.showback import SHOWBACK, Showback
from services.oned_lite.model.vm import VMS, Vm, accounting_xml
from services.oned_lite.policy.caller import ONEADMIN_GID
from services.oned_lite.state.table import rows, scan

from .call import Call
from .method import MethodTable
from .shared.info import GROUP_FILTER, listed

METHODS = MethodTable("one.vmpool")
YEARS = range(1970, 9000)
OPEN = -1


@METHODS.read("accounting")
def accounting(call: Call, filter_flag: int, start_time: int, end_time: int) -> str:
    """Records that overlap the time asked for; -1 leaves a bound open."""
    body = "".join(
        accounting_xml(call.tx, record)
        for vm in _visible(call, filter_flag)
        for record in records(call.tx, vm.oid)
        if _overlaps(record, start_time, end_time) and record.vm
    )
    return f"<HISTORY_RECORDS>{body}</HISTORY_RECORDS>"


def _overlaps(record: History, start: int, end: int) -> bool:
    begun = end == OPEN or record.stime <= end
    unfinished = start == OPEN or record.etime == 0 or record.etime >= start
    return begun and unfinished


def _visible(call: Call, filter_flag: int) -> Iterator[Vm]:
    """VMs of any state that the filter lets through, by id."""
    if filter_flag < GROUP_FILTER:
        raise bad_request("Incorrect filter_flag")
    return iter(sorted(listed(call, VMS, filter_flag, -1, -1), key=lambda vm: vm.oid))


@METHODS.read("showback")
def showback(call: Call, filter_flag: int, start_month: int, start_year: int, end_month: int, end_year: int) -> str:
    """The stored lines, by VM and month."""
    first, last = _bound(start_month, start_year), _bound(end_month, end_year)
    body = "".join(
        line.to_xml()
        for vm in _visible(call, filter_flag)
        for line in rows(call.tx, SHOWBACK, "vm", vm.oid)
        if _within(line, first, last)
    )
    return f"<SHOWBACK_RECORDS>{body}</SHOWBACK_RECORDS>"


def _bound(month: int, year: int) -> tuple[int, int] | None:
    """A bound counts only where both parts are given."""
    return None if OPEN in (month, year) else (year, month)


def _within(line: Showback, first: tuple[int, int] | None, last: tuple[int, int] | None) -> bool:
    at = (line.year, line.month)
    return (first is None or at >= first) and (last is None or at <= last)


@METHODS.add("calculateshowback")
def calculateshowback(call: Call, start_month: int, start_year: int, end_month: int, end_year: int) -> str:
    """Computes the lines of those months anew; for members of group 0."""
    if call.caller.gid != ONEADMIN_GID:
        raise unauthorized(call.caller.uid, "Action reserved for group 0 only")
    first, last = _bound(start_month, start_year), _bound(end_month, end_year)
    start = 0 if first is None else _month(first).start
    until = call.tx.now if last is None else min(call.tx.now, _month(last).end)
    for vm in scan(call.tx, VMS.table):
        for line in computed(vm, records(call.tx, vm.oid), (start, until), call.conf):
            call.tx.put(SHOWBACK, line)
    return ""


def _month(bound: tuple[int, int]) -> Month:
    """A month that there is not counts on into the next year, as a calendar does; no record lies outside `YEARS`."""
    year, month = bound
    return Month(min(max(year + (month - 1) // 12, YEARS.start), YEARS.stop), (month - 1) % 12 + 1)
