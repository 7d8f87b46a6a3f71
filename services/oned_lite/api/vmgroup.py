"""one.vmgroup.*: groups of VMs with roles."""

from __future__ import annotations

from msgspec.structs import replace

from services.common.template import Template
from services.oned_lite.model.errors import action, internal
from services.oned_lite.model.objects import ObjectType, named
from services.oned_lite.model.vmgroup import VMGROUPS, Role, VmGroup, fault, role_of
from services.oned_lite.policy.authorization import Right
from services.oned_lite.policy.names import name_fault

from . import shared
from .call import Call
from .method import MethodTable
from .shared.allocation import new_permissions, parsed
from .shared.register import register, register_pool

METHODS = MethodTable("one.vmgroup")
POOL_METHODS = MethodTable("one.vmgrouppool")

register(METHODS, VMGROUPS, "info", "rename", "chown", "chmod", "lock", "unlock")
register_pool(POOL_METHODS, VMGROUPS)


@METHODS.add("allocate")
def allocate(call: Call, text: str) -> int:
    template = parsed(text)
    call.create(ObjectType.VMGROUP)
    name = template.get("NAME")
    roles = _roles(template)
    _refuse(name_fault(name) or _taken(call, name))
    kept = template.without("NAME", "ROLE")
    _refuse(fault(kept, roles))
    caller = call.caller
    row = VmGroup(
        oid=call.next_oid(VMGROUPS),
        name=name,
        uid=caller.uid,
        gid=caller.gid,
        uname=caller.name,
        gname=caller.gname,
        permissions=new_permissions(call),
        template=kept,
        roles=roles,
        next_role=len(roles),
    )
    return call.tx.put(VMGROUPS.table, row).oid


def _taken(call: Call, name: str) -> str | None:
    other = named(call.tx, VMGROUPS, name, call.caller.uid)
    return None if other is None else f"NAME is already taken by VMGroup {other}."


def _refuse(found: str | None) -> None:
    if found is not None:
        raise internal(found)


def _roles(template: Template) -> tuple[Role, ...]:
    """Numbered in the order they are written. A ROLE that is no vector is passed over."""
    roles: list[Role] = []
    for fields in template.vectors("ROLE"):
        role = role_of(len(roles), fields)
        _refuse(_role_fault(role, roles))
        roles.append(role)
    return tuple(roles)


def _role_fault(role: Role, others: list[Role]) -> str | None:
    if not role.name:
        return "Missing NAME in VM group role"
    return "Role already exists" if any(other.name == role.name for other in others) else None


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    """Not while VMs belong to it."""
    return shared.update(call, VMGROUPS, oid, text, append, finish=_updated)


def _updated(_call: Call, row: VmGroup, template: Template) -> VmGroup:
    if row.vm_count:
        raise internal(f"Cannot update template. VM Group has {row.vm_count} VMs")
    template = template.without("ROLE")
    found = fault(template, row.roles)
    if found is not None:
        raise internal(f"Cannot update template. {found}")
    return replace(row, template=template)


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    """Its VMs keep their VMGROUP attribute."""
    call.fetch(VMGROUPS, oid, Right.MANAGE)
    call.tx.delete(VMGROUPS.table, oid)
    return oid


# ---------------------------------------------------------------------- roles
@METHODS.add("roleadd")
def roleadd(call: Call, oid: int, text: str) -> int:
    template = parsed(text)
    row = call.fetch(VMGROUPS, oid, Right.MANAGE)
    fields = template.vector("ROLE")
    if fields is None:
        raise action("No ROLE attribute in template")
    role = role_of(row.next_role, fields)
    found = _role_fault(role, list(row.roles))
    if found is not None:
        raise action(found)
    call.tx.put(VMGROUPS.table, replace(row, roles=(*row.roles, role), next_role=row.next_role + 1))
    return oid


@METHODS.add("roledelete")
def roledelete(call: Call, oid: int, role_id: int) -> int:
    row = call.fetch(VMGROUPS, oid, Right.MANAGE)
    role = row.role(role_id)
    if role is None:
        raise action(f"Unable to delete role {role_id}, the role doesn't exists")
    if role.vm_ids:
        raise action(f"Unable to delete role {role_id}, the role has assigned VMs ")
    roles = tuple(one for one in row.roles if one.oid != role_id)
    found = fault(row.template, roles)
    if found is not None:
        raise action(f"Unable to delete role {role_id}, {found}")
    call.tx.put(VMGROUPS.table, replace(row, roles=roles))
    return oid


@METHODS.add("roleupdate")
def roleupdate(call: Call, oid: int, role_id: int, text: str) -> int:
    template = parsed(text)
    row = call.fetch(VMGROUPS, oid, Right.MANAGE)
    role = row.role(role_id)
    if role is None:
        raise action(f"VMGroup {oid} doesn't have role {role_id}")
    if role.vm_ids:
        raise action(f"VMGroup {oid} Role {role_id} has VMs, unable to update")
    fields = template.vector("ROLE")
    if fields is None:
        raise action("No ROLE attribute in template")
    name = fields.get("NAME")
    other = row.role_named(name) if name else None
    if other is not None and other.oid != role_id:
        raise action(f"VMGroup {oid} Role {role_id} can not update name, role with name {name} already exists")
    row = row.with_role(replace(role, fields=role.fields.merged(role_of(role_id, fields).fields)))
    found = fault(row.template, row.roles)
    if found is not None:
        raise action(found)
    call.tx.put(VMGROUPS.table, row)
    return oid
