"""Doing what was scheduled: due actions become calls of the daemon itself."""

from __future__ import annotations

from collections.abc import Callable

from services.oned_lite.lifecycle.scheduled_actions import after_run, is_due
from services.oned_lite.lifecycle.work import Step, Timer
from services.oned_lite.model.backupjob import BACKUPJOBS
from services.oned_lite.model.errors import ApiError, action
from services.oned_lite.model.numbers import is_whole
from services.oned_lite.model.scheduled_action import BACKUPJOB_PARENT, SCHEDULED_ACTIONS, ScheduledAction
from services.oned_lite.model.vm import VMS
from services.oned_lite.policy.caller import INTERNAL
from services.oned_lite.state import Transaction
from services.oned_lite.state.table import scan

from . import backupjob, vm_actions, vm_backup, vm_disks, vm_snapshots
from .call import Call

INTERVAL_S = 10.0
NO_DATASTORE = -1

Perform = Callable[[Call, int, list[str]], object]
"""Does an action for the VM of that id; the strings are the parts of ARGS."""


def _number(arguments: list[str], place: int) -> int:
    """Raises ACTION where ARGS lacks that number."""
    text = arguments[place] if place < len(arguments) else ""
    if not is_whole(text.removeprefix("-")):
        raise action(f"Missing or malformed ARGS, number {place + 1} must be an integer")
    return int(text)


WITH_ARGUMENTS: dict[str, Perform] = {
    "snapshot-create": lambda call, oid, args: vm_snapshots.snapshotcreate(call, oid, args[0] if args else ""),
    "snapshot-revert": lambda call, oid, args: vm_snapshots.snapshotrevert(call, oid, _number(args, 0)),
    "snapshot-delete": lambda call, oid, args: vm_snapshots.snapshotdelete(call, oid, _number(args, 0)),
    "disk-snapshot-create": lambda call, oid, args: vm_disks.disksnapshotcreate(
        call, oid, _number(args, 0), args[1] if len(args) > 1 else ""
    ),
    "disk-snapshot-revert": lambda call, oid, args: vm_disks.disksnapshotrevert(
        call, oid, _number(args, 0), _number(args, 1)
    ),
    "disk-snapshot-delete": lambda call, oid, args: vm_disks.disksnapshotdelete(
        call, oid, _number(args, 0), _number(args, 1)
    ),
    "backup": lambda call, oid, args: vm_backup.backup(
        call, oid, _number(args, 0) if args else NO_DATASTORE, reset=len(args) > 1 and args[1].upper() == "YES"
    ),
}
"""The others are what one.vm.action knows by the same name."""


def run(step: Step) -> None:
    """Does everything that is due. An action that fails says why and leaves no other trace."""
    for row in list(scan(step.tx, SCHEDULED_ACTIONS)):
        if not is_due(row, step.tx.now):
            continue
        if _parent_is_gone(step.tx, row):
            step.tx.delete(SCHEDULED_ACTIONS, row.oid)
            continue
        following = after_run(row, step.tx.now, _perform(step, row))
        if following is None:
            step.tx.delete(SCHEDULED_ACTIONS, row.oid)
        else:
            step.tx.put(SCHEDULED_ACTIONS, following)


def _parent_is_gone(tx: Transaction, row: ScheduledAction) -> bool:
    if row.parent_type == BACKUPJOB_PARENT:
        return tx.get(BACKUPJOBS.table, row.parent_id) is None
    vm = tx.get(VMS.table, row.parent_id)
    return vm is None or vm.is_done


def _perform(step: Step, row: ScheduledAction) -> str:
    """Why it failed, "" where it did not."""
    before = step.tx.savepoint()
    call = Call(f"scheduled.{row.action}", step.tx, INTERNAL, step.conf)
    try:
        if row.parent_type == BACKUPJOB_PARENT:
            backupjob.backup(call, row.parent_id)
        elif row.action in WITH_ARGUMENTS:
            WITH_ARGUMENTS[row.action](call, row.parent_id, _arguments(row))
        else:
            vm_actions.perform(call, row.action, row.parent_id)
    except ApiError as error:
        step.tx.roll_back(before)
        return error.message
    return ""


def _arguments(row: ScheduledAction) -> list[str]:
    return [part.strip() for part in row.args.split(",")] if row.args else []


TIMER = Timer("scheduled actions", INTERVAL_S, run)
