"""one.vm.recover: deciding for a driver that failed or is silent, trying again, or giving the VM up."""

from __future__ import annotations

from collections.abc import Mapping

from services.oned_lite.model.errors import action
from services.oned_lite.model.vm_states import HistoryAction, LcmState, VmState

from . import vm_release, vm_requests
from .vm_editor import Actor, VmEditor
from .vm_phases import PHASES, phase_of
from .work import WorkKey, WorkResult

FAILED_PHASE: Mapping[LcmState, LcmState] = {
    LcmState.PROLOG_FAILURE: LcmState.PROLOG,
    LcmState.PROLOG_RESUME_FAILURE: LcmState.PROLOG_RESUME,
    LcmState.PROLOG_UNDEPLOY_FAILURE: LcmState.PROLOG_UNDEPLOY,
    LcmState.PROLOG_MIGRATE_FAILURE: LcmState.PROLOG_MIGRATE,
    LcmState.PROLOG_MIGRATE_POWEROFF_FAILURE: LcmState.PROLOG_MIGRATE_POWEROFF,
    LcmState.PROLOG_MIGRATE_SUSPEND_FAILURE: LcmState.PROLOG_MIGRATE_SUSPEND,
    LcmState.PROLOG_MIGRATE_UNKNOWN_FAILURE: LcmState.PROLOG_MIGRATE_UNKNOWN,
    LcmState.BOOT_FAILURE: LcmState.BOOT,
    LcmState.BOOT_MIGRATE_FAILURE: LcmState.BOOT_MIGRATE,
    LcmState.BOOT_STOPPED_FAILURE: LcmState.BOOT_STOPPED,
    LcmState.BOOT_UNDEPLOY_FAILURE: LcmState.BOOT_UNDEPLOY,
    LcmState.EPILOG_FAILURE: LcmState.EPILOG,
    LcmState.EPILOG_STOP_FAILURE: LcmState.EPILOG_STOP,
    LcmState.EPILOG_UNDEPLOY_FAILURE: LcmState.EPILOG_UNDEPLOY,
}
"""Which phase ended in a failure state."""

_BACK_FROM: Mapping[LcmState, LcmState | VmState] = {
    LcmState.PROLOG_MIGRATE_FAILURE: LcmState.BOOT_MIGRATE,
    LcmState.PROLOG_MIGRATE_UNKNOWN_FAILURE: LcmState.BOOT_MIGRATE,
    LcmState.PROLOG_MIGRATE_POWEROFF_FAILURE: VmState.POWEROFF,
    LcmState.PROLOG_MIGRATE_SUSPEND_FAILURE: VmState.SUSPENDED,
}
"""Failed migrations, and what the VM becomes again on its old host."""


def settle(e: VmEditor, *, success: bool) -> None:
    """As if the driver had answered so. Raises ACTION where no driver is or was at work."""
    vm = e.vm
    if not vm.is_active:
        raise action(f"Could not perform a recover operation on VM {vm.oid}, wrong state {vm.state_text}.")
    lcm = vm.lcm_state
    result = WorkResult(key=WorkKey("", vm.oid, vm.step, "recover"), ok=success)
    if lcm is LcmState.UNKNOWN:
        e.enter(LcmState.RUNNING)
    elif lcm in FAILED_PHASE:
        if success:
            PHASES[FAILED_PHASE[lcm]].succeed(e, result)
        elif lcm in _BACK_FROM:
            _back(e, _BACK_FROM[lcm])
    elif lcm is not LcmState.RUNNING:
        phase = phase_of(vm)
        (phase.succeed if success else phase.fail)(e, result)


def _back(e: VmEditor, state: LcmState | VmState) -> None:
    """To the host it came from, under a third record."""
    target, old = e.record, e.previous
    e.stamp(etime=e.now)
    if target.hid != old.hid:
        e.vacate(target.hid)
        e.occupy(old.hid)
    e.reopen_record(old, rstime=e.now, retime=0 if isinstance(state, LcmState) else e.now)
    if isinstance(state, LcmState):
        e.enter(state)
    else:
        e.act(HistoryAction(old.action), Actor())
        e.rest(state)


def retry(e: VmEditor) -> None:
    """The failed phase once more; a phase that is going on starts afresh."""
    vm = e.vm
    if not vm.is_active:
        raise action(f"Could not perform a retry on VM {vm.oid}, wrong state {vm.state_text}.")
    lcm = vm.lcm_state
    if lcm in FAILED_PHASE:
        e.enter(FAILED_PHASE[lcm])
    elif lcm not in (LcmState.RUNNING, LcmState.UNKNOWN):
        e.enter(lcm)


def delete(e: VmEditor, actor: Actor, *, files_too: bool) -> None:
    """From whatever state; without its files only the daemon forgets it."""
    if e.vm.is_done:
        return
    if e.vm.seq < 0:
        vm_release.done(e)
        return
    vm_requests.delete(e, actor)
    if not files_too:
        vm_release.done(e)


def recreate(e: VmEditor, actor: Actor) -> None:
    if e.vm.state in (VmState.DONE, VmState.POWEROFF, VmState.SUSPENDED):
        raise action(f"Cannot delete-recreate a VM already in {e.vm.state_text} state")
    vm_requests.recreate(e, actor)
