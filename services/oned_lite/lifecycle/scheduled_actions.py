"""Scheduled actions: reading one from a template, and when it is due again."""

from __future__ import annotations

from enum import IntEnum

from msgspec.structs import replace

from services.common.template import Template, Vector
from services.oned_lite.model.numbers import is_whole
from services.oned_lite.model.objects import COUNTERS, Counter
from services.oned_lite.model.scheduled_action import (
    SCHEDULED_ACTIONS,
    UNSET,
    ScheduledAction,
    of_parent,
)
from services.oned_lite.model.times import moment, stamp
from services.oned_lite.state import Transaction

HOUR_S = 3600
DAY_S = 24 * HOUR_S


class ScheduleFault(Exception):
    """What is wrong with a SCHED_ACTION, as oned says it."""


class Repeat(IntEnum):
    WEEKLY = 0
    MONTHLY = 1
    YEARLY = 2
    HOURLY = 3


class End(IntEnum):
    NEVER = 0
    TIMES = 1
    DATE = 2


VM_ACTIONS = frozenset(
    {
        "terminate",
        "terminate-hard",
        "undeploy",
        "undeploy-hard",
        "hold",
        "release",
        "stop",
        "suspend",
        "resume",
        "reboot",
        "reboot-hard",
        "poweroff",
        "poweroff-hard",
        "snapshot-create",
        "snapshot-revert",
        "snapshot-delete",
        "disk-snapshot-create",
        "disk-snapshot-revert",
        "disk-snapshot-delete",
        "backup",
    }
)
BACKUPJOB_ACTIONS = frozenset({"backup"})

DAYS: dict[Repeat, tuple[range, str]] = {
    Repeat.WEEKLY: (range(7), "Days in a week have to be in [0,6] range"),
    Repeat.MONTHLY: (range(1, 32), "Days in a month have to be in [1,31] range"),
    Repeat.YEARLY: (range(366), "Days in a year have to be in [0,365] range"),
    Repeat.HOURLY: (range(1, 168), "Hours have to be in [0,168] range"),
}


# ---------------------------------------------------------------------- reading
def asked(template: Template) -> Vector:
    """The SCHED_ACTION of a template. Raises ScheduleFault."""
    found = template.vector("SCHED_ACTION")
    if found is None:
        raise ScheduleFault("No SCHED_ACTION attribute in template")
    return found


def next_oid(tx: Transaction) -> int:
    """Takes the next id; it is given back where the transaction is dropped."""
    counter = tx.get(COUNTERS, SCHEDULED_ACTIONS.name)
    oid = 0 if counter is None else counter.last_oid + 1
    tx.put(COUNTERS, Counter(tablename=SCHEDULED_ACTIONS.name, last_oid=oid))
    return oid


def remove_all(tx: Transaction, parent_type: str, parent_id: int) -> None:
    """The parent goes away."""
    for row in of_parent(tx, parent_type, parent_id):
        tx.delete(SCHEDULED_ACTIONS, row.oid)


def merged(
    row: ScheduledAction, given: Vector, *, actions: frozenset[str], start: int | None = None
) -> ScheduledAction:
    """The action with what `given` says of it; what is left out stays. `actions` are the ones that can be scheduled (the
    only one need not be named), `start` (epoch seconds) is what a TIME of `+seconds` counts from. Raises ScheduleFault.
    """
    row = replace(row, action=_action(row, given, actions), args=given.get("ARGS", row.args))
    if row.time == UNSET or given.has("TIME"):
        row = replace(row, time=_time(given.get("TIME"), start))
    if given.has("REPEAT") or given.has("DAYS"):
        row = _with_repetition(row, given)
    if given.has("END_TYPE") or given.has("END_VALUE"):
        row = _with_end(row, given)
    return row


def _action(row: ScheduledAction, given: Vector, actions: frozenset[str]) -> str:
    if len(actions) == 1:
        return next(iter(actions))
    action = given.get("ACTION") or row.action
    if not action:
        raise ScheduleFault("No ACTION in template for Scheduled Action.")
    if action not in actions:
        raise ScheduleFault(f"{action} is not supported.")
    return action


def _time(text: str, start: int | None) -> int:
    """Epoch seconds, or `+seconds` after the start."""
    relative = text.startswith("+") and start is not None
    digits = text[1:] if relative else text
    if not is_whole(digits):
        raise ScheduleFault(f"Unable to parse the time value or value is empty: {text}")
    return int(digits) + (start or 0 if relative else 0)


def _with_repetition(row: ScheduledAction, given: Vector) -> ScheduledAction:
    repeat = given.get_int("REPEAT", row.repeat)
    if repeat == UNSET:
        return replace(row, repeat=UNSET, days="")
    if repeat not in Repeat.__members__.values():
        raise ScheduleFault(f"Wrong REPEAT value: {given.get('REPEAT')}")
    days = given.get("DAYS", row.days)
    if not days:
        raise ScheduleFault("Repeat set, but DAYS are empty")
    allowed, fault = DAYS[Repeat(repeat)]
    numbers = [int(day) if is_whole(day) else -1 for day in days.replace(" ", "").split(",")]
    if any(number not in allowed for number in numbers) or (repeat == Repeat.HOURLY and len(numbers) > 1):
        raise ScheduleFault(fault)
    return replace(row, repeat=repeat, days=days)


def _with_end(row: ScheduledAction, given: Vector) -> ScheduledAction:
    end_type = given.get_int("END_TYPE", row.end_type)
    value = given.get_int("END_VALUE", row.end_value)
    if end_type != UNSET and end_type not in End.__members__.values():
        raise ScheduleFault(f"Wrong END_TYPE value: {given.get('END_TYPE')}")
    if end_type == End.TIMES and value < 0:
        raise ScheduleFault("Error parsing END_VALUE, times has to be greater or equal to 0")
    if end_type == End.DATE and value < 0:
        raise ScheduleFault(f"Unable to parse the time value or value is empty: {given.get('END_VALUE')}")
    return replace(row, end_type=end_type, end_value=value)


# ---------------------------------------------------------------------- running
def is_due(row: ScheduledAction, now: int) -> bool:
    return row.time <= now and (row.repeat != UNSET or row.done < row.time)


def after_run(row: ScheduledAction, now: int, fault: str) -> ScheduledAction | None:
    """The action once it has run: at its next time, or as it was done; None where it has had its last turn.

    `fault` is why it failed, "" for success.
    """
    message = f"{stamp(now)} : {fault}" if fault else ""
    row = replace(row, done=now, message=message)
    if row.repeat == UNSET:
        return row if fault else None
    if row.end_type == End.TIMES:
        row = replace(row, end_value=row.end_value - 1)
    following = next_time(row, now)
    ended = (row.end_type == End.TIMES and row.end_value <= 0) or (
        row.end_type == End.DATE and following > row.end_value
    )
    return None if ended else replace(row, time=following)


def next_time(row: ScheduledAction, now: int) -> int:
    """The first time after `now` at the action's time of day (UTC) on one of its days; hourly ones count on from the
    last time."""
    days = [int(day) for day in row.days.replace(" ", "").split(",")]
    if row.repeat == Repeat.HOURLY:
        step = days[0] * HOUR_S
        return row.time + step * max(1, -(-(now + 1 - row.time) // step))
    following = row.time
    while following <= now or not _is_on(following, Repeat(row.repeat), days):
        following += DAY_S
    return following


def _is_on(epoch_s: int, repeat: Repeat, days: list[int]) -> bool:
    date = moment(epoch_s)
    if repeat is Repeat.WEEKLY:
        return date.isoweekday() % 7 in days  # Sunday is 0
    if repeat is Repeat.MONTHLY:
        return date.day in days
    return date.timetuple().tm_yday - 1 in days
