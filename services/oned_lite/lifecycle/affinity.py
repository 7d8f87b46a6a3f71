"""Where a VM's group lets it go: with whom it must be on one host, with whom it must not."""

from __future__ import annotations

from dataclasses import dataclass

from services.oned_lite.model.host import HOSTS
from services.oned_lite.model.vm import VMS, Vm, current_record
from services.oned_lite.model.vmgroup import AFFINED, ANTI_AFFINED, VMGROUPS, Role, VmGroup, rule_sets
from services.oned_lite.state import Reader


@dataclass(frozen=True, slots=True)
class Affinity:
    """`only`: the hosts that are left (None: any), `never`: those that are ruled out."""

    only: frozenset[int] | None = None
    never: frozenset[int] = frozenset()

    def allows(self, hid: int) -> bool:
        return hid not in self.never and (self.only is None or hid in self.only)


ANYWHERE = Affinity()


def of(reader: Reader, vm: Vm) -> Affinity:
    """What the roles and rules of the VM's group say, given where the other VMs are now."""
    wanted = vm.template.vector("VMGROUP")
    group = None if wanted is None else reader.get(VMGROUPS.table, wanted.get_int("VMGROUP_ID", -1))
    role = None if group is None or wanted is None else group.role_named(wanted.get("ROLE"))
    if group is None or role is None:
        return ANYWHERE
    together, apart = _neighbours(group, role)
    near = _hosts_of(reader, together - {vm.oid})
    far = _hosts_of(reader, apart - {vm.oid})
    affined = role.hosts("HOST_AFFINED")
    only = (near & affined if near else affined) if affined else near
    return Affinity(only if affined or near else None, far | role.hosts("HOST_ANTI_AFFINED"))


def _neighbours(group: VmGroup, role: Role) -> tuple[set[int], set[int]]:
    """The VMs that must share a host with the role's, and those that must not."""
    near = {name for names in rule_sets(group.template, AFFINED) if role.name in names for name in names}
    far = {name for names in rule_sets(group.template, ANTI_AFFINED) if role.name in names for name in names}
    far.discard(role.name)
    if role.policy == AFFINED:
        near.add(role.name)
    elif role.policy == ANTI_AFFINED:
        far.add(role.name)
    return _members(group, near), _members(group, far)


def _members(group: VmGroup, names: set[str]) -> set[int]:
    return {oid for role in group.roles if role.name in names for oid in role.vm_ids}


def _hosts_of(reader: Reader, vm_ids: set[int]) -> frozenset[int]:
    """The hosts that hold a place for one of the VMs."""
    found = set()
    for oid in vm_ids:
        vm = reader.get(VMS.table, oid)
        record = None if vm is None else current_record(reader, vm)
        host = None if record is None else reader.get(HOSTS.table, record.hid)
        if host is not None and oid in host.vm_ids:
            found.add(host.oid)
    return frozenset(found)
