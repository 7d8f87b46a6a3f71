"""Changing what a VM is made of: its capacity (one.vm.resize) and its configuration (one.vm.updateconf)."""

from __future__ import annotations

from collections.abc import Mapping

from services.common.template import Template, Vector
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.errors import internal
from services.oned_lite.model.host import HOSTS
from services.oned_lite.model.vm import VMS, Vm
from services.oned_lite.model.vm_capacity import number_text
from services.oned_lite.model.vm_hardware import boot_fault, raw_fault, video_fault, with_boot_order, with_video
from services.oned_lite.policy.secrets import sealed
from services.oned_lite.state import Reader

from . import backup_config, host_share, vm_context, vm_nics
from .host_share import Capacity
from .vm_editor import VmEditor
from .vm_operations import OPERATIONS, Operation
from .work import WorkResult

SETTINGS: Mapping[str, frozenset[str]] = {
    "OS": frozenset(
        {
            "ARCH",
            "MACHINE",
            "KERNEL",
            "KERNEL_DS",
            "INITRD",
            "INITRD_DS",
            "BOOTLOADER",
            "BOOT",
            "KERNEL_CMD",
            "ROOT",
            "SD_DISK_BUS",
            "UUID",
            "FIRMWARE",
            "FIRMWARE_SECURE",
        }
    ),
    "FEATURES": frozenset(
        {
            "PAE",
            "ACPI",
            "APIC",
            "LOCALTIME",
            "HYPERV",
            "GUEST_AGENT",
            "VIRTIO_SCSI_QUEUES",
            "VIRTIO_BLK_QUEUES",
            "IOTHREADS",
        }
    ),
    "INPUT": frozenset({"TYPE", "BUS"}),
    "GRAPHICS": frozenset({"TYPE", "LISTEN", "PORT", "PASSWD", "KEYMAP", "COMMAND"}),
    "VIDEO": frozenset({"TYPE", "IOMMU", "ATS", "VRAM", "RESOLUTION"}),
    "RAW": frozenset({"TYPE", "DATA", "DATA_VMX", "VALIDATE"}),
    "CPU_MODEL": frozenset({"MODEL", "FEATURES"}),
}
"""What one.vm.updateconf may set; the rest of what it is given is dropped without a word."""

_NUMBERED = ("TARGET", "DISK_ID")
"""What a CONTEXT keeps whatever it is replaced by."""


# ---------------------------------------------------------------------- configuration
def reconfigured(reader: Reader, conf: Configuration, vm: Vm, given: Template, *, merging: bool) -> Template:
    """The VM's template with the settings given. Raises INTERNAL."""
    template = vm.template
    for name, keys in SETTINGS.items():
        template = _with_setting(template, given, name, keys, merging=merging)
    template = _with_context(reader, conf, vm, template, given, merging=merging)
    for fault in (boot_fault(template), raw_fault(template), video_fault(template)):
        if fault is not None:
            raise internal(fault)
    return sealed(reader, conf, VMS.encrypted, with_boot_order(with_video(template)))


def _with_setting(template: Template, given: Template, name: str, keys: frozenset[str], *, merging: bool) -> Template:
    asked = [
        Vector(tuple((key, value) for key, value in vector.pairs if key in keys and value))
        for vector in given.vectors(name)
    ]
    if merging:
        old = template.vector(name)
        merged = [vector if old is None else old.merged(vector) for vector in asked]
        return template.with_set(name, *merged) if merged else template
    return template.with_set(name, *asked) if asked else template.without(name)


def _with_context(
    reader: Reader, conf: Configuration, vm: Vm, template: Template, given: Template, *, merging: bool
) -> Template:
    asked, old = given.vector("CONTEXT"), template.vector("CONTEXT")
    if asked is None:
        return template
    if old is None:
        raise internal("Virtual machine must have context")
    kept = old if merging else Vector(tuple(pair for pair in old.pairs if pair[0] in _NUMBERED))
    subject = vm_nics.subject_of(reader, vm)
    context = vm_context.filled_in(reader, conf, subject, vm_context.without_network(kept).merged(asked))
    return template.with_set("CONTEXT", context)


def backup_configuration(vm: Vm, given: Template) -> Template:
    asked = given.vector("BACKUP_CONFIG")
    return vm.backup_config if asked is None else backup_config.merged(vm.backup_config, asked, vm.template)


# ---------------------------------------------------------------------- capacity
def resized(template: Template, given: Template) -> Template:
    """The template with another CPU, VCPU and MEMORY; what is missing, zero or no number stays. Raises INTERNAL."""
    cpu, vcpu, memory = given.get_float("CPU", 0.0), given.get_int("VCPU", 0), given.get_int("MEMORY", 0)
    if cpu < 0:
        raise internal("CPU must be a positive float or integer value.")
    if vcpu < 0:
        raise internal("VCPU must be a positive integer value.")
    if memory < 0:
        raise internal("MEMORY must be a positive integer value.")
    changed = {"CPU": number_text(cpu) if cpu else "", "VCPU": str(vcpu or ""), "MEMORY": str(memory or "")}
    for name, value in changed.items():
        template = template.with_set(name, value) if value else template
    return template


def promise(e: VmEditor, before: Capacity, after: Capacity) -> None:
    """The host of a VM that holds a place there promises so much instead."""
    host = e.tx.get(HOSTS.table, e.record.hid)
    if host is not None and e.vm.oid in host.vm_ids:
        e.tx.put(HOSTS.table, host_share.resized(host, before, after))


def _not_resized(e: VmEditor, _result: WorkResult) -> None:
    """The hypervisor would not: back to what it was."""
    before = Template.of({name: e.vm.operation.get(name) for name in ("CPU", "VCPU", "MEMORY")}).erase_empty()
    after = Capacity.of(e.vm.template)
    e.set_template(e.vm.template.merge(before))
    promise(e, after, Capacity.of(e.vm.template))


OPERATIONS.update(
    {
        "resize": Operation("vmm", "resize", fail=_not_resized),
        "updateconf": Operation("vmm", "update_conf"),
    }
)
