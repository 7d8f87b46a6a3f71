"""The NIC, NIC_ALIAS and PCI-NIC attributes of a VM."""

from __future__ import annotations

from services.common.template import Template, Vector
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.errors import internal
from services.oned_lite.model.vm import Vm
from services.oned_lite.state import Reader, Transaction

from .vm_context import Subject

NAMES = ("NIC", "NIC_ALIAS")


def subject_of(_reader: Reader, vm: Vm) -> Subject:
    """The VM as its context sees it."""
    return Subject(vm.oid, vm.name, vm.uid, vm.gid, vm.uname, vm.gname, vm.template, vm.user_template, networks={})


def complete_all(tx: Transaction, conf: Configuration, vm: Vm) -> Template:
    """The VM's template with every NIC numbered, named and leased."""
    template = vm.template
    default = template.vector("NIC_DEFAULT") or Vector()
    nics: list[Vector] = []
    for nic in template.vectors("NIC"):
        nics.append(complete(tx, conf, vm, default.merged(nic), len(nics)))
    return template.with_set("NIC", *nics) if nics else template


def complete(_tx: Transaction, _conf: Configuration, vm: Vm, nic: Vector, nic_id: int) -> Vector:
    nic = nic.merged({"NIC_ID": str(nic_id), "NAME": nic.get("NAME") or f"NIC{nic_id}"})
    if nic.get("NETWORK_MODE").upper() == "AUTO":
        return nic
    if nic.get("NETWORK_ID"):
        raise internal(f"Virtual network with ID: {nic.get('NETWORK_ID')} does not exist")
    raise internal(
        f"User {vm.uid} does not own a network with name: {nic.get('NETWORK')} ."
        " Set NETWORK_UNAME or NETWORK_UID of owner in NIC."
    )
