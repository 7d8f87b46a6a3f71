"""one.vm.sched*: actions that a VM is to do later, done or not."""

from __future__ import annotations

from services.oned_lite.lifecycle.scheduled_actions import VM_ACTIONS
from services.oned_lite.model.scheduled_action import VM_PARENT

from .call import Call
from .method import MethodTable
from .shared.scheduling import Parent, register_scheduling
from .vm_shared import fetch

METHODS = MethodTable("one.vm")


def _find_parent(call: Call, oid: int) -> Parent:
    vm = fetch(call, oid, "sched-action")
    return Parent(VM_PARENT, oid, VM_ACTIONS, start=vm.stime)


register_scheduling(METHODS, _find_parent)
