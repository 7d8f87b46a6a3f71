"""What people may ask of a VM, in which states, and into which state that brings it (one.vm.action, deploy, migrate)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from services.oned_lite.model.datastore import Datastore
from services.oned_lite.model.host import HOSTS, Host
from services.oned_lite.model.vm import Vm
from services.oned_lite.model.vm_hardware import with_port
from services.oned_lite.model.vm_states import HistoryAction, LcmState, VmState

from . import requirements, vm_disks, vm_release
from .vm_editor import Actor, VmEditor

Resting = VmState | LcmState
Perform = Callable[[VmEditor, Actor], None]

FAILURES = tuple(state for state in LcmState if state.name.endswith("_FAILURE"))


def resting(vm: Vm) -> Resting:
    """The state to look up in a table: LCM_STATE while ACTIVE, else STATE."""
    return vm.lcm_state if vm.is_active else vm.state


@dataclass(frozen=True, slots=True)
class Request:
    """`from_states`: the states in which it may be asked, each with what it does there."""

    from_states: Mapping[Resting, Perform]

    def performer(self, vm: Vm) -> Perform | None:
        return self.from_states.get(resting(vm))


# ---------------------------------------------------------------------- terminate
def _nothing(_e: VmEditor, _actor: Actor) -> None:
    pass


def _drop(e: VmEditor, _actor: Actor) -> None:
    """A VM that was never deployed."""
    vm_release.done(e)


def _shut_down(lcm: LcmState, action: HistoryAction) -> Perform:
    def perform(e: VmEditor, actor: Actor) -> None:
        e.act(action, actor)
        e.enter(lcm, resched=False)

    return perform


def _to_epilog(lcm: LcmState, action: HistoryAction) -> Perform:
    """The VM does not run: straight to what follows. A wish to be rescheduled stays."""

    def perform(e: VmEditor, actor: Actor) -> None:
        e.act(action, actor)
        e.stamp(estime=e.now)
        e.enter(lcm)

    return perform


def delete(e: VmEditor, actor: Actor) -> None:
    """Away with it, whatever it is doing."""
    _abandon(e, HistoryAction.DELETE, actor, LcmState.CLEANUP_DELETE)


def _abandon(e: VmEditor, action: HistoryAction, actor: Actor, lcm: LcmState) -> None:
    """Ends the records, leaves the hosts, and has the files removed."""
    record = e.record
    e.act(action, actor)
    e.stamp(
        etime=record.etime or e.now,
        petime=record.petime or (e.now if record.pstime else 0),
        retime=record.retime or (e.now if record.rstime else 0),
        eetime=record.eetime or (e.now if record.estime else 0),
    )
    e.vacate(record.hid)
    if e.has_previous and e.previous.hid != record.hid:
        e.vacate(e.previous.hid)
    e.enter(lcm, resched=False)


def _terminate(hard: bool) -> Request:
    action = HistoryAction.TERMINATE_HARD if hard else HistoryAction.TERMINATE
    cold = _to_epilog(LcmState.EPILOG, HistoryAction.TERMINATE)
    states: dict[Resting, Perform] = {
        VmState.DONE: _nothing,
        **dict.fromkeys(
            (VmState.INIT, VmState.PENDING, VmState.HOLD, VmState.CLONING, VmState.CLONING_FAILURE), _drop_or_delete
        ),
        **dict.fromkeys((VmState.SUSPENDED, VmState.POWEROFF, VmState.STOPPED, VmState.UNDEPLOYED), cold),
        LcmState.RUNNING: _shut_down(LcmState.SHUTDOWN, action),
        LcmState.UNKNOWN: _shut_down(LcmState.SHUTDOWN, action),
        **dict.fromkeys(FAILURES, delete),
    }
    if hard:
        states[LcmState.SHUTDOWN] = _shut_down(LcmState.SHUTDOWN, action)
    return Request(states)


def _drop_or_delete(e: VmEditor, actor: Actor) -> None:
    """PENDING again after a stop: its files are still there."""
    if e.vm.seq >= 0:
        _to_epilog(LcmState.EPILOG, HistoryAction.TERMINATE)(e, actor)
    else:
        _drop(e, actor)


# ---------------------------------------------------------------------- the other actions
def _hold(e: VmEditor, _actor: Actor) -> None:
    e.rest(VmState.HOLD)


def _release(e: VmEditor, _actor: Actor) -> None:
    release(e)


def release(e: VmEditor) -> None:
    """From HOLD to where the scheduler sees it."""
    e.set_template(requirements.with_automatic(e.vm.template))
    e.rest(VmState.PENDING)


def _resume_to_pending(e: VmEditor, _actor: Actor) -> None:
    e.set_template(requirements.with_automatic(e.vm.template))
    e.rest(VmState.PENDING)


def _resume_in_place(lcm: LcmState) -> Perform:
    """The same host, a new record."""

    def perform(e: VmEditor, _actor: Actor) -> None:
        e.stamp(etime=e.now)
        e.reopen_record(rstime=e.now)
        e.set_template(with_port(e.vm.template, e.vm.oid, _first_port(e)))
        e.enter(lcm)

    return perform


def _resume_unknown(e: VmEditor, _actor: Actor) -> None:
    e.enter(LcmState.BOOT_UNKNOWN)


def _reschedule(wanted: bool) -> Perform:
    def perform(e: VmEditor, _actor: Actor) -> None:
        if wanted:
            e.set_template(requirements.with_automatic(e.vm.template))
        e.put(resched=wanted)

    return perform


def _first_port(e: VmEditor) -> int:
    ports = e.conf.template.vector("VNC_PORTS")
    return 5900 if ports is None else ports.get_int("START", 5900)


_RESCHEDULABLE = (VmState.POWEROFF, LcmState.RUNNING, LcmState.UNKNOWN)

REQUESTS: Mapping[str, Request] = {
    "terminate": _terminate(hard=False),
    "terminate-hard": _terminate(hard=True),
    "hold": Request({VmState.PENDING: _hold}),
    "release": Request({VmState.HOLD: _release}),
    "stop": Request(
        {
            LcmState.RUNNING: _shut_down(LcmState.SAVE_STOP, HistoryAction.STOP),
            VmState.SUSPENDED: _to_epilog(LcmState.EPILOG_STOP, HistoryAction.STOP),
        }
    ),
    "suspend": Request({LcmState.RUNNING: _shut_down(LcmState.SAVE_SUSPEND, HistoryAction.SUSPEND)}),
    "resume": Request(
        {
            VmState.STOPPED: _resume_to_pending,
            VmState.UNDEPLOYED: _resume_to_pending,
            VmState.SUSPENDED: _resume_in_place(LcmState.BOOT_SUSPENDED),
            VmState.POWEROFF: _resume_in_place(LcmState.BOOT_POWEROFF),
            LcmState.UNKNOWN: _resume_unknown,
        }
    ),
    "reboot": Request({LcmState.RUNNING: _nothing}),
    "reboot-hard": Request({LcmState.RUNNING: _nothing}),
    "resched": Request(dict.fromkeys(_RESCHEDULABLE, _reschedule(True))),
    "unresched": Request(dict.fromkeys(_RESCHEDULABLE, _reschedule(False))),
    "poweroff": Request(
        dict.fromkeys(
            (LcmState.RUNNING, LcmState.UNKNOWN), _shut_down(LcmState.SHUTDOWN_POWEROFF, HistoryAction.POWEROFF)
        )
    ),
    "poweroff-hard": Request(
        dict.fromkeys(
            (LcmState.RUNNING, LcmState.UNKNOWN, LcmState.SHUTDOWN_POWEROFF),
            _shut_down(LcmState.SHUTDOWN_POWEROFF, HistoryAction.POWEROFF_HARD),
        )
    ),
    "undeploy": Request(
        {
            VmState.POWEROFF: _to_epilog(LcmState.EPILOG_UNDEPLOY, HistoryAction.UNDEPLOY),
            **dict.fromkeys(
                (LcmState.RUNNING, LcmState.UNKNOWN), _shut_down(LcmState.SHUTDOWN_UNDEPLOY, HistoryAction.UNDEPLOY)
            ),
        }
    ),
    "undeploy-hard": Request(
        {
            VmState.POWEROFF: _to_epilog(LcmState.EPILOG_UNDEPLOY, HistoryAction.UNDEPLOY_HARD),
            **dict.fromkeys(
                (LcmState.RUNNING, LcmState.UNKNOWN, LcmState.SHUTDOWN_UNDEPLOY),
                _shut_down(LcmState.SHUTDOWN_UNDEPLOY, HistoryAction.UNDEPLOY_HARD),
            ),
        }
    ),
}
"""The actions of one.vm.action. A dummy hypervisor has nothing to do for a reboot, which changes no state either."""


# ---------------------------------------------------------------------- deploy
DEPLOYABLE = (VmState.PENDING, VmState.HOLD, VmState.STOPPED, VmState.UNDEPLOYED)


def deploy(e: VmEditor, host: Host, datastore: Datastore) -> None:
    """Onto a host: the prolog brings the disks, or, after a stop or undeploy, what was kept of them."""
    lcm = _prolog_after(HistoryAction(e.record.action) if e.vm.seq >= 0 else HistoryAction.NONE)
    e.open_record(host, datastore)
    e.stamp(pstime=e.now)
    template = e.vm.template
    if not template.get("TM_MAD_SYSTEM"):
        template = template.with_set("TM_MAD_SYSTEM", datastore.tm_mad)
    disks = [vm_disks.on_system_datastore(disk, datastore) for disk in template.vectors("DISK")]
    template = template.with_set("DISK", *disks) if disks else template
    e.set_template(with_port(template, e.vm.oid, _first_port(e)))
    e.occupy(host.oid)
    if e.vm.is_imported:
        _take_over(e)
    else:
        e.enter(lcm, resched=False)


def _prolog_after(action: HistoryAction) -> LcmState:
    if action is HistoryAction.STOP:
        return LcmState.PROLOG_RESUME
    if action in (HistoryAction.UNDEPLOY, HistoryAction.UNDEPLOY_HARD):
        return LcmState.PROLOG_UNDEPLOY
    return LcmState.PROLOG


def _take_over(e: VmEditor) -> None:
    """An imported VM runs already, or was powered off when it was found."""
    powered_off = e.vm.template.get("IMPORT_STATE").upper() == "POWEROFF"
    e.stamp(petime=e.now, rstime=e.now)
    e.set_template(e.vm.template.without("IMPORT_STATE"))
    if powered_off:
        e.rest(VmState.POWEROFF)
    else:
        e.enter(LcmState.RUNNING)


# ---------------------------------------------------------------------- migrate
MIGRATABLE = (VmState.POWEROFF, VmState.SUSPENDED, LcmState.RUNNING, LcmState.UNKNOWN)
_BY_TYPE = {1: HistoryAction.POWEROFF_MIGRATE, 2: HistoryAction.POWEROFF_HARD_MIGRATE}


def migrate(e: VmEditor, host: Host, datastore: Datastore, actor: Actor, *, live: bool, kind: int) -> None:
    """To another host or system datastore. A running VM moves live or is saved (`kind` 1, 2: powered off) in between."""
    state = resting(e.vm)
    e.set_template(requirements.with_automatic(e.vm.template))
    if state is LcmState.RUNNING:
        _migrate_running(e, host, datastore, actor, live=live, kind=kind)
    else:
        _migrate_cold(e, host, datastore, actor, e.vm.state if isinstance(state, VmState) else None)
    _place_volatile(e, datastore)


def _migrate_running(e: VmEditor, host: Host, datastore: Datastore, actor: Actor, *, live: bool, kind: int) -> None:
    e.act(HistoryAction.LIVE_MIGRATE if live else _BY_TYPE.get(kind, HistoryAction.MIGRATE), actor)
    e.open_record(host, datastore)
    _occupy_new(e, host)
    e.enter(LcmState.MIGRATE if live else LcmState.SAVE_MIGRATE, resched=False)


_COLD_PROLOG = {
    VmState.POWEROFF: LcmState.PROLOG_MIGRATE_POWEROFF,
    VmState.SUSPENDED: LcmState.PROLOG_MIGRATE_SUSPEND,
    None: LcmState.PROLOG_MIGRATE_UNKNOWN,
}


def _migrate_cold(e: VmEditor, host: Host, datastore: Datastore, actor: Actor, state: VmState | None) -> None:
    """The old record just ends; the new one says already what happened to it."""
    retime = e.record.retime
    e.stamp(etime=e.now, retime=retime or e.now)
    e.open_record(host, datastore)
    e.stamp(pstime=e.now, retime=e.now if state is not None else 0)
    if state is not None:
        e.act(HistoryAction.MIGRATE, actor)
    _occupy_new(e, host)
    if e.previous.hid != host.oid:
        e.vacate(e.previous.hid)
    e.enter(_COLD_PROLOG[state], resched=False)


def _occupy_new(e: VmEditor, host: Host) -> None:
    row = e.tx.get(HOSTS.table, host.oid)
    if row is not None and e.vm.oid not in row.vm_ids:
        e.occupy(host.oid)


def _place_volatile(e: VmEditor, datastore: Datastore) -> None:
    disks = [vm_disks.on_system_datastore(disk, datastore) for disk in e.vm.template.vectors("DISK")]
    if disks:
        e.set_template(e.vm.template.with_set("DISK", *disks))


# ---------------------------------------------------------------------- recover
def recreate(e: VmEditor, actor: Actor) -> None:
    """Back to PENDING with nothing of it left; refused for a VM that lies powered off or suspended on a host."""
    if e.vm.seq < 0:
        return
    if e.vm.state in (VmState.STOPPED, VmState.UNDEPLOYED):
        e.stamp(action=int(HistoryAction.DELETE_RECREATE))
        e.rest(VmState.PENDING)
    elif e.vm.state not in (VmState.PENDING, VmState.HOLD):
        _abandon(e, HistoryAction.DELETE_RECREATE, actor, LcmState.CLEANUP_RESUBMIT)
