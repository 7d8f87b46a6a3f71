"""schedadd, schedupdate and scheddelete of VMs and backup jobs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from services.common.template import Vector
from services.oned_lite.api.call import Call
from services.oned_lite.api.method import MethodTable
from services.oned_lite.lifecycle import scheduled_actions
from services.oned_lite.lifecycle.scheduled_actions import ScheduleFault
from services.oned_lite.model.errors import action, internal, no_exists
from services.oned_lite.model.scheduled_action import SCHEDULED_ACTIONS, ScheduledAction

from .allocation import parsed

NO_TITLE = "-"
"""What messages call a scheduled action."""


@dataclass(frozen=True, slots=True)
class Parent:
    """What actions belong to. `start` (epoch seconds) is what a TIME of `+seconds` counts from, None where that makes no
    sense; `actions` are the ones that can be scheduled."""

    type: str
    oid: int
    actions: frozenset[str]
    start: int | None = None


FindParent = Callable[[Call, int], Parent]
"""The parent by its id, once the caller's right to change its schedule is checked."""


def register_scheduling(methods: MethodTable, find: FindParent) -> None:
    """Adds the three methods."""

    @methods.add("schedadd")
    def schedadd(call: Call, oid: int, text: str) -> int:
        """The new action's id."""
        parent = find(call, oid)
        template = parsed(text)
        try:
            blank = ScheduledAction(oid=0, parent_id=parent.oid, parent_type=parent.type)
            row = _merged(blank, parent, scheduled_actions.asked(template))
        except ScheduleFault as fault:
            raise action(str(fault)) from None
        return call.tx.put(SCHEDULED_ACTIONS, replace(row, oid=scheduled_actions.next_oid(call.tx))).oid

    @methods.add("schedupdate")
    def schedupdate(call: Call, oid: int, sched_id: int, text: str) -> int:
        parent = find(call, oid)
        template = parsed(text)
        try:
            given = scheduled_actions.asked(template)
            row = _own(call, parent, sched_id)
            if row is None:
                raise ScheduleFault(f"SCHED_ACTION with id = {sched_id} doesn't exist")
            call.tx.put(SCHEDULED_ACTIONS, _merged(row, parent, given))
        except ScheduleFault as fault:
            raise internal(str(fault)) from None
        return sched_id

    @methods.add("scheddelete")
    def scheddelete(call: Call, oid: int, sched_id: int) -> int:
        parent = find(call, oid)
        row = _own(call, parent, sched_id)
        if row is None:
            raise no_exists(NO_TITLE, sched_id)
        call.tx.delete(SCHEDULED_ACTIONS, sched_id)
        return sched_id


def _merged(row: ScheduledAction, parent: Parent, given: Vector) -> ScheduledAction:
    return scheduled_actions.merged(row, given, actions=parent.actions, start=parent.start)


def _own(call: Call, parent: Parent, sched_id: int) -> ScheduledAction | None:
    row = call.tx.get(SCHEDULED_ACTIONS, sched_id)
    return row if row is not None and (row.parent_type, row.parent_id) == (parent.type, parent.oid) else None
