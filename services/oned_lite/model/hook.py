"""Hooks: commands that run when an object enters a state or an API call is made; and the log of their executions."""

from __future__ import annotations

from collections.abc import Hashable

import msgspec

from services.oned_lite.state import Reader, Table
from services.oned_lite.state.table import rows

from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .xml import element, template_element, text_element

API, STATE = "api", "state"


class Hook(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """`type` is "api" or "state"; what it waits for and runs is in the template (CALL or RESOURCE, STATE, LCM_STATE;
    COMMAND, ARGUMENTS, ARGUMENTS_STDIN, REMOTE, TIMEOUT). `last_execution` numbers its executions."""

    type: str
    last_execution: int = -1


def waits_for(row: Hook) -> tuple[Hashable, ...]:
    """What sets the hook off: a method's name, or a kind of object."""
    return (row.template.get("CALL") if row.type == API else row.template.get("RESOURCE"),)


class HookExecution(msgspec.Struct, frozen=True, kw_only=True):
    """One execution that has ended (table hook_log). `arguments` as they were, `rc` the command's exit code."""

    hook_id: int
    execution_id: int
    timestamp: int
    arguments: str
    command: str
    stdout: str
    stderr: str
    rc: int
    remote_host: str = ""
    retry: bool = False

    def to_xml(self) -> str:
        host = text_element("REMOTE_HOST", self.remote_host) if self.remote_host else ""
        retry = text_element("RETRY", "yes") if self.retry else ""
        return (
            f"<HOOK_EXECUTION_RECORD>{element('HOOK_ID', self.hook_id)}{element('EXECUTION_ID', self.execution_id)}"
            f"{element('TIMESTAMP', self.timestamp)}{text_element('ARGUMENTS', self.arguments)}"
            f"<EXECUTION_RESULT>{text_element('COMMAND', self.command)}{text_element('STDOUT', self.stdout)}"
            f"{text_element('STDERR', self.stderr)}{element('CODE', self.rc)}</EXECUTION_RESULT>{host}{retry}"
            f"</HOOK_EXECUTION_RECORD>"
        )


def _by_hook(row: HookExecution) -> tuple[Hashable, ...]:
    return (row.hook_id,)


HOOK_LOG: Table[HookExecution] = Table(
    "hook_log", HookExecution, key=lambda row: (row.hook_id, row.execution_id), indexes={"hook": _by_hook}
)


def executions(reader: Reader, hook_id: int) -> list[HookExecution]:
    """A hook's logged executions, the oldest first."""
    return rows(reader, HOOK_LOG, "hook", hook_id)


def _body(row: Hook) -> str:
    return (
        f"{element('ID', row.oid)}{element('NAME', row.name)}{element('TYPE', row.type)}{row.lock_xml()}"
        f"{template_element(row.template)}"
    )


def render(_reader: Reader, row: Hook) -> str:
    """`<HOOK>` as pools show it."""
    return f"<HOOK>{_body(row)}</HOOK>"


def render_info(reader: Reader, row: Hook) -> str:
    """`<HOOK>` with its log."""
    records = "".join(one.to_xml() for one in executions(reader, row.oid))
    return f"<HOOK>{_body(row)}<HOOKLOG>{records}</HOOKLOG></HOOK>"


HOOKS = Kind(
    type=ObjectType.HOOK,
    title="hook",
    table=kind_table("hook_pool", Hook, NameScope.POOL, waits_for=waits_for),
    prefix="one.hook",
    root="HOOK",
    pool_root="HOOK_POOL",
    name_scope=NameScope.POOL,
    render=render,
    render_info=render_info,
)


class HookRun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An execution that is due (table hook_queue), written together with the change or call that caused it, so that no
    event is lost with a leader. `arguments` have their variables filled in."""

    oid: int
    hook_id: int
    command: str
    arguments: str = ""
    on_stdin: bool = False
    remote_host: str = ""
    timeout_s: int = 0
    retry: bool = False


def _due(_row: HookRun) -> tuple[Hashable, ...]:
    return (True,)


HOOK_QUEUE: Table[HookRun] = Table("hook_queue", HookRun, key=lambda row: row.oid, indexes={"work": _due})
