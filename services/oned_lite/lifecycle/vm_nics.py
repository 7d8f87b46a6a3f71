"""The NIC, NIC_ALIAS and PCI-NIC attributes of a VM: numbered, named, with an address from their network."""

from __future__ import annotations

from services.common.template import Template, Vector
from services.oned_lite.model import vm_uses
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.errors import internal
from services.oned_lite.model.lease import Holder
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.vm import Vm
from services.oned_lite.state import Reader, Transaction

from . import leases, security_groups, vm_context
from .vm_context import Subject, is_waiting

NIC, ALIAS, PCI = "NIC", "NIC_ALIAS", "PCI"
NAMES = (NIC, ALIAS, PCI)


def is_nic(nic: Vector) -> bool:
    """Whether a vector of NAMES is an interface: PCI devices need not be."""
    return "NIC_ID" in nic or nic.get("TYPE") == NIC


def all_of(template: Template) -> list[Vector]:
    """Every interface with its id: NICs, then aliases, then PCI devices that are NICs."""
    return [nic for name in NAMES for nic in template.vectors(name) if "NIC_ID" in nic]


def subject_of(reader: Reader, vm: Vm) -> Subject:
    """The VM as its context sees it."""
    networks = leases.templates_of(reader, vm.template)
    return Subject(vm.oid, vm.name, vm.uid, vm.gid, vm.uname, vm.gname, vm.template, vm.user_template, networks)


def next_nic_id(template: Template) -> int:
    return max((nic.get_int("NIC_ID", -1) for nic in all_of(template)), default=-1) + 1


def find(vm: Vm, nic_id: int) -> tuple[str, Vector] | None:
    """The attribute's name and value."""
    for name in NAMES:
        for nic in vm.template.vectors(name):
            if nic.get_int("NIC_ID", -1) == nic_id:
                return name, nic
    return None


def with_changed(template: Template, name: str, changed: Vector) -> Template:
    """The template with that interface exchanged for the one of the same id."""
    nic_id = changed.get("NIC_ID")
    vectors = [changed if nic.get("NIC_ID") == nic_id else nic for nic in template.vectors(name)]
    return template.with_set(name, *vectors)


def without(template: Template, name: str, nic_id: str) -> Template:
    kept = [nic for nic in template.vectors(name) if nic.get("NIC_ID") != nic_id]
    return template.with_set(name, *kept) if kept else template.without(name)


# ---------------------------------------------------------------------- a new VM
def complete_all(tx: Transaction, conf: Configuration, vm: Vm) -> Template:
    """The VM's template with every interface numbered, named and leased. Raises INTERNAL."""
    template = vm.template.without(NIC, ALIAS)
    for nic in vm.template.vectors(NIC):
        template = with_new(tx, conf, vm, template, NIC, with_defaults(vm.template, nic))
    template = _with_pci(tx, conf, vm, template)
    for alias in vm.template.vectors(ALIAS):
        template = with_alias(tx, conf, vm, template, alias)
    return security_groups.with_rules(tx, template)


def with_defaults(template: Template, nic: Vector) -> Vector:
    return (template.vector("NIC_DEFAULT") or Vector()).merged(nic)


def with_new(tx: Transaction, conf: Configuration, vm: Vm, template: Template, name: str, nic: Vector) -> Template:
    """The template with one more interface. Raises INTERNAL."""
    nic_id = next_nic_id(template)
    return template.with_added(name, _completed(tx, conf, vm, nic, nic_id, nic.get("NAME") or f"NIC{nic_id}"))


def _with_pci(tx: Transaction, conf: Configuration, vm: Vm, template: Template) -> Template:
    """PCI devices that are NICs have addresses as well."""
    devices: list[Vector] = []
    nic_id = next_nic_id(template)
    for device in template.vectors(PCI):
        if device.get("TYPE") == NIC:
            device = _completed(tx, conf, vm, device, nic_id, device.get("NAME") or f"NIC{nic_id}")
            nic_id += 1
        devices.append(device)
    return template.with_set(PCI, *devices) if devices else template


def _completed(tx: Transaction, conf: Configuration, vm: Vm, nic: Vector, nic_id: int, name: str) -> Vector:
    nic = nic.merged({"NIC_ID": str(nic_id), "NAME": name})
    return nic if is_waiting(nic) else leased(tx, conf, vm, nic)


def leased(tx: Transaction, conf: Configuration, vm: Vm, nic: Vector) -> Vector:
    """The interface with an address of its network, and its groups listing the VM. Raises INTERNAL."""
    network = leases.network_of(tx, nic, vm.uid)
    nic = leases.leased(tx, conf, network, nic, Holder(ObjectType.VM, vm.oid))
    vm_uses.enter(tx, ObjectType.NET, network.oid, vm.oid)
    for group in security_groups.ids_of(nic):
        security_groups.enter(tx, group, vm.oid)
    return nic if nic.get("TARGET") else nic.with_set("TARGET", f"one-{vm.oid}-{nic.get('NIC_ID')}")


# ---------------------------------------------------------------------- aliases
def parent_of(template: Template, alias: Vector) -> tuple[str, Vector] | None:
    """The interface an alias names as its PARENT."""
    for name in (NIC, PCI):
        for nic in template.vectors(name):
            if "NIC_ID" in nic and nic.get("NAME") == alias.get("PARENT"):
                return name, nic
    return None


def with_alias(tx: Transaction, conf: Configuration, vm: Vm, template: Template, alias: Vector) -> Template:
    """The template with one more alias, which its parent lists. Raises INTERNAL."""
    found = parent_of(template, alias)
    if found is None:
        raise internal(f"NIC named {alias.get('PARENT')} not found for alias")
    name, parent = found
    nic_id, parent_id = next_nic_id(template), parent.get("NIC_ID")
    listed = [part for part in parent.get("ALIAS_IDS").split(",") if part]
    alias = alias.merged({"PARENT_ID": parent_id, "ALIAS_ID": str(len(listed))})
    alias = _completed(tx, conf, vm, alias, nic_id, f"NIC{parent_id}_ALIAS{nic_id}")
    parent = parent.with_set("ALIAS_IDS", ",".join([*listed, str(nic_id)]))
    return with_changed(template, name, parent).with_added(ALIAS, alias)


# ---------------------------------------------------------------------- taking away
def release(tx: Transaction, vm: Vm, nic: Vector) -> None:
    """The network lists the VM no more, even where another NIC of it stays: oned does so."""
    network_id = nic.get_int("NETWORK_ID", -1)
    leases.release(tx, network_id, nic, Holder(ObjectType.VM, vm.oid))
    vm_uses.leave(tx, ObjectType.NET, network_id, vm.oid)


def release_all(tx: Transaction, vm: Vm) -> None:
    """A VM that is done has no address and is in no group."""
    for nic in all_of(vm.template):
        release(tx, vm, nic)
    for group in security_groups.used_by(vm.template):
        security_groups.leave(tx, group, vm.oid)


def detached(tx: Transaction, vm: Vm, nic_id: int) -> Template:
    """The VM's template without an interface and its aliases; their addresses are free again."""
    found = find(vm, nic_id)
    if found is None:
        return vm.template
    name, nic = found
    template = vm.template
    for gone_name, gone in ((name, nic), *((ALIAS, one) for one in _aliases_of(template, nic_id))):
        release(tx, vm, gone)
        template = without(template, gone_name, gone.get("NIC_ID"))
    if name == ALIAS:
        template = _without_alias_id(template, nic)
    for group in {*security_groups.used_by(vm.template)} - {*security_groups.used_by(template)}:
        security_groups.leave(tx, group, vm.oid)
    return security_groups.with_rules(tx, template)


def _aliases_of(template: Template, parent_id: int) -> list[Vector]:
    return [alias for alias in template.vectors(ALIAS) if alias.get_int("PARENT_ID", -1) == parent_id]


def _without_alias_id(template: Template, alias: Vector) -> Template:
    """The parent lists the alias no more; its ALIAS_IDS stays, even empty."""
    found = parent_of(template, alias)
    if found is None:
        return template
    name, parent = found
    kept = [part for part in parent.get("ALIAS_IDS").split(",") if part and part != alias.get("NIC_ID")]
    return with_changed(template, name, parent.with_set("ALIAS_IDS", ",".join(kept)))


def with_context(reader: Reader, vm: Vm, template: Template) -> Template:
    """The template with the network settings of its CONTEXT as the interfaces now are."""
    context = template.vector("CONTEXT")
    if context is None or not context.get_bool("NETWORK", False):
        return template
    networks = leases.templates_of(reader, template)
    subject = Subject(vm.oid, vm.name, vm.uid, vm.gid, vm.uname, vm.gname, template, vm.user_template, networks)
    settings = vm_context.network_settings(subject)
    return template.with_set("CONTEXT", vm_context.without_network(context).merged(settings))
