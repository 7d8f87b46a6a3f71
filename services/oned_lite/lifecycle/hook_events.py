"""Which hooks a change or a call sets off.

Both are looked at before the transaction is proposed and enter the queue in it: an event and its consequence are one
log entry, so a failover neither loses a hook nor invents one.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from services.common.template import cdata
from services.common.xmlrpc import Value
from services.oned_lite.model.hook import HOOKS, Hook
from services.oned_lite.model.host import HOSTS, HostState
from services.oned_lite.model.image import IMAGES
from services.oned_lite.model.kinds import kinds
from services.oned_lite.model.objects import Kind
from services.oned_lite.model.vm import VMS, Vm, current_record
from services.oned_lite.model.vm_states import LcmState, VmState
from services.oned_lite.model.vnet import VNETS, VnetState
from services.oned_lite.state import Reader, Transaction
from services.oned_lite.state.table import rows

from . import host_recovery
from .hook import enqueue

HIDDEN = "****"


@dataclass(frozen=True, slots=True)
class Watched:
    """A kind whose states hooks may wait for: its name as RESOURCE, and a row's STATE and LCM_STATE ("" without)."""

    resource: str
    kind: Kind[Any]
    state: Callable[[Any], tuple[str, str]]


def _vm_state(row: Vm) -> tuple[str, str]:
    return VmState(row.state).name, LcmState(row.lcm_state).name


WATCHED: dict[str, Watched] = {
    VMS.table.name: Watched("VM", VMS, _vm_state),
    HOSTS.table.name: Watched("HOST", HOSTS, lambda row: (HostState(row.state).name, "")),
    IMAGES.table.name: Watched("IMAGE", IMAGES, lambda row: (row.state.name, "")),
    VNETS.table.name: Watched("NET", VNETS, lambda row: (VnetState(row.state).name, "")),
}
"""By table name."""


def _waiting_for(reader: Reader, event: str) -> list[Hook]:
    """The hooks that a method's name, or a kind of object, may set off."""
    return rows(reader, HOOKS.table, "waits_for", event)


# ---------------------------------------------------------------------- states
@dataclass(frozen=True, slots=True)
class Entered:
    """An object's row that is in another state (STATE and LCM_STATE) than before, or new."""

    watched: Watched
    row: Any
    state: tuple[str, str]


def entered(tx: Transaction) -> Iterator[Entered]:
    """The objects that enter a state with this transaction."""
    changed = [(table, key, row) for (table, key), row in tx.rows.items() if row is not None and table in WATCHED]
    for table, key, row in changed:
        watched = WATCHED[table]
        before, state = tx.before(watched.kind.table, key), watched.state(row)
        if before is None or watched.state(before) != state:
            yield Entered(watched, row, state)


def observe_changes(tx: Transaction) -> None:
    """Queues the state hooks for objects that enter a state with this transaction."""
    for change in entered(tx):
        for hook in _waiting_for(tx, change.watched.resource):
            _enter(tx, hook, change)


def _enter(tx: Transaction, hook: Hook, change: Entered) -> None:
    template, watched = hook.template, change.watched
    if change.state != (template.get("STATE"), template.get("LCM_STATE") if watched.resource == "VM" else ""):
        return
    if watched.resource == "HOST" and template.get("COMMAND") in host_recovery.COMMANDS:
        host_recovery.begin(tx, hook, change.row)
        return
    arguments = template.get("ARGUMENTS").replace("$TEMPLATE", _encoded(watched.kind.info_xml(tx, change.row)))
    enqueue(tx, hook, arguments, remote_host=remote_host(tx, change))


def remote_host(reader: Reader, change: Entered) -> str:
    """Where a hook with REMOTE = YES runs: on the host itself, or on the VM's."""
    if change.watched.resource == "HOST":
        return str(change.row.name)
    if change.watched.resource == "VM":
        record = current_record(reader, change.row)
        return "" if record is None else record.hostname
    return ""


# ---------------------------------------------------------------------- calls
def has_api_hooks(reader: Reader, method: str) -> bool:
    return bool(_waiting_for(reader, method))


def observe_call(tx: Transaction, method: str, given: Sequence[Value], hidden: frozenset[int], answer: Value) -> None:
    """Queues the API hooks of a call. `given` are its arguments after the session, those at `hidden` places unreadable;
    `answer` is what the client gets."""
    hooks = _waiting_for(tx, method)
    if not hooks:
        return
    body = _encoded(call_xml(given, hidden, answer, object_of(tx, method, given, answer)))
    for hook in hooks:
        enqueue(tx, hook, hook.template.get("ARGUMENTS").replace("$API", body))


def object_of(tx: Transaction, method: str, given: Sequence[Value], answer: Value) -> str:
    """The XML of what an allocate has made or a delete has taken away; nothing for other calls and for failures."""
    prefix, _, verb = method.rpartition(".")
    kind = next((one for one in kinds().values() if one.prefix == prefix), None)
    if kind is None or verb not in ("allocate", "delete") or not succeeded(answer):
        return ""
    oid = answer[1] if verb == "allocate" and isinstance(answer, list) else given[0]
    if not isinstance(oid, int):
        return ""
    row = tx.get(kind.table, oid) or tx.before(kind.table, oid)
    return "" if row is None else kind.info_xml(tx, row)


def succeeded(answer: Value) -> bool:
    return isinstance(answer, list) and bool(answer) and answer[0] is True


def call_xml(given: Sequence[Value], hidden: frozenset[int], answer: Value, extra: str = "") -> str:
    """`<CALL_INFO>` as API hooks get it, `extra` being an object's XML; the session, which is the first argument, is
    never shown."""
    shown = [HIDDEN if place in hidden else value for place, value in enumerate(given)]
    results = answer if isinstance(answer, list) else [answer]
    parameters = [("IN", value) for value in (HIDDEN, *shown)] + [("OUT", value) for value in results]
    body = "".join(
        f"<PARAMETER><POSITION>{position}</POSITION><TYPE>{way}</TYPE><VALUE>{cdata(_text(value))}</VALUE></PARAMETER>"
        for position, (way, value) in enumerate(parameters, 1)
    )
    result = int(succeeded(answer))
    shown_object = f"<EXTRA>{extra}</EXTRA>" if extra else ""
    return f"<CALL_INFO><RESULT>{result}</RESULT><PARAMETERS>{body}</PARAMETERS>{shown_object}</CALL_INFO>"


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
