"""one.backupjob.*: backup jobs."""

from __future__ import annotations

import msgspec

from services.common.template import Template
from services.oned_lite.lifecycle import backupjob as life
from services.oned_lite.lifecycle.backupjob import JobFault, normalized, set_members
from services.oned_lite.lifecycle.scheduled_actions import BACKUPJOB_ACTIONS, remove_all
from services.oned_lite.model.backupjob import BACKUPJOBS, DEFAULT_PRIORITY, PRIORITIES, BackupJob
from services.oned_lite.model.errors import ApiError, ErrorCode, action, internal
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.scheduled_action import BACKUPJOB_PARENT
from services.oned_lite.policy.authorization import Right

from . import shared
from .call import Call
from .method import MethodTable
from .shared.allocation import insert_refused, new_name_fault, new_permissions, parsed
from .shared.register import register, register_pool
from .shared.scheduling import Parent, register_scheduling
from .vm_backup import backupcancel

METHODS = MethodTable("one.backupjob")
POOL_METHODS = MethodTable("one.backupjobpool")
WRONG_PRIORITY = "Wrong priority value"
ADMIN_FROM = 50
"""Priorities from here on need ADMIN when they are set later."""


def _find_parent(call: Call, oid: int) -> Parent:
    call.fetch(BACKUPJOBS, oid, Right.MANAGE)
    return Parent(BACKUPJOB_PARENT, oid, BACKUPJOB_ACTIONS)


register(METHODS, BACKUPJOBS, "info", "rename", "chown", "chmod", "lock", "unlock")
register_pool(POOL_METHODS, BACKUPJOBS)
register_scheduling(METHODS, _find_parent)


@METHODS.add("allocate")
def allocate(call: Call, text: str) -> int:
    template = parsed(text)
    priority = template.get_int("PRIORITY", DEFAULT_PRIORITY)
    if priority not in PRIORITIES:
        raise internal(WRONG_PRIORITY)
    if priority > DEFAULT_PRIORITY and not call.caller.is_admin:
        message = f"User [{call.caller.uid}] not authorized to perform action on {BACKUPJOBS.title}."
        raise ApiError(ErrorCode.AUTHORIZATION, message)
    call.create(ObjectType.BACKUPJOB)
    fault = new_name_fault(call, BACKUPJOBS, template.get("NAME"))
    if fault is not None:
        raise internal(fault.replace(" BACKUPJOB ", " BACKUP JOB "))
    before = call.tx.savepoint()
    row = BackupJob(
        oid=call.next_oid(BACKUPJOBS),
        name=template.get("NAME"),
        uid=call.caller.uid,
        gid=call.caller.gid,
        uname=call.caller.name,
        gname=call.caller.gname,
        permissions=new_permissions(call),
        priority=priority,
        template=normalized(template.without("SCHED_ACTION")),
    )
    try:
        set_members(call.tx, None, row)
    except JobFault as fault:
        call.tx.roll_back(before)
        raise insert_refused(call, BACKUPJOBS, internal(str(fault))) from None
    return call.tx.put(BACKUPJOBS.table, row).oid


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    return shared.update(call, BACKUPJOBS, oid, text, append, finish=_finish_update)


def _finish_update(call: Call, row: BackupJob, template: Template) -> BackupJob:
    updated = msgspec.structs.replace(row, template=normalized(template))
    try:
        set_members(call.tx, row, updated)
    except JobFault as fault:
        raise internal(f"Cannot update template. {fault}") from None
    return updated


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    """`recursive` means nothing here."""
    row = call.fetch(BACKUPJOBS, oid, Right.MANAGE)
    life.clear_members(call.tx, row)
    remove_all(call.tx, BACKUPJOB_PARENT, oid)
    call.tx.delete(BACKUPJOBS.table, oid)
    return oid


@METHODS.add("priority")
def priority(call: Call, oid: int, priority: int) -> int:
    row = call.fetch(BACKUPJOBS, oid, Right.ADMIN if priority >= ADMIN_FROM else Right.MANAGE)
    if priority not in PRIORITIES:
        raise action(WRONG_PRIORITY)
    call.tx.put(BACKUPJOBS.table, msgspec.structs.replace(row, priority=priority))
    return oid


@METHODS.add("backup")
def backup(call: Call, oid: int) -> int:
    """Its VMs are backed up as their turn comes."""
    row = call.fetch(BACKUPJOBS, oid, Right.MANAGE)
    try:
        life.begin(call.tx, row)
    except JobFault as fault:
        raise action(str(fault)) from None
    return oid


@METHODS.add("retry")
def retry(call: Call, oid: int) -> int:
    life.again(call.tx, call.fetch(BACKUPJOBS, oid, Right.MANAGE))
    return oid


@METHODS.add("cancel")
def cancel(call: Call, oid: int) -> int:
    """Nothing more is started, and what is going on is given up."""
    row = call.fetch(BACKUPJOBS, oid, Right.MANAGE)
    life.stop(call.tx, row)
    for vm_id in row.backing_up:
        backupcancel(call, vm_id)
    return oid
