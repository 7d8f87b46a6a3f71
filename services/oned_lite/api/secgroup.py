"""one.secgroup.*: security groups."""

from __future__ import annotations

from msgspec.structs import replace

from services.common.template import Template
from services.oned_lite.lifecycle.secgroup import commit as queue
from services.oned_lite.model import vm_uses
from services.oned_lite.model.errors import action, internal
from services.oned_lite.model.errors import allocate as cannot_allocate
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.removal import remove
from services.oned_lite.model.secgroup import DEFAULT_SECGROUP, SECGROUPS, SecurityGroup
from services.oned_lite.model.secgroup_rules import rules_fault, without_repeats
from services.oned_lite.policy.authorization import Right
from services.oned_lite.state import Reader

from . import shared
from .call import Call
from .method import MethodTable
from .shared.allocation import check_new_name, new_name_fault, new_permissions, parsed
from .shared.register import register, register_pool

METHODS = MethodTable("one.secgroup")
POOL_METHODS = MethodTable("one.secgrouppool")

register(METHODS, SECGROUPS, "info", "rename", "chown", "chmod")
register_pool(POOL_METHODS, SECGROUPS)


@METHODS.add("allocate")
def allocate(call: Call, text: str) -> int:
    template = parsed(text)
    call.create(ObjectType.SECGROUP)
    name = check_new_name(call, SECGROUPS, template.get("NAME"))
    fault = rules_fault(template)
    if fault is not None:
        raise internal(fault)
    return _new(call, name, without_repeats(template.without("NAME")))


def _new(call: Call, name: str, template: Template) -> int:
    row = SecurityGroup(
        oid=call.next_oid(SECGROUPS),
        name=name,
        uid=call.caller.uid,
        gid=call.caller.gid,
        uname=call.caller.name,
        gname=call.caller.gname,
        permissions=new_permissions(call),
        template=template,
    )
    return call.tx.put(SECGROUPS.table, row).oid


@METHODS.add("clone")
def clone(call: Call, oid: int, name: str, recursive: bool = False) -> int:
    """`recursive` means nothing here."""
    row = SECGROUPS.get(call.tx, oid)
    call.authorize().create(ObjectType.SECGROUP).need(Right.USE, SECGROUPS, row).check()
    fault = new_name_fault(call, SECGROUPS, name)
    if fault is not None:
        raise cannot_allocate(SECGROUPS.title, fault)
    return _new(call, name, row.template)


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    """The new rules go to all VMs that use the group."""
    shared.update(call, SECGROUPS, oid, text, append, finish=_finish_update)
    queue(call.tx, SECGROUPS.get(call.tx, oid), everybody=True)
    return oid


def _finish_update(_call: Call, row: SecurityGroup, template: Template) -> SecurityGroup:
    fault = rules_fault(template)
    if fault is not None:
        raise internal(f"Cannot update template. {fault}")
    return replace(row, template=without_repeats(template))


@METHODS.add("commit")
def commit(call: Call, oid: int, recover: bool) -> int:
    """Gives the rules to all VMs that use the group; with `recover` to those that did not get them."""
    row = call.fetch(SECGROUPS, oid, Right.MANAGE)
    queue(call.tx, row, everybody=not recover)
    return oid


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    """A group no VM uses, never the default one; `recursive` means nothing here."""
    call.fetch(SECGROUPS, oid, Right.MANAGE)
    fault = _delete_fault(call.tx, oid)
    if fault is not None:
        raise action(f"Cannot delete security group. {fault}")
    vm_uses.forget(call.tx, ObjectType.SECGROUP, oid)
    remove(call.tx, SECGROUPS, oid)
    return oid


def _delete_fault(reader: Reader, oid: int) -> str | None:
    if oid == DEFAULT_SECGROUP:
        return "The default security group (ID 0) cannot be deleted."
    uses = vm_uses.of_object(reader, ObjectType.SECGROUP, oid)
    if any(use.state is vm_uses.UseState.UPDATED for use in uses):
        return "The security group has VMs using it"
    return None
