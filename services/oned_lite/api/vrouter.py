"""one.vrouter.*: virtual routers. Their machines and NICs are in `vrouter_machines`."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from services.common.template import Template
from services.oned_lite.lifecycle import vm_quota, vm_requests, vrouter
from services.oned_lite.model.errors import ApiError, ErrorCode, ParameterFault, internal
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.removal import remove
from services.oned_lite.model.vm import VMS
from services.oned_lite.model.vrouter import VROUTERS, VRouter
from services.oned_lite.policy.authorization import Right
from services.oned_lite.policy.names import name_fault

from . import shared
from .call import Call
from .method import MethodTable
from .shared.allocation import new_permissions, parsed
from .shared.register import register, register_chmod, register_pool
from .vm_resources import need_named
from .vm_shared import editor, owner_as_actor
from .vn import HOLDER_KINDS

METHODS = MethodTable("one.vrouter")
POOL_METHODS = MethodTable("one.vrouterpool")
NIC = "NIC"
CHMOD_FAULT = -500

HOLDER_KINDS[ObjectType.VROUTER] = VROUTERS
register(METHODS, VROUTERS, "info", "rename", "lock", "unlock")
register_pool(POOL_METHODS, VROUTERS)


@METHODS.add("allocate")
def allocate(call: Call, text: str) -> int:
    """NICs with FLOATING_IP get an address at once, which the machines will share. Names may be taken."""
    template = parsed(text)
    authorization = call.authorize().create(ObjectType.VROUTER)
    need_named(call, authorization, template.only(NIC))
    authorization.check()
    fault = name_fault(template.get("NAME"))
    if fault is not None:
        raise internal(fault)
    row = VRouter(
        oid=call.next_oid(VROUTERS),
        name=template.get("NAME"),
        uid=call.caller.uid,
        gid=call.caller.gid,
        uname=call.caller.name,
        gname=call.caller.gname,
        permissions=new_permissions(call),
        template=template.without("NAME", NIC),
    )
    call.tx.put(VROUTERS.table, row)
    for nic_id, nic in enumerate(template.vectors(NIC)):
        row = vrouter.with_nic(call.tx, row, nic, nic_id)
    return row.oid


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    """NICs come and go by attachnic and detachnic only."""
    return shared.update(call, VROUTERS, oid, text, append, finish=_finish_update)


def _finish_update(_call: Call, row: VRouter, template: Template) -> VRouter:
    return replace(row, template=template.with_set(NIC, *row.nics))


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    """The router's machines are terminated; `recursive` means nothing here."""
    row = call.fetch(VROUTERS, oid, Right.MANAGE)
    for nic in row.nics:
        vrouter.give_back(call.tx, row, nic)
    remove(call.tx, VROUTERS, oid)
    for vm_id in row.vm_ids:
        _terminate(call, vm_id)
    return oid


def _terminate(call: Call, vm_id: int) -> None:
    """At once, whatever the machine is doing."""
    vm = VMS.get(call.tx, vm_id)
    perform = vm_requests.REQUESTS["terminate-hard"].performer(vm) or vm_requests.delete
    perform(editor(call, vm), owner_as_actor(call, vm))


# ---------------------------------------------------------------------- owner, permissions
@METHODS.add("chown")
def chown(call: Call, oid: int, uid: int, gid: int) -> int:
    """The router's machines go along."""
    shared.chown(call, VROUTERS, oid, uid, gid)
    for vm_id in VROUTERS.get(call.tx, oid).vm_ids:
        shared.chown(call, VMS, vm_id, uid, gid, charges=vm_quota.charges)
    return oid


def _chmod(call: Call, oid: int, bits: Sequence[int], recursive: bool) -> int:
    """The router's machines go along, whatever `recursive` says. Of a router that is not there oned answers twice, which
    the XML-RPC library turns into a fault."""
    try:
        shared.chmod(call, VROUTERS, oid, bits)
    except ApiError as error:
        if error.code is not ErrorCode.NO_EXISTS:
            raise
        raise ParameterFault(
            "Unexpected error executing code for particular method, detected by Xmlrpc-c method registry code.  Method "
            "did not fail; rather, it did not complete at all.  Assigning to already instantiated xmlrpc_c::value",
            CHMOD_FAULT,
        ) from None
    for vm_id in VROUTERS.get(call.tx, oid).vm_ids:
        shared.chmod(call, VMS, vm_id, bits)
    return oid


register_chmod(METHODS, _chmod)
