"""one.vm.resize and one.vm.updateconf."""

from __future__ import annotations

from services.common.template import Template
from services.oned_lite.lifecycle import vm_operations, vm_reconfigure
from services.oned_lite.lifecycle.host_share import Capacity, short_of
from services.oned_lite.lifecycle.vm_requests import resting
from services.oned_lite.model.errors import action, bad_request, internal
from services.oned_lite.model.host import HOSTS
from services.oned_lite.model.vm import VMS, Vm, current_record
from services.oned_lite.model.vm_states import LcmState, VmState

from .call import Call
from .method import MethodTable
from .shared.allocation import parsed
from .shared.update import MERGE, REPLACE
from .vm_resources import deny_restricted
from .vm_shared import actor, authorization_for, driver_has, editor, refuse_imported

METHODS = MethodTable("one.vm")

RESIZABLE = frozenset(
    {
        VmState.INIT,
        VmState.PENDING,
        VmState.HOLD,
        VmState.POWEROFF,
        VmState.UNDEPLOYED,
        VmState.CLONING,
        VmState.CLONING_FAILURE,
    }
)
CONFIGURABLE = frozenset(
    {
        VmState.PENDING,
        VmState.HOLD,
        VmState.POWEROFF,
        VmState.UNDEPLOYED,
        VmState.CLONING,
        VmState.CLONING_FAILURE,
        LcmState.RUNNING,
        LcmState.PROLOG,
        LcmState.PROLOG_FAILURE,
        LcmState.PROLOG_MIGRATE,
        LcmState.PROLOG_MIGRATE_FAILURE,
        LcmState.PROLOG_MIGRATE_POWEROFF,
        LcmState.PROLOG_MIGRATE_POWEROFF_FAILURE,
        LcmState.PROLOG_RESUME,
        LcmState.PROLOG_RESUME_FAILURE,
        LcmState.PROLOG_UNDEPLOY,
        LcmState.PROLOG_UNDEPLOY_FAILURE,
        LcmState.EPILOG,
        LcmState.EPILOG_FAILURE,
        LcmState.EPILOG_STOP,
        LcmState.EPILOG_STOP_FAILURE,
        LcmState.EPILOG_UNDEPLOY,
        LcmState.EPILOG_UNDEPLOY_FAILURE,
        LcmState.SHUTDOWN,
        LcmState.SHUTDOWN_POWEROFF,
        LcmState.SHUTDOWN_UNDEPLOY,
        LcmState.BOOT_FAILURE,
        LcmState.BOOT_MIGRATE_FAILURE,
        LcmState.BOOT_UNDEPLOY_FAILURE,
        LcmState.BOOT_STOPPED_FAILURE,
        LcmState.CLEANUP_RESUBMIT,
        LcmState.SAVE_STOP,
        LcmState.SAVE_SUSPEND,
        LcmState.SAVE_MIGRATE,
    }
)


@METHODS.add("resize")
def resize(call: Call, oid: int, text: str) -> int:
    """Clients send a third argument, `enforce`; capacity is always enforced."""
    given = parsed(text)
    vm = VMS.get(call.tx, oid)
    authorization = authorization_for(call, vm, "resize")
    deny_restricted(call, authorization, given)
    authorization.check()
    refuse_imported(call, vm, "resize")
    template = vm_reconfigure.resized(vm.template, given)
    running = vm.in_lcm(LcmState.RUNNING) and driver_has(call, vm, "LIVE_RESIZE")
    if resting(vm) not in RESIZABLE and not running:
        raise action(f"Cannot resize a VM in state {vm.state_text}")
    _check_room(call, vm, template)
    e = editor(call, vm)
    before, after = Capacity.of(vm.template), Capacity.of(template)
    e.set_template(template)
    if vm.seq >= 0:
        vm_reconfigure.promise(e, before, after)
    if running:
        old = {name: vm.template.get(name) for name in ("CPU", "VCPU", "MEMORY")}
        vm_operations.begin(e, LcmState.HOTPLUG_RESIZE, "resize", actor(call), **old)
    return oid


def _check_room(call: Call, vm: Vm, template: Template) -> None:
    """What the VM has already is not counted against it."""
    record = current_record(call.tx, vm)
    host = None if record is None else call.tx.get(HOSTS.table, record.hid)
    if host is None or vm.oid not in host.vm_ids:
        return
    missing = short_of(call.tx, host, Capacity.of(template), Capacity.of(vm.template))
    if missing is not None:
        raise action(missing)


@METHODS.add("updateconf")
def updateconf(call: Call, oid: int, text: str, append: int = 0) -> int:
    given = parsed(text)
    vm = VMS.get(call.tx, oid)
    if append not in (REPLACE, MERGE):
        raise bad_request("Wrong update type")
    authorization = authorization_for(call, vm, "updateconf")
    deny_restricted(call, authorization, given)
    authorization.check()
    refuse_imported(call, vm, "updateconf")
    if resting(vm) not in CONFIGURABLE:
        raise internal(f"configuration cannot be updated in state {vm.state_text}")
    e = editor(call, vm)
    template = vm_reconfigure.reconfigured(call.tx, call.conf, vm, given, merging=append == MERGE)
    e.put(template=template, backup_config=vm_reconfigure.backup_configuration(vm, given))
    if vm.in_lcm(LcmState.RUNNING):
        vm_operations.begin(e, LcmState.HOTPLUG, "updateconf", actor(call))
    return oid
