"""one.vm.action, deploy, migrate and recover: what moves a VM through its life cycle."""

from __future__ import annotations

from services.common.template import Template, Vector
from services.oned_lite.lifecycle import host_share, vm_auto_nics, vm_recovery, vm_requests
from services.oned_lite.lifecycle.vm_requests import DEPLOYABLE, MIGRATABLE, REQUESTS
from services.oned_lite.model.datastore import DATASTORES, Datastore, DatastoreType
from services.oned_lite.model.errors import action, internal
from services.oned_lite.model.host import HOSTS, Host, HostState
from services.oned_lite.model.vm import VMS, Vm, current_record
from services.oned_lite.model.vm_states import LcmState
from services.oned_lite.policy.authorization import Right
from services.oned_lite.policy.quotas import QuotaExceeded
from services.oned_lite.policy.vm_operations import word_of

from .call import Call
from .method import MethodTable
from .shared.allocation import parsed
from .vm_resources import need_named
from .vm_shared import actor, authorization_for, editor, fetch, owner_as_actor, refuse_imported

METHODS = MethodTable("one.vm")
DEFAULT_DATASTORE = -1
POWEROFF_KINDS = (1, 2)
RECOVER_FAILURE, RECOVER_SUCCESS, RETRY, DELETE, RECREATE, DELETE_DB = range(6)
_RECOVER_WORDS = {RETRY: "retry", DELETE: "delete", RECREATE: "delete", DELETE_DB: "delete"}
_RECOVER_ACTIONS = {RETRY: "retry", DELETE: "delete", RECREATE: "delete-recreate", DELETE_DB: "delete"}


@METHODS.add("action")
def perform(call: Call, name: str, oid: int) -> int:
    """The history of a terminated VM names its owner, whoever asked."""
    vm = fetch(call, oid, word_of(name))
    request = REQUESTS.get(name)
    if request is None:
        raise action(f'Action "{name}" is not supported')
    refuse_imported(call, vm, name)
    performer = request.performer(vm)
    if performer is None:
        raise action(f'Error performing action "{name}": {_wrong_state(name, vm)}')
    asking = owner_as_actor(call, vm) if name.startswith("terminate") else actor(call)
    try:
        performer(editor(call, vm), asking)
    except QuotaExceeded as exceeded:
        raise action(exceeded.fault) from None
    return oid


def _wrong_state(name: str, vm: Vm) -> str:
    if name.startswith("terminate"):
        return f"Could not terminate VM {vm.oid}, wrong state {vm.state_text}."
    return f"This action is not available for state {vm.state_text}"


# ---------------------------------------------------------------------- deploy
@METHODS.add("deploy")
def deploy(
    call: Call, oid: int, host_id: int, enforce: bool = False, ds_id: int = DEFAULT_DATASTORE, extra: str = ""
) -> int:
    """`enforce`: only where the host has the capacity. `extra` tells the networks of automatic NICs."""
    vm = VMS.get(call.tx, oid)
    host = HOSTS.get(call.tx, host_id)
    datastore = _system_datastore(call, vm, host, ds_id)
    authorization = authorization_for(call, vm, "deploy").need(Right.MANAGE, HOSTS, host)
    if ds_id != DEFAULT_DATASTORE:
        authorization.need(Right.USE, DATASTORES, datastore)
    choices = parsed(extra).vectors("NIC") if extra else ()
    need_named(call, authorization, Template.of().with_set("NIC", *choices))
    authorization.check()
    if vm_requests.resting(vm) not in DEPLOYABLE:
        raise action(f"Deploy action is not available for state {vm.state_text}")
    vm = _with_networks(call, vm, choices)
    place(call, vm, host, datastore, enforce=enforce)
    return oid


def _with_networks(call: Call, vm: Vm, choices: tuple[Vector, ...]) -> Vm:
    """The VM with the networks that were chosen for its automatic NICs."""
    vm_auto_nics.check_choices(vm, choices)
    e = editor(call, vm)
    vm_auto_nics.settle(e, {nic.get_int("NIC_ID", -1): nic.without("NIC_ID") for nic in choices})
    return e.vm


def place(call: Call, vm: Vm, host: Host, datastore: Datastore, *, enforce: bool) -> None:
    """Puts the VM on the host. Raises ACTION where the host does not take it."""
    if host.state == HostState.OFFLINE:
        raise action("Host is offline, cannot use it to deploy VM")
    _check_fit(call, vm, host, enforce)
    vm_requests.deploy(editor(call, vm), host, datastore)


def _check_fit(call: Call, vm: Vm, host: Host, enforce: bool) -> None:
    if vm.oid in host.vm_ids:
        return
    misfit = host_share.misfit(call.tx, host, vm) if enforce else host_share.device_misfit(host, vm)
    if misfit is not None:
        raise action(f"virtual machine [{vm.oid}] does not fit in host [{host.oid}]. {misfit}")


def _system_datastore(call: Call, vm: Vm, host: Host, ds_id: int) -> Datastore:
    """The one asked for; else where the VM's files are already; else the first of the host's cluster."""
    if ds_id == DEFAULT_DATASTORE:
        record = current_record(call.tx, vm)
        former = None if record is None else call.tx.get(DATASTORES.table, record.ds_id)
        return former or _default_datastore(call, host)
    datastore = DATASTORES.get(call.tx, ds_id)
    if datastore.type is not DatastoreType.SYSTEM_DS:
        raise internal(f"Trying to use datastore [{ds_id}] to deploy the VM, but it is not of type system datastore.")
    return datastore


def _default_datastore(call: Call, host: Host) -> Datastore:
    for key in call.tx.find(DATASTORES.table, "cluster", host.cluster_id):
        datastore = call.tx.get(DATASTORES.table, key)
        if datastore is not None and datastore.type is DatastoreType.SYSTEM_DS and datastore.enabled:
            return datastore
    raise action(f"Cluster [{host.cluster_id}] does not have a suitable System Datastore.")


# ---------------------------------------------------------------------- migrate
@METHODS.add("migrate")
def migrate(
    call: Call,
    oid: int,
    host_id: int,
    live: bool,
    enforce: bool = False,
    ds_id: int = DEFAULT_DATASTORE,
    migration_type: int = 0,
) -> int:
    """`migration_type`: 0 saves and restores a running VM that does not move live, 1 powers it off, 2 pulls the plug."""
    vm = VMS.get(call.tx, oid)
    host = HOSTS.get(call.tx, host_id)
    datastore = None if ds_id == DEFAULT_DATASTORE else _system_datastore(call, vm, host, ds_id)
    authorization = authorization_for(call, vm, "migrate").need(Right.MANAGE, HOSTS, host)
    if datastore is not None:
        authorization.need(Right.USE, DATASTORES, datastore)
    authorization.check()
    if vm_requests.resting(vm) not in MIGRATABLE:
        raise action(f"Migrate action is not available for state {vm.state_text}")
    if vm.is_imported:
        raise action("Migration is not supported for imported VMs")
    record = current_record(call.tx, vm)
    if record is None:
        raise action(f"Migrate action is not available for state {vm.state_text}")
    target = datastore or DATASTORES.get(call.tx, record.ds_id)
    live = live and vm.in_lcm(LcmState.RUNNING)
    if host.oid == record.hid and target.oid == record.ds_id:
        raise action(f"VM is already running on host [{host.oid}]")
    _check_migration(vm, live, migration_type, moves_files=target.oid != record.ds_id)
    if host.state == HostState.OFFLINE:
        raise action("Host is offline, cannot use it to deploy VM")
    _check_fit(call, vm, host, enforce)
    vm_requests.migrate(editor(call, vm), host, target, actor(call), live=live, kind=migration_type)
    return oid


def _check_migration(vm: Vm, live: bool, migration_type: int, *, moves_files: bool) -> None:
    running = vm.in_lcm(LcmState.RUNNING)
    if live and moves_files:
        raise action("A migration to a different system datastore cannot be performed live.")
    if running and vm.template.vectors("PCI") and (live or migration_type not in POWEROFF_KINDS):
        raise action(
            f"Cannot migrate VM [{vm.oid}], use poweroff or poweroff-hard flag for migrating a VM with PCI devices"
        )
    if live and host_share.is_pinned(vm.template):
        raise action("VM with a pinned NUMA topology cannot be live-migrated")


# ---------------------------------------------------------------------- recover
@METHODS.add("recover")
def recover(call: Call, oid: int, operation: int) -> int:
    """0 the driver failed, 1 it succeeded, 2 try again, 3 delete, 4 delete and start anew, 5 delete from the database."""
    vm = fetch(call, oid, _RECOVER_WORDS.get(operation, "recover"))
    refuse_imported(call, vm, _RECOVER_ACTIONS.get(operation, "recover"))
    e = editor(call, vm)
    if operation in (RECOVER_FAILURE, RECOVER_SUCCESS):
        vm_recovery.settle(e, success=operation == RECOVER_SUCCESS)
    elif operation == RETRY:
        vm_recovery.retry(e)
    elif operation in (DELETE, DELETE_DB):
        vm_recovery.delete(e, actor(call), files_too=operation == DELETE)
    elif operation == RECREATE:
        vm_recovery.recreate(e, actor(call))
    else:
        raise action("Wrong recovery operation code")
    return oid
