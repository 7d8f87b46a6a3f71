"""The hook command `host_error`: migrates, recreates or deletes the VMs of a host that died.

It is no script but part of the daemon: its progress is a row, each phase and each VM's move one log entry. A new leader
goes on where the old one stopped, and no VM is moved twice. The order is the point of it: first wait whether the host
comes back, then fence it (a host that only lost its network still runs its VMs), and only then touch the VMs.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from msgspec.structs import replace

from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.datastore import DATASTORES
from services.oned_lite.model.errors import ApiError
from services.oned_lite.model.hook import HOOKS, Hook
from services.oned_lite.model.host import HOSTS, Host, HostState
from services.oned_lite.model.host_recovery import HOST_RECOVERIES, HostRecovery, Phase, Remedy
from services.oned_lite.model.host_recovery_options import Options, OptionsFault, parse_options
from services.oned_lite.model.numbers import is_whole
from services.oned_lite.model.vm import VMS, Vm, current_record
from services.oned_lite.model.vm_states import LcmState, VmState
from services.oned_lite.state import Reader, Transaction
from services.oned_lite.state.table import scan

from . import hook, vm_recovery
from .host import INTERVAL_S as MONITORING_INTERVAL_S
from .vm_editor import Actor, VmEditor
from .work import Duty, Step, Timer, Work, WorkKey, WorkResult

COMMANDS = frozenset({"host_error", "host_error.rb", "ft/host_error.rb"})
"""What a hook on HOST ERROR may have as COMMAND to get this instead of a process."""
DEFAULT_FENCE_COMMAND = "ft/fence_host.sh"
FENCE = "fence"
FENCE_DEADLINE_S = 120.0
LOOK_INTERVAL_S = 2.0
DAEMON = Actor(uid=0, gid=0)
RUNNING_STATES = (LcmState.RUNNING, LcmState.UNKNOWN)


def begin(tx: Transaction, cause: Hook, host: Host) -> None:
    """A host has entered ERROR; the hook's ARGUMENTS say what to do, its FENCE_COMMAND how the host is fenced."""
    if tx.get(HOST_RECOVERIES, host.oid) is not None:
        return
    words, fault = cause.template.get("ARGUMENTS"), ""
    try:
        options = parse_options(words)
    except OptionsFault as problem:
        options, fault = Options(Remedy.MIGRATE), str(problem)
    row = HostRecovery(
        host_id=host.oid,
        hook_id=cause.oid,
        arguments=f"{host.oid} {words.replace('$TEMPLATE', '').strip()}".strip(),
        remedy=options.remedy,
        until=tx.now + int(options.cycles * MONITORING_INTERVAL_S),
        fences=options.fences,
        forced=options.forced,
        fence=cause.template.get("FENCE_COMMAND") or DEFAULT_FENCE_COMMAND,
        fault=fault,
    )
    tx.put(HOST_RECOVERIES, row)


def again(tx: Transaction, cause: Hook, arguments: str) -> bool:
    """Once more, for the host that the arguments of a logged execution begin with; False where it is gone."""
    host_id = arguments.partition(" ")[0]
    host = tx.get(HOSTS.table, int(host_id)) if is_whole(host_id) else None
    if host is not None:
        begin(tx, cause, host)
    return host is not None


# ---------------------------------------------------------------------- phases
def look(step: Step) -> None:
    """Takes every recovery as far as it can go now."""
    for row in list(scan(step.tx, HOST_RECOVERIES)):
        host = step.tx.get(HOSTS.table, row.host_id)
        if host is None:
            _end(step, row, 0, f"host {row.host_id} is gone")
        elif row.fault:
            _end(step, row, 1, f"nothing was done: {row.fault}")
        elif row.phase is Phase.WAITING:
            _wait(step, row, host)
        elif row.phase is Phase.MOVING:
            _move(step, row, host)


def _wait(step: Step, row: HostRecovery, host: Host) -> None:
    if host.state != HostState.ERROR:
        _came_back(step, row, host)
    elif step.tx.now >= row.until:
        phase = Phase.FENCING if row.fences else Phase.MOVING
        step.tx.put(HOST_RECOVERIES, replace(row, phase=phase, step=row.step + 1))


def _came_back(step: Step, row: HostRecovery, host: Host) -> None:
    _end(step, row, 0, f"host {host.name} came back, nothing was done")


def required(reader: Reader, row: HostRecovery, _conf: Configuration) -> Sequence[Work]:
    """Fencing: a command of the site's own that reads the host's XML, as base64, from its standard input."""
    host = reader.get(HOSTS.table, row.host_id)
    if host is None:
        return ()
    body = base64.b64encode(HOSTS.info_xml(reader, host).encode()).decode()
    key = WorkKey(HOST_RECOVERIES.name, row.host_id, row.step, FENCE)
    arguments = (("COMMAND", row.fence), ("ARGUMENTS", body), ("STDIN", "YES"))
    return (Work(key=key, driver=hook.DRIVER, arguments=arguments, timeout_s=FENCE_DEADLINE_S),)


def fenced(step: Step, work: Work, result: WorkResult) -> None:
    """Without a fence that holds, no VM is touched: it might run twice."""
    row = step.tx.get(HOST_RECOVERIES, work.key.oid)
    if row is None or row.step != work.key.step:
        return
    if result.ok:
        step.tx.put(HOST_RECOVERIES, replace(row, phase=Phase.MOVING, step=row.step + 1))
        return
    reason = (result.value("STDERR") or result.message).strip()
    _end(step, row, 1, f"fencing failed, VMs were left alone: {reason}")


# ---------------------------------------------------------------------- VMs
def _move(step: Step, row: HostRecovery, host: Host) -> None:
    """All VMs of the host, in one transaction."""
    if host.state != HostState.ERROR and not row.fences:
        _came_back(step, row, host)
        return
    lines = []
    for oid in host.vm_ids:
        vm = step.tx.get(VMS.table, oid)
        record = None if vm is None else current_record(step.tx, vm)
        if vm is None or record is None or record.hid != host.oid:
            continue  # on its way from or to another host: that operation's own failure deals with it
        lines.append(f"VM {oid}: {_treat(step, row, vm)}")
    _end(step, row, 0, "\n".join(lines) or f"host {host.name} had no VMs")


def _treat(step: Step, row: HostRecovery, vm: Vm) -> str:
    if row.remedy is Remedy.MIGRATE and not row.forced and not _files_survive(step.tx, vm):
        return "left alone, its files were on the host (use -f to move it anyway)"
    before = step.tx.savepoint()
    try:
        return TREATMENTS[row.remedy](VmEditor(step.tx, vm, step.conf))
    except ApiError as error:
        step.tx.roll_back(before)
        return f"left alone: {error.message}"


def _files_survive(reader: Reader, vm: Vm) -> bool:
    record = current_record(reader, vm)
    datastore = None if record is None else reader.get(DATASTORES.table, record.ds_id)
    return datastore is not None and datastore.is_shared


def _migrate(e: VmEditor) -> str:
    """The scheduler finds it another host."""
    if e.vm.in_lcm(LcmState.RUNNING):
        e.enter(LcmState.UNKNOWN)
    if not e.vm.in_lcm(LcmState.UNKNOWN) and e.vm.state != VmState.POWEROFF:
        return f"left alone in state {e.vm.state_text}"
    e.put(resched=True)
    return "to be migrated"


def _recreate(e: VmEditor) -> str:
    if not e.vm.in_lcm(*RUNNING_STATES):
        return f"left alone in state {e.vm.state_text}"
    vm_recovery.recreate(e, DAEMON)
    return "recreated"


def _delete(e: VmEditor) -> str:
    vm_recovery.delete(e, DAEMON, files_too=True)
    return "deleted"


TREATMENTS = {Remedy.MIGRATE: _migrate, Remedy.RECREATE: _recreate, Remedy.DELETE: _delete}


def _end(step: Step, row: HostRecovery, code: int, report: str) -> None:
    step.tx.delete(HOST_RECOVERIES, row.host_id)
    cause = step.tx.get(HOOKS.table, row.hook_id)
    if cause is not None:
        command = f"{cause.template.get('COMMAND')} {row.arguments}".strip()
        hook.log(step, cause, row.arguments, command=command, stdout=report, code=code)


DUTY = Duty(HOST_RECOVERIES, required, fenced)
TIMER = Timer("host recovery", LOOK_INTERVAL_S, look, wakes_on=(HOST_RECOVERIES.name,))
