"""one.secgroup.*: security groups."""

from __future__ import annotations

from services.oned_lite.model import vm_uses
from services.oned_lite.model.errors import action
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.removal import remove
from services.oned_lite.model.secgroup import DEFAULT_SECGROUP, SECGROUPS, SecurityGroup
from services.oned_lite.policy.authorization import Right

from .call import Call
from .method import MethodTable
from .shared.allocation import check_new_name, new_permissions, parsed
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
    row = SecurityGroup(
        oid=call.next_oid(SECGROUPS),
        name=name,
        uid=call.caller.uid,
        gid=call.caller.gid,
        uname=call.caller.name,
        gname=call.caller.gname,
        permissions=new_permissions(call),
        template=template.without("NAME"),
    )
    return call.tx.put(SECGROUPS.table, row).oid


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    """A group no VM uses, never the default one; `recursive` means nothing here."""
    call.fetch(SECGROUPS, oid, Right.MANAGE)
    if oid == DEFAULT_SECGROUP:
        raise action("The default security group (ID 0) cannot be deleted.")
    uses = vm_uses.of_object(call.tx, ObjectType.SECGROUP, oid)
    if any(use.state is vm_uses.UseState.UPDATED for use in uses):
        raise action("The security group has VMs using it")
    remove(call.tx, SECGROUPS, oid)
    return oid
