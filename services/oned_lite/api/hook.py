"""one.hook.*: hooks and their log."""

from __future__ import annotations

import msgspec

from services.common.template import Template
from services.oned_lite.lifecycle import host_recovery
from services.oned_lite.lifecycle.hook import retry as retry_execution
from services.oned_lite.model.errors import ApiError, ErrorCode, internal
from services.oned_lite.model.hook import HOOK_LOG, HOOKS, Hook, HookExecution, executions
from services.oned_lite.model.hook_rules import HookFault, completed, updated
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.removal import remove
from services.oned_lite.policy.authorization import Right
from services.oned_lite.policy.caller import ONEADMIN_GID
from services.oned_lite.policy.names import name_fault, taken_by
from services.oned_lite.state.table import scan

from . import shared
from .call import Call
from .method import MethodTable
from .shared.allocation import insert_refused, parsed
from .shared.register import register, register_pool

METHODS = MethodTable("one.hook")
POOL_METHODS = MethodTable("one.hookpool")
LOG_METHODS = MethodTable("one.hooklog")

OPEN = -1
FAILED, ALL, SUCCEEDED = -1, 0, 1
ALWAYS_QUIET = frozenset(
    {"one.vmpool.infoextended", "one.acl.info", "one.userquota.info", "one.groupquota.info", "one.hooklog.info"}
)
"""Calls that no hook can wait for, besides the info calls of nearly all kinds."""

register(METHODS, HOOKS, "info", "rename", "lock", "unlock")
register_pool(POOL_METHODS, HOOKS)


def call_allowed(name: str) -> bool:
    """Whether a hook may wait for that method: it exists and does more than show objects."""
    from .catalogue import METHODS as CATALOGUE  # which gathers this module's methods too

    kind, _, verb = name.removeprefix("one.").partition(".")
    quiet = name in ALWAYS_QUIET or (verb == "info" and not kind.startswith("backupjob"))
    return name in CATALOGUE and not quiet


@METHODS.add("allocate")
def allocate(call: Call, text: str) -> int:
    template = parsed(text)
    call.create(ObjectType.HOOK)
    name = template.get("NAME")
    if name_fault(name) is not None:
        raise internal("Invalid name.")
    taken = taken_by(call.tx, HOOKS, name, call.caller.uid)
    if taken is not None:
        raise internal(taken.replace(" HOOK ", " Hook "))
    try:
        kind, template = completed(template, call_allowed)
    except HookFault as fault:
        raise insert_refused(call, HOOKS, internal(str(fault))) from None
    return call.tx.put(HOOKS.table, Hook(oid=call.next_oid(HOOKS), name=name, type=kind, template=template)).oid


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    return shared.update(call, HOOKS, oid, text, append, finish=_finish_update)


def _finish_update(_call: Call, row: Hook, template: Template) -> Hook:
    try:
        return msgspec.structs.replace(row, template=updated(row.type, row.template, template, call_allowed))
    except HookFault as fault:
        raise internal(f"Cannot update template. {fault}") from None


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    """Its log goes with it; `recursive` means nothing here."""
    call.fetch(HOOKS, oid, Right.MANAGE)
    for record in executions(call.tx, oid):
        call.tx.delete(HOOK_LOG, (oid, record.execution_id))
    remove(call.tx, HOOKS, oid)
    return oid


@METHODS.add("retry")
def retry(call: Call, oid: int, execution_id: int) -> int:
    """Runs an execution of the log again, with the arguments it had."""
    hook = call.fetch(HOOKS, oid, Right.MANAGE)
    record = call.tx.get(HOOK_LOG, (oid, execution_id))
    if record is None:
        raise internal("Invalid HookLog body. Arguments not found.")
    if hook.template.get("COMMAND") not in host_recovery.COMMANDS:
        retry_execution(call.tx, hook, record)
    elif not host_recovery.again(call.tx, hook, record.arguments):
        raise internal("The host of that execution is gone.")
    return oid


@LOG_METHODS.read("info")
def log_info(call: Call, min_ts: int, max_ts: int, hook_id: int, rc_filter: int) -> str:
    """Executions between two times (epoch seconds, -1 open), of one hook or of all (-1): failed (-1), all (0) or
    successful (1) ones. Only for who has group 0 as primary group."""
    if call.caller.gid != ONEADMIN_GID:
        message = f"User [{call.caller.uid}] not authorized to perform action on {HOOKS.title}."
        raise ApiError(ErrorCode.AUTHORIZATION, message)
    found = scan(call.tx, HOOK_LOG) if hook_id == OPEN else executions(call.tx, hook_id)
    shown = (one for one in found if _in_time(one, min_ts, max_ts) and _has_result(one, rc_filter))
    return f"<HOOKLOG>{''.join(one.to_xml() for one in shown)}</HOOKLOG>"


def _in_time(record: HookExecution, min_ts: int, max_ts: int) -> bool:
    return (min_ts == OPEN or record.timestamp > min_ts) and (max_ts == OPEN or record.timestamp < max_ts)


def _has_result(record: HookExecution, rc_filter: int) -> bool:
    if rc_filter == FAILED:
        return record.rc != 0
    return rc_filter != SUCCEEDED or record.rc == 0
