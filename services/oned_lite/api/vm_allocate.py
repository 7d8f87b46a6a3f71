"""one.vm.allocate, and the same for a VM made from a template."""

from __future__ import annotations

from services.common.template import Template
from services.oned_lite.lifecycle import vm_build, vm_quota
from services.oned_lite.model.errors import ApiError
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.vm import VMS
from services.oned_lite.policy import quotas
from services.oned_lite.policy.authorization import Authorization

from .call import Call
from .method import MethodTable
from .shared.allocation import insert_refused, new_permissions, parsed
from .vm_resources import deny_restricted, need_named

METHODS = MethodTable("one.vm")


@METHODS.add("allocate")
def allocate(call: Call, text: str, hold: bool = False) -> int:
    template = parsed(text)
    authorization = call.authorize()
    deny_restricted(call, authorization, template)
    authorization.create(ObjectType.VM)
    return create(call, authorization, template, hold=hold)


def create(call: Call, authorization: Authorization, template: Template, *, hold: bool) -> int:
    """The new VM's id. `authorization` may hold other demands of the calling method; it is checked here, together with
    the rights on what the template names."""
    need_named(call, authorization, template)
    authorization.check()
    caller = call.caller
    owner = vm_build.Owner(caller.uid, caller.gid, caller.name, caller.gname, new_permissions(call))
    vm_quota.check_new(call.tx, owner, template, caller.uid)
    before = call.tx.savepoint()
    oid = call.next_oid(VMS)
    try:
        vm_build.build(call.tx, call.conf, owner, template, oid, hold=hold)
    except ApiError as error:
        if error.keeps_changes:  # the VM is there all the same
            _charge(call, oid)
            raise
        call.tx.roll_back(before)
        raise insert_refused(call, VMS, error) from None
    _charge(call, oid)
    return oid


def _charge(call: Call, oid: int) -> None:
    vm = VMS.get(call.tx, oid)
    quotas.check_and_add(call.tx, vm, vm_quota.charges(vm))
