"""What subscribers of the event stream are told: OpenNebula's keys and messages (its publisher is on port 2101).

Pure: messages are made from a transaction, along with it; they may leave when it is committed.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from services.common.xmlrpc import Value
from services.oned_lite.model.vm import Vm
from services.oned_lite.model.xml import element, escape, text_element
from services.oned_lite.state import Transaction

from .hook_events import Entered, call_xml, entered, object_of, remote_host, succeeded


@dataclass(frozen=True, slots=True)
class Event:
    """One message, `body` being its XML in base64, sent once under each of its `keys`."""

    keys: tuple[str, ...]
    body: bytes


def state_events(tx: Transaction) -> list[Event]:
    """One for each object that enters a state with this transaction."""
    return [_state_event(tx, one) for one in entered(tx)]


def _state_event(tx: Transaction, change: Entered) -> Event:
    resource, (state, lcm_state) = change.watched.resource, change.state
    service = change.row.user_template.get("SERVICE_ID") if isinstance(change.row, Vm) else ""
    keys = (
        f"EVENT {resource} {change.row.oid}/{state}/{lcm_state} ",
        f"EVENT STATE {resource}/{state}/{lcm_state}/{change.row.oid} ",
        *((f"EVENT SERVICE {service} ",) if service else ()),
    )
    host = remote_host(tx, change)
    parts = (
        element("HOOK_TYPE", "STATE"),
        element("HOOK_OBJECT", resource),
        element("STATE", state),
        element("LCM_STATE", lcm_state) if lcm_state else "",
        element("RESOURCE_ID", change.row.oid),
        text_element("SERVICE_ID", service) if service else "",
        element("REMOTE_HOST", escape(host)) if resource in ("VM", "HOST") else "",
        change.watched.kind.info_xml(tx, change.row),
    )
    return Event(keys, _message("".join(parts)))


def call_event(tx: Transaction, method: str, given: Sequence[Value], hidden: frozenset[int], answer: Value) -> Event:
    """What a call was given and answered, passwords aside; see `hook_events.call_xml`."""
    info = call_xml(given, hidden, answer, object_of(tx, method, given, answer))
    body = f"<HOOK_TYPE>API</HOOK_TYPE>{element('CALL', method)}{info}"
    return Event((f"EVENT API {method} {int(succeeded(answer))}",), _message(body))


def _message(body: str) -> bytes:
    return base64.b64encode(f"<HOOK_MESSAGE>{body}</HOOK_MESSAGE>".encode())
