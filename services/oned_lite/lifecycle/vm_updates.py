"""Bringing changes of networks and security groups to the VMs that use them: a few at a time, so that a change that
concerns thousands of VMs holds nothing up."""

from __future__ import annotations

from services.oned_lite.model import vm_uses
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.vm import VMS
from services.oned_lite.model.vm_states import LcmState
from services.oned_lite.model.vm_uses import VM_USES, UseState

from . import secgroup, vnet_update
from .work import Step, Timer

AT_A_TIME = 100
TELLING_MAX = 16
"""How many hypervisors are being told at any time."""


def bring_next(step: Step) -> None:
    """Every run takes the next few of those that are outdated."""
    room = TELLING_MAX - len(step.tx.find(VM_USES, "state", UseState.UPDATING))
    for use in vm_uses.in_state(step.tx, UseState.OUTDATED)[:AT_A_TIME]:
        vm = step.tx.get(VMS.table, use.vm_id)
        if vm is None:
            vm_uses.leave(step.tx, ObjectType(use.type), use.oid, use.vm_id)
            continue
        running = vm.in_lcm(LcmState.RUNNING, LcmState.UNKNOWN)
        if running and room <= 0:
            continue
        room -= running
        bring = vnet_update.bring if use.type == ObjectType.NET else secgroup.bring
        bring(step.tx, step.conf, use.oid, vm)


TIMER = Timer("vm-updates", 30.0, bring_next, wakes_on=(VM_USES.name,), pause_s=0.05)
