"""What a hook's template must say. Faults are oned's sentences, its spelling included."""

from __future__ import annotations

from collections.abc import Callable

from services.common.template import Template

from .hook import API, STATE
from .host import HostState
from .image import ImageState
from .vm_states import LcmState, VmState
from .vnet import VnetState

HOST_STATES = frozenset(HostState.__members__) | {"MONITORING_MONITORED", "MONITORING_ERROR", "MONITORING_INIT"}
IMAGE_STATES = frozenset(ImageState.__members__)
NET_STATES = frozenset(VnetState.__members__)

VM_CONDITIONS: dict[str, tuple[VmState, LcmState]] = {
    "PROLOG": (VmState.ACTIVE, LcmState.PROLOG),
    "RUNNING": (VmState.ACTIVE, LcmState.RUNNING),
    "SHUTDOWN": (VmState.ACTIVE, LcmState.EPILOG),
    "STOP": (VmState.STOPPED, LcmState.LCM_INIT),
    "DONE": (VmState.DONE, LcmState.LCM_INIT),
    "UNKNOWN": (VmState.ACTIVE, LcmState.UNKNOWN),
}
"""ON of a hook on VMs; CUSTOM takes STATE and LCM_STATE as given."""

CallAllowed = Callable[[str], bool]
"""Whether an API hook may wait for that method."""


class HookFault(Exception):
    """What is wrong with a template."""


def completed(given: Template, call_allowed: CallAllowed) -> tuple[str, Template]:
    """Type and template of a new hook. Raises HookFault."""
    kind = given.get("TYPE").lower()
    if kind not in (API, STATE):
        raise HookFault(f"Invalid Hook type: {given.get('TYPE')}")
    if not given.get("COMMAND"):
        raise HookFault("No COMMAND in template for Hook.")
    template = _with_remote(given.without("NAME", "TYPE"))
    if kind == API:
        if not call_allowed(given.get("CALL")):
            raise HookFault(f"API call does not exist or is not supported: {given.get('CALL')}")
        return kind, template
    return kind, _new_condition(template)


def _with_remote(template: Template) -> Template:
    return template.with_set("REMOTE", "YES" if template.get_bool("REMOTE", False) else "NO")


def _new_condition(template: Template) -> Template:
    resource = template.get("RESOURCE")
    if not resource:
        raise HookFault("RESOURCE attribute is required for STATE hooks.")
    if resource == "VM":
        return _vm_condition(template)
    states = {"HOST": HOST_STATES, "IMAGE": IMAGE_STATES, "NET": NET_STATES}.get(resource)
    if states is None:
        raise HookFault(f"Invalid resource type: {resource}")
    state = template.get("STATE").upper()
    if state not in states:
        raise HookFault(_wrong_state(resource, template.get("STATE")))
    return template.with_set("STATE", state)


def _wrong_state(resource: str, state: str) -> str:
    if resource != "IMAGE":
        return f"Invalid STATE: {state}"
    return f"Invalid or unkown STATE condition: {state}" if state else "Hook STATE attribute not found or invalid"


def _vm_condition(template: Template) -> Template:
    """ON becomes STATE and LCM_STATE."""
    condition = template.get("ON").upper()
    if condition == "CUSTOM":
        state, lcm_state = template.get("STATE").upper(), template.get("LCM_STATE").upper()
        if state not in VmState.__members__:
            raise HookFault(f"Wrong STATE: {template.get('STATE')}")
        if lcm_state not in LcmState.__members__:
            raise HookFault(f"Wrong LCM_STATE: {template.get('LCM_STATE')}")
    elif condition in VM_CONDITIONS:
        state, lcm_state = (one.name for one in VM_CONDITIONS[condition])
    else:
        raise HookFault(f"Unkown state condition: {template.get('ON')}")
    return template.without("ON").with_set("STATE", state).with_set("LCM_STATE", lcm_state)


def updated(kind: str, old: Template, new: Template, call_allowed: CallAllowed) -> Template:
    """The template after an update; a hook keeps its type and its resource. Raises HookFault."""
    if not new.get("COMMAND"):
        raise HookFault("The COMMAND attribute is not defined.")
    template = _with_remote(new.without("NAME", "TYPE"))
    if kind == API:
        if not call_allowed(template.get("CALL")):
            raise HookFault("The CALL attribute is not defined or it's invalid.")
        return template
    template = template.with_set("RESOURCE", old.get("RESOURCE"))
    try:
        return _updated_condition(template)
    except HookFault:
        name = "LCM_STATE" if template.get("STATE").upper() in VmState.__members__ else "STATE"
        raise HookFault(f"The {name} attribute is not defined or it's invalid.") from None


def _updated_condition(template: Template) -> Template:
    if template.get("RESOURCE") == "VM" and not template.get("ON"):
        template = template.with_set("ON", "CUSTOM")
    return _new_condition(template)
