"""A new VM from the template people wrote: what the daemon manages is checked, completed and taken into TEMPLATE, all
the rest stays in USER_TEMPLATE."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from msgspec.structs import replace

from services.common.template import Template, Vector
from services.oned_lite.model import vm_capacity, vm_hardware, vm_topology
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.errors import ApiError, ErrorCode, internal
from services.oned_lite.model.errors import allocate as cannot_allocate
from services.oned_lite.model.objects import Permissions
from services.oned_lite.model.scheduled_action import SCHEDULED_ACTIONS, VM_PARENT, ScheduledAction
from services.oned_lite.model.snapshots import Snapshots
from services.oned_lite.model.vm import VMS, Vm
from services.oned_lite.model.vm_states import VmState
from services.oned_lite.policy.names import name_fault
from services.oned_lite.policy.secrets import sealed
from services.oned_lite.state import Transaction

from . import backup_config, requirements, scheduled_actions, vm_cloning, vm_context, vm_disks, vm_membership, vm_nics

MANAGED = frozenset(
    {
        "AUTOMATIC_DS_REQUIREMENTS",
        "AUTOMATIC_NIC_REQUIREMENTS",
        "AUTOMATIC_REQUIREMENTS",
        "CLONING_TEMPLATE_ID",
        "CONTEXT",
        "CPU",
        "CPU_COST",
        "CPU_MODEL",
        "DISK",
        "DISK_COST",
        "EMULATOR",
        "FEATURES",
        "GRAPHICS",
        "HYPERV_OPTIONS",
        "IMPORTED",
        "IMPORT_STATE",
        "INPUT",
        "MEMORY",
        "MEMORY_COST",
        "MEMORY_MAX",
        "MEMORY_RESIZE_MODE",
        "MEMORY_SLOTS",
        "NIC",
        "NIC_ALIAS",
        "NIC_DEFAULT",
        "NUMA_NODE",
        "OS",
        "PCI",
        "RAW",
        "SPICE_OPTIONS",
        "SUBMIT_ON_HOLD",
        "TEMPLATE_ID",
        "TOPOLOGY",
        "VCPU",
        "VCPU_MAX",
        "VIDEO",
        "VMGROUP",
        "VROUTER_ID",
        "VROUTER_KEEPALIVED_ID",
        "VROUTER_KEEPALIVED_PASSWORD",
    }
)
"""Names that go to TEMPLATE; the others stay in USER_TEMPLATE."""

DROPPED = frozenset(
    {"NAME", "TEMPLATE_NAME", "DEPLOY_ID", "VMID", "SCHED_ACTION", "BACKUP_CONFIG", "SNAPSHOT", "ERROR"}
)
"""Names that a new VM's templates never show, though some decide about it."""

OPENNEBULA_DEPLOY_ID = "one-"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose VM it will be."""

    uid: int
    gid: int
    uname: str
    gname: str
    permissions: Permissions


def build(tx: Transaction, conf: Configuration, owner: Owner, given: Template, oid: int, *, hold: bool) -> Vm:
    """The new VM, in the transaction, with its images and leases taken. Raises INTERNAL or ALLOCATE, in oned's order of
    checks."""
    name = _name(given, oid)
    managed = Template(tuple(item for item in given.attributes if item[0] in MANAGED))
    user = Template(tuple(item for item in given.attributes if item[0] not in MANAGED | DROPPED))
    _refuse(name_fault(name))
    hold = hold or _submitted_on_hold(conf, managed)
    template = _basics(tx, managed, oid)
    if hold:
        template = template.with_set("SUBMIT_ON_HOLD", "YES")
    template = template.with_set("VMID", str(oid))
    vm = Vm(
        oid=oid,
        name=name,
        uid=owner.uid,
        gid=owner.gid,
        uname=owner.uname,
        gname=owner.gname,
        permissions=owner.permissions,
        template=template,
        user_template=user,
        stime=tx.now,
        state=VmState.HOLD if hold else VmState.PENDING,
    )
    vm = _with_devices(tx, conf, vm)
    vm = _finished(tx, conf, vm, given)
    vm = tx.put(VMS.table, vm_cloning.in_first_state(tx, vm))
    _schedule(tx, vm, given)
    return vm


def _schedule(tx: Transaction, vm: Vm, given: Template) -> None:
    """A wrong action fails the call, but the VM is there by then and stays: clients have seen that of oned."""
    for wanted in given.vectors("SCHED_ACTION"):
        row = ScheduledAction(oid=0, parent_id=vm.oid, parent_type=VM_PARENT)
        try:
            row = scheduled_actions.merged(row, wanted, actions=scheduled_actions.VM_ACTIONS, start=vm.stime)
        except scheduled_actions.ScheduleFault as fault:
            raise ApiError(ErrorCode.INTERNAL, str(fault), keeps_changes=True) from None
        tx.put(SCHEDULED_ACTIONS, replace(row, oid=scheduled_actions.next_oid(tx)))


def _name(given: Template, oid: int) -> str:
    name = given.get("NAME")
    if name:
        return name
    of = given.get("TEMPLATE_NAME")
    return f"{of}-{oid}" if of else f"one-{oid}"


def _submitted_on_hold(conf: Configuration, managed: Template) -> bool:
    return managed.get_bool("SUBMIT_ON_HOLD", conf.template.get_bool("VM_SUBMIT_ON_HOLD", False))


def _refuse(fault: str | None) -> None:
    if fault is not None:
        raise internal(fault)


def _basics(tx: Transaction, managed: Template, oid: int) -> Template:
    """Capacity, OS, RAW and PCI: what needs nobody else."""
    _refuse(vm_capacity.fault(managed))
    template = vm_capacity.normalized(managed)
    _refuse(vm_hardware.os_fault(template))
    template = vm_hardware.with_uuid(template, str(uuid.UUID(bytes=tx.random(16), version=4)))
    _refuse(vm_hardware.raw_fault(template))
    _refuse(vm_hardware.pci_fault(template))
    topology = vm_topology.fault(template)
    if topology is not None:
        raise cannot_allocate(VMS.title, topology)
    return vm_topology.completed(template)


def _with_devices(tx: Transaction, conf: Configuration, vm: Vm) -> Vm:
    """NICs and disks, then what names them: boot order, context."""
    bus = conf.template.get("PCI_PASSTHROUGH_BUS", "0x01")
    template = vm_hardware.with_pci_addresses(vm.template, bus)
    vm = replace(vm, template=vm_nics.complete_all(tx, conf, replace(vm, template=template)))
    vm = _with_disks(tx, conf, vm)
    _refuse(vm_hardware.boot_fault(vm.template))
    vm = replace(vm, template=vm_hardware.with_boot_order(vm.template))
    return replace(vm, template=vm_context.complete(tx, conf, vm_nics.subject_of(tx, vm)))


def _with_disks(tx: Transaction, conf: Configuration, vm: Vm) -> Vm:
    """Disk errors name the disk."""
    vectors: list[Vector] = []
    snapshots: list[tuple[int, Snapshots]] = []
    for disk_id, disk in enumerate(vm.template.vectors("DISK")):
        try:
            disks = vm_disks.complete(tx, conf, disk, disk_id, vm.oid, vm.uid)
        except ApiError as error:
            raise ApiError(ErrorCode.INTERNAL, f"DISK {disk_id}: {error.message}") from None
        vectors.extend(disks.vectors)
        snapshots.extend(disks.snapshots)
    if not vectors:
        return vm
    placed = vm_disks.with_targets(vectors, vm_disks.os_disks(tx, vectors))
    return replace(vm, template=vm.template.with_set("DISK", *placed), disk_snapshots=tuple(snapshots))


def _finished(tx: Transaction, conf: Configuration, vm: Vm, given: Template) -> Vm:
    template = vm.template
    _refuse(requirements.fault(template))
    template = requirements.with_automatic(template)
    _refuse(vm_hardware.graphics_fault(template))
    template = vm_hardware.with_graphics(template, tx.random(6).hex())
    _refuse(vm_hardware.video_fault(template))
    template = vm_hardware.with_video(template)
    vm = replace(vm, template=template)
    vm = replace(vm, backup_config=backup_config.of_new(given, template))
    vm = _imported(tx, vm, given.get("DEPLOY_ID"))
    vm = replace(vm, template=vm_membership.join(tx, vm.template, vm.oid, vm.uid))
    template, user_template = (sealed(tx, conf, VMS.encrypted, one) for one in (vm.template, vm.user_template))
    return replace(vm, template=template, user_template=user_template)


def _imported(tx: Transaction, vm: Vm, deploy_id: str) -> Vm:
    """A VM that a hypervisor runs already waits on hold to be put onto its host."""
    if not deploy_id:
        return vm
    if deploy_id.startswith(OPENNEBULA_DEPLOY_ID):
        raise internal("Trying to import an OpenNebula VM: 'one-*'.")
    if tx.find(VMS.table, "imported", deploy_id):
        raise internal(f"Virtual Machine {deploy_id} already imported.")
    return replace(vm, deploy_id=deploy_id, state=VmState.HOLD, template=vm.template.with_set("IMPORTED", "YES"))
