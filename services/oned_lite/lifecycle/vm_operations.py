"""Operations on a VM that stays where it is: hot-plugging, snapshots, resizing, saving a disk, backing up.

The LCM state says from which resting state the VM came, `vm.operation` (KIND and its parameters) what is being done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.common.template import Vector
from services.oned_lite.model.vm import Vm
from services.oned_lite.model.vm_states import HistoryAction, LcmState, VmState

from .vm_editor import NOBODY_IN_PARTICULAR, Actor, VmEditor
from .work import WorkResult

Resting = VmState | LcmState

RETURNS: Mapping[LcmState, Resting] = {
    LcmState.HOTPLUG: LcmState.RUNNING,
    LcmState.HOTPLUG_NIC: LcmState.RUNNING,
    LcmState.HOTPLUG_SNAPSHOT: LcmState.RUNNING,
    LcmState.HOTPLUG_SAVEAS: LcmState.RUNNING,
    LcmState.HOTPLUG_RESIZE: LcmState.RUNNING,
    LcmState.DISK_SNAPSHOT: LcmState.RUNNING,
    LcmState.DISK_SNAPSHOT_DELETE: LcmState.RUNNING,
    LcmState.DISK_RESIZE: LcmState.RUNNING,
    LcmState.BACKUP: LcmState.RUNNING,
    LcmState.HOTPLUG_PROLOG_POWEROFF: VmState.POWEROFF,
    LcmState.HOTPLUG_EPILOG_POWEROFF: VmState.POWEROFF,
    LcmState.HOTPLUG_NIC_POWEROFF: VmState.POWEROFF,
    LcmState.HOTPLUG_SAVEAS_POWEROFF: VmState.POWEROFF,
    LcmState.DISK_SNAPSHOT_POWEROFF: VmState.POWEROFF,
    LcmState.DISK_SNAPSHOT_REVERT_POWEROFF: VmState.POWEROFF,
    LcmState.DISK_SNAPSHOT_DELETE_POWEROFF: VmState.POWEROFF,
    LcmState.DISK_RESIZE_POWEROFF: VmState.POWEROFF,
    LcmState.BACKUP_POWEROFF: VmState.POWEROFF,
    LcmState.HOTPLUG_SAVEAS_SUSPENDED: VmState.SUSPENDED,
    LcmState.DISK_SNAPSHOT_SUSPENDED: VmState.SUSPENDED,
    LcmState.DISK_SNAPSHOT_DELETE_SUSPENDED: VmState.SUSPENDED,
    LcmState.HOTPLUG_SAVEAS_UNDEPLOYED: VmState.UNDEPLOYED,
    LcmState.DISK_RESIZE_UNDEPLOYED: VmState.UNDEPLOYED,
    LcmState.HOTPLUG_SAVEAS_STOPPED: VmState.STOPPED,
}
"""Where a VM comes from and goes back to."""

Finish = Callable[[VmEditor, WorkResult], None]


@dataclass(frozen=True, slots=True)
class Operation:
    """`family` and `action` of the driver; `succeed` and `fail` change what the operation is about, before the VM goes
    back to its resting state, and `then` runs after that. `records`: the action that closes a history record, None
    where history is left alone."""

    family: str
    action: str
    records: HistoryAction | None = None
    succeed: Finish | None = None
    fail: Finish | None = None
    then: Callable[[VmEditor, Vector], None] | None = None


OPERATIONS: dict[str, Operation] = {}
"""By KIND; the modules of the operations enter themselves."""


def begin(e: VmEditor, lcm: LcmState, kind: str, actor: Actor, **parameters: object) -> None:
    """Puts the VM into the operation's state; a record that the operation ends is closed, and another opened."""
    operation = OPERATIONS[kind]
    e.enter(
        lcm,
        resched=False,
        operation=Vector.of({"KIND": kind, **{name: str(value) for name, value in parameters.items()}}),
    )
    if operation.records is not None and RETURNS[lcm] in (LcmState.RUNNING, VmState.POWEROFF):
        split_record(e, operation.records, actor, running=RETURNS[lcm] is LcmState.RUNNING)


def split_record(e: VmEditor, action: HistoryAction, actor: Actor, *, running: bool) -> None:
    """The action ends the current record; the next one goes on where it left off."""
    e.act(action, actor)
    e.stamp(etime=e.now, retime=e.now if running else e.record.retime)
    e.reopen_record(rstime=e.now)


def operation_of(vm: Vm) -> Operation:
    return OPERATIONS[vm.operation.get("KIND")]


def finished(e: VmEditor, result: WorkResult) -> None:
    """The driver has answered."""
    lcm = e.vm.lcm_state
    operation = operation_of(e.vm)
    outcome = operation.succeed if result.ok else operation.fail
    if outcome is not None:
        outcome(e, result)
    about = e.vm.operation
    leave(e, RETURNS[lcm], recorded=operation.records is not None)
    if operation.then is not None:
        operation.then(e, about)


def leave(e: VmEditor, back_to: Resting, *, recorded: bool) -> None:
    """Back to the resting state. A powered-off VM's fresh record tells again that it is powered off."""
    if isinstance(back_to, LcmState):
        e.enter(back_to, operation=Vector())
        return
    if recorded and back_to is VmState.POWEROFF:
        e.stamp(retime=e.now)
        e.act(HistoryAction.POWEROFF, NOBODY_IN_PARTICULAR)
    e.rest(back_to, operation=Vector())
