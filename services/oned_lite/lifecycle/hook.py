"""Running hooks: what is due is a row of the hook queue; its result becomes a record of the log."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from services.common.template import Vector
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.hook import HOOK_LOG, HOOK_QUEUE, HOOKS, Hook, HookExecution, HookRun, executions
from services.oned_lite.model.objects import COUNTERS, Counter
from services.oned_lite.state import Reader, Transaction

from .work import Duty, Step, Work, WorkKey, WorkResult

RUN = "run"
DRIVER = "hook/local"
DEFAULT_TIMEOUT_S = 300
DEFAULT_RETENTION = 20
OUTPUT_CHARS_MAX = 64 * 1024


def enqueue(tx: Transaction, hook: Hook, arguments: str, *, remote_host: str = "", retry: bool = False) -> None:
    """Makes an execution of the hook due, with its own ARGUMENTS already filled in."""
    template = hook.template
    run = HookRun(
        oid=_next_oid(tx),
        hook_id=hook.oid,
        command=template.get("COMMAND"),
        arguments=arguments,
        on_stdin=template.get_bool("ARGUMENTS_STDIN", False),
        remote_host=remote_host if template.get_bool("REMOTE", False) else "",
        timeout_s=template.get_int("TIMEOUT", 0),
        retry=retry,
    )
    tx.put(HOOK_QUEUE, run)


def _next_oid(tx: Transaction) -> int:
    counter = tx.get(COUNTERS, HOOK_QUEUE.name)
    oid = 0 if counter is None else counter.last_oid + 1
    tx.put(COUNTERS, Counter(tablename=HOOK_QUEUE.name, last_oid=oid))
    return oid


def retry(tx: Transaction, hook: Hook, record: HookExecution) -> None:
    """Makes an execution of the log due again (one.hook.retry)."""
    enqueue(tx, hook, record.arguments, remote_host=record.remote_host, retry=True)


# ---------------------------------------------------------------------- work
def required(_reader: Reader, run: HookRun, _conf: Configuration) -> Sequence[Work]:
    arguments = (
        ("COMMAND", run.command),
        ("ARGUMENTS", run.arguments),
        ("STDIN", "YES" if run.on_stdin else "NO"),
        ("REMOTE_HOST", run.remote_host),
    )
    key = WorkKey(HOOK_QUEUE.name, run.oid, 0, RUN)
    return (Work(key=key, driver=DRIVER, arguments=arguments, timeout_s=float(run.timeout_s or DEFAULT_TIMEOUT_S)),)


def finished(step: Step, work: Work, result: WorkResult) -> None:
    run = step.tx.get(HOOK_QUEUE, work.key.oid)
    if run is None:
        return
    step.tx.delete(HOOK_QUEUE, run.oid)
    hook = step.tx.get(HOOKS.table, run.hook_id)
    if hook is None:
        return
    log(
        step,
        hook,
        run.arguments,
        command=result.value("COMMAND", run.command),
        stdout=result.value("STDOUT"),
        stderr=result.value("STDERR") or result.message,
        code=int(result.value("CODE", "0" if result.ok else "255")),
        remote_host=run.remote_host,
        retry=run.retry,
    )


def log(
    step: Step,
    hook: Hook,
    arguments: str,
    *,
    command: str,
    stdout: str,
    code: int,
    stderr: str = "",
    remote_host: str = "",
    retry: bool = False,
) -> None:
    """Enters an execution that has ended in the hook's log."""
    hook = step.tx.put(HOOKS.table, replace(hook, last_execution=hook.last_execution + 1))
    record = HookExecution(
        hook_id=hook.oid,
        execution_id=hook.last_execution,
        timestamp=step.tx.now,
        arguments=arguments,
        command=command,
        stdout=stdout[:OUTPUT_CHARS_MAX],
        stderr=stderr[:OUTPUT_CHARS_MAX],
        rc=code,
        remote_host=remote_host,
        retry=retry,
    )
    step.tx.put(HOOK_LOG, record)
    _forget_old(step.tx, hook.oid, step.conf)


def _forget_old(tx: Transaction, hook_id: int, conf: Configuration) -> None:
    """Keeps the last LOG_RETENTION executions of each hook (HOOK_LOG_CONF of oned.conf)."""
    entry = conf.template.vector("HOOK_LOG_CONF") or Vector()
    kept = max(1, entry.get_int("LOG_RETENTION", DEFAULT_RETENTION))
    for record in executions(tx, hook_id)[:-kept]:
        tx.delete(HOOK_LOG, (hook_id, record.execution_id))


DUTY = Duty(HOOK_QUEUE, required, finished)
