"""one.vm.*: looking at a VM, its user template, name, owner, permissions and lock."""

from __future__ import annotations

from msgspec.structs import replace

from services.oned_lite.lifecycle import vm_quota
from services.oned_lite.model.errors import action, bad_request
from services.oned_lite.model.vm import VMS
from services.oned_lite.policy import secrets
from services.oned_lite.policy.authorization import Right
from services.oned_lite.policy.names import name_fault
from services.oned_lite.policy.vm_operations import right_for

from . import shared
from .call import Call
from .method import MethodTable, read_late
from .shared.register import register
from .shared.update import MERGE, REPLACE, new_template
from .vm_shared import fetch

METHODS = MethodTable("one.vm")
RESTRICTED = "VM_RESTRICTED_ATTR"

register(METHODS, VMS, "chmod", "lock", "unlock")


@METHODS.read("info")
def info(call: Call, oid: int, decrypt: bool = False) -> str:
    """`decrypt` shows administrators encrypted attributes in plain text; from others it is ignored."""
    vm = call.fetch(VMS, oid, Right.USE, ignore_lock=True)
    if read_late(decrypt) and call.caller.is_admin:
        plain = (secrets.opened(call.tx, call.conf, VMS.encrypted, one) for one in (vm.template, vm.user_template))
        vm = replace(vm, template=next(plain), user_template=next(plain))
    return VMS.info_xml(call.tx, vm)


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    """Touches USER_TEMPLATE only, in every state."""
    vm = fetch(call, oid, "update")
    if append not in (REPLACE, MERGE):
        raise bad_request("Wrong update type")
    template = new_template(call, VMS, vm.user_template, text, append, RESTRICTED)
    call.tx.put(VMS.table, replace(vm, user_template=template))
    return oid


@METHODS.add("rename")
def rename(call: Call, oid: int, name: str) -> int:
    vm = VMS.get(call.tx, oid)
    if vm.name == name:
        return oid
    call.authorize().need(right_for(call.tx, call.conf, call.caller, "rename"), VMS, vm).check()
    fault = name_fault(name)
    if fault is not None:
        raise action(fault)
    call.tx.put(VMS.table, replace(vm, name=name))
    return oid


@METHODS.add("chown")
def chown(call: Call, oid: int, uid: int, gid: int) -> int:
    vm = VMS.get(call.tx, oid)
    if vm.is_done:
        call.authorize().need(Right.MANAGE, VMS, vm).check()
        raise action(f"Could not change the owner of VM {oid}, wrong state {vm.state_text}.")
    return shared.chown(call, VMS, oid, uid, gid, charges=vm_quota.charges)


@METHODS.add("monitoring", reads=True)
def monitoring(call: Call, oid: int) -> str:
    """The dummy hypervisor reports nothing."""
    call.fetch(VMS, oid, Right.USE, ignore_lock=True)
    return "<MONITORING_DATA></MONITORING_DATA>"
