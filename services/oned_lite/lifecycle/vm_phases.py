"""The VM life cycle as a table: for each LCM state in which a driver works, what it does and where that leads.

What people ask for (one.vm.action and its siblings) brings a VM into one of these states; see `vm_requests`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.oned_lite.model.history import History
from services.oned_lite.model.vm import Vm
from services.oned_lite.model.vm_states import HistoryAction, LcmState, VmState

from . import vm_operations, vm_release
from .vm_editor import NOBODY_IN_PARTICULAR, VmEditor
from .work import WorkResult

POWEROFF_MIGRATIONS = (HistoryAction.POWEROFF_MIGRATE, HistoryAction.POWEROFF_HARD_MIGRATE)
HARD_ACTIONS = (
    HistoryAction.TERMINATE_HARD,
    HistoryAction.POWEROFF_HARD,
    HistoryAction.UNDEPLOY_HARD,
    HistoryAction.POWEROFF_HARD_MIGRATE,
)

Outcome = Callable[[VmEditor, WorkResult], None]


@dataclass(frozen=True, slots=True)
class Phase:
    """`family` of the driver (tm, vmm) and the action it is asked for; `succeed` and `fail` move the VM on."""

    family: str
    action: str
    succeed: Outcome
    fail: Outcome


def to_lcm(lcm: LcmState) -> Outcome:
    def move(e: VmEditor, _result: WorkResult) -> None:
        e.enter(lcm)

    return move


def to_state(state: VmState) -> Outcome:
    def move(e: VmEditor, _result: WorkResult) -> None:
        e.rest(state)

    return move


# ---------------------------------------------------------------------- prolog and boot
def _prolog_done(then: LcmState) -> Outcome:
    def move(e: VmEditor, _result: WorkResult) -> None:
        e.stamp(petime=e.now, rstime=e.now)
        e.enter(then)

    return move


def _booted(e: VmEditor, result: WorkResult) -> None:
    """A hypervisor that started the VM anew tells under which name."""
    words = result.value("DEPLOY_ID").split()
    e.enter(LcmState.RUNNING, deploy_id=words[0] if words else e.vm.deploy_id)


def _not_resumed(state: VmState) -> Outcome:
    def move(e: VmEditor, _result: WorkResult) -> None:
        e.stamp(retime=e.now)
        e.rest(state)

    return move


# ---------------------------------------------------------------------- leaving a host
def _saved(e: VmEditor, _result: WorkResult) -> None:
    e.stamp(retime=e.now)
    e.rest(VmState.SUSPENDED)


def _powered_off(e: VmEditor, _result: WorkResult) -> None:
    e.stamp(retime=e.now)
    e.rest(VmState.POWEROFF)


def _to_epilog(then: LcmState) -> Outcome:
    def move(e: VmEditor, _result: WorkResult) -> None:
        e.stamp(retime=e.now, estime=e.now)
        e.enter(then)

    return move


def _still_running(e: VmEditor, _result: WorkResult) -> None:
    """The hypervisor would not let go: as if nothing had been asked."""
    e.act(HistoryAction.NONE, NOBODY_IN_PARTICULAR)
    e.enter(LcmState.RUNNING)


def _epilog_done(state: VmState) -> Outcome:
    def move(e: VmEditor, _result: WorkResult) -> None:
        e.stamp(etime=e.now, eetime=e.now)
        e.vacate(e.record.hid)
        vm_release.port(e)
        e.rest(state)

    return move


def _terminated(e: VmEditor, _result: WorkResult) -> None:
    e.stamp(etime=e.now, eetime=e.now)
    e.vacate(e.record.hid)
    vm_release.done(e)


def _deleted(e: VmEditor, _result: WorkResult) -> None:
    vm_release.done(e)


def _resubmitted(e: VmEditor, _result: WorkResult) -> None:
    vm_release.port(e)
    e.rest(VmState.PENDING, deploy_id="")


# ---------------------------------------------------------------------- migration
def _migrated_live(e: VmEditor, _result: WorkResult) -> None:
    e.stamp_previous(etime=e.now, retime=e.now)
    e.stamp(rstime=e.now)
    if e.previous.hid != e.record.hid:
        e.vacate(e.previous.hid)
    e.enter(LcmState.RUNNING)


def _left_old_host(e: VmEditor, _result: WorkResult) -> None:
    e.stamp_previous(etime=e.now, retime=e.now)
    e.stamp(pstime=e.now)
    if e.previous.hid != e.record.hid:
        e.vacate(e.previous.hid)
    e.enter(LcmState.PROLOG_MIGRATE)


def _stayed(e: VmEditor, _result: WorkResult) -> None:
    """A migration that never left: a third record, on the old host."""
    target, old = e.record, e.previous
    e.stamp(etime=e.now)
    e.stamp_previous(etime=e.now, retime=e.now)
    if target.hid != old.hid:
        e.vacate(target.hid)
    e.reopen_record(old, rstime=e.now)
    e.enter(LcmState.RUNNING)


def _cold_migrated(state: VmState) -> Outcome:
    def move(e: VmEditor, _result: WorkResult) -> None:
        e.stamp(petime=e.now)
        e.rest(state)

    return move


PHASES: Mapping[LcmState, Phase] = {
    LcmState.PROLOG: Phase("tm", "prolog", _prolog_done(LcmState.BOOT), to_lcm(LcmState.PROLOG_FAILURE)),
    LcmState.PROLOG_RESUME: Phase(
        "tm", "prolog_resume", _prolog_done(LcmState.BOOT_STOPPED), to_lcm(LcmState.PROLOG_RESUME_FAILURE)
    ),
    LcmState.PROLOG_UNDEPLOY: Phase(
        "tm", "prolog_resume", _prolog_done(LcmState.BOOT_UNDEPLOY), to_lcm(LcmState.PROLOG_UNDEPLOY_FAILURE)
    ),
    LcmState.PROLOG_MIGRATE: Phase(
        "tm", "prolog_migrate", _prolog_done(LcmState.BOOT_MIGRATE), to_lcm(LcmState.PROLOG_MIGRATE_FAILURE)
    ),
    LcmState.PROLOG_MIGRATE_POWEROFF: Phase(
        "tm",
        "prolog_migrate",
        _cold_migrated(VmState.POWEROFF),
        to_lcm(LcmState.PROLOG_MIGRATE_POWEROFF_FAILURE),
    ),
    LcmState.PROLOG_MIGRATE_SUSPEND: Phase(
        "tm",
        "prolog_migrate",
        _cold_migrated(VmState.SUSPENDED),
        to_lcm(LcmState.PROLOG_MIGRATE_SUSPEND_FAILURE),
    ),
    LcmState.PROLOG_MIGRATE_UNKNOWN: Phase(
        "tm", "prolog_migrate", _prolog_done(LcmState.BOOT), to_lcm(LcmState.PROLOG_MIGRATE_UNKNOWN_FAILURE)
    ),
    LcmState.BOOT: Phase("vmm", "deploy", _booted, to_lcm(LcmState.BOOT_FAILURE)),
    LcmState.BOOT_POWEROFF: Phase("vmm", "deploy", _booted, _not_resumed(VmState.POWEROFF)),
    LcmState.BOOT_UNKNOWN: Phase("vmm", "deploy", _booted, to_lcm(LcmState.UNKNOWN)),
    LcmState.BOOT_UNDEPLOY: Phase("vmm", "deploy", _booted, to_lcm(LcmState.BOOT_UNDEPLOY_FAILURE)),
    LcmState.BOOT_SUSPENDED: Phase("vmm", "restore", _booted, _not_resumed(VmState.SUSPENDED)),
    LcmState.BOOT_STOPPED: Phase("vmm", "restore", _booted, to_lcm(LcmState.BOOT_STOPPED_FAILURE)),
    LcmState.BOOT_MIGRATE: Phase("vmm", "restore", _booted, to_lcm(LcmState.BOOT_MIGRATE_FAILURE)),
    LcmState.MIGRATE: Phase("vmm", "migrate", _migrated_live, _stayed),
    LcmState.SAVE_MIGRATE: Phase("vmm", "save", _left_old_host, _stayed),
    LcmState.SAVE_SUSPEND: Phase("vmm", "save", _saved, _still_running),
    LcmState.SAVE_STOP: Phase("vmm", "save", _to_epilog(LcmState.EPILOG_STOP), _still_running),
    LcmState.SHUTDOWN_POWEROFF: Phase("vmm", "shutdown", _powered_off, _still_running),
    LcmState.SHUTDOWN_UNDEPLOY: Phase("vmm", "shutdown", _to_epilog(LcmState.EPILOG_UNDEPLOY), _still_running),
    LcmState.SHUTDOWN: Phase("vmm", "shutdown", _to_epilog(LcmState.EPILOG), _still_running),
    LcmState.EPILOG: Phase("tm", "epilog", _terminated, to_lcm(LcmState.EPILOG_FAILURE)),
    LcmState.EPILOG_STOP: Phase(
        "tm", "epilog_stop", _epilog_done(VmState.STOPPED), to_lcm(LcmState.EPILOG_STOP_FAILURE)
    ),
    LcmState.EPILOG_UNDEPLOY: Phase(
        "tm", "epilog_stop", _epilog_done(VmState.UNDEPLOYED), to_lcm(LcmState.EPILOG_UNDEPLOY_FAILURE)
    ),
    LcmState.CLEANUP_DELETE: Phase("tm", "epilog", _deleted, _deleted),
    LcmState.CLEANUP_RESUBMIT: Phase("tm", "epilog", _resubmitted, _resubmitted),
}


def phase_of(vm: Vm) -> Phase:
    """What is going on with a VM in a transient state."""
    lcm = vm.lcm_state
    if lcm in vm_operations.RETURNS:
        operation = vm_operations.operation_of(vm)
        return Phase(operation.family, operation.action, vm_operations.finished, vm_operations.finished)
    return PHASES[lcm]


def action_of(vm: Vm, record: History, previous: History | None) -> str:
    """The driver's action, which in some states depends on what was asked for."""
    action = phase_of(vm).action
    moving = vm.lcm_state in (LcmState.SAVE_MIGRATE, LcmState.BOOT_MIGRATE)
    asked = previous.action if moving and previous is not None else record.action
    if moving and asked in POWEROFF_MIGRATIONS:
        action = "deploy" if vm.lcm_state == LcmState.BOOT_MIGRATE else "shutdown"
    if action == "shutdown" and asked in HARD_ACTIONS:
        return "cancel"
    return action
