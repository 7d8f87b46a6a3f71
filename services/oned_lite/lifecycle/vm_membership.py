"""Membership of VMs in the roles of VM groups (VMGROUP of a VM's template)."""

from __future__ import annotations

from msgspec.structs import replace

from services.common.template import Template, Vector
from services.oned_lite.model.errors import internal
from services.oned_lite.model.objects import named
from services.oned_lite.model.vm import Vm
from services.oned_lite.model.vmgroup import VMGROUPS, VmGroup
from services.oned_lite.state import Reader, Transaction


def group_of(reader: Reader, wanted: Vector, uid: int) -> VmGroup | None:
    """The group a VMGROUP attribute names: by id, or by name and owner (the VM's by default)."""
    if wanted.get("VMGROUP_ID"):
        return reader.get(VMGROUPS.table, wanted.get_int("VMGROUP_ID", -1))
    owner = wanted.get_int("VMGROUP_UID", uid)
    key = named(reader, VMGROUPS, wanted.get("VMGROUP_NAME"), owner)
    return None if key is None else reader.get(VMGROUPS.table, key)


def join(tx: Transaction, template: Template, vm_oid: int, uid: int) -> Template:
    """Enters a new VM into the role it asks for; the first VMGROUP counts. Raises INTERNAL."""
    wanted = template.vector("VMGROUP")
    if wanted is None:
        return template
    group = group_of(tx, wanted, uid)
    if group is None:
        raise internal("Cannot find VM Group to associate the VM")
    if not wanted.get("ROLE"):
        raise internal("Missing role name in VM Group definition")
    role = group.role_named(wanted.get("ROLE"))
    if role is None:
        raise internal("Role does not exist in VM Group")
    tx.put(VMGROUPS.table, group.with_role(replace(role, vm_ids=(*role.vm_ids, vm_oid))))
    return template.with_set("VMGROUP", wanted.with_set("VMGROUP_ID", str(group.oid)))


def leave(tx: Transaction, vm: Vm) -> None:
    """A VM that is done belongs to no role any more."""
    wanted = vm.template.vector("VMGROUP")
    group = None if wanted is None else tx.get(VMGROUPS.table, wanted.get_int("VMGROUP_ID", -1))
    if group is None:
        return
    for role in group.roles:
        if vm.oid in role.vm_ids:
            kept = tuple(oid for oid in role.vm_ids if oid != vm.oid)
            tx.put(VMGROUPS.table, group.with_role(replace(role, vm_ids=kept)))
