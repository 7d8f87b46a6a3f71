"""What every allocate has in common: reading the template, naming the object, its first permissions."""

from __future__ import annotations

from typing import Any

from services.common.template import Template, TemplateError, parse
from services.oned_lite.api.call import Call
from services.oned_lite.model.configuration import Configuration
from services.oned_lite.model.errors import ApiError, ParameterFault, internal
from services.oned_lite.model.objects import COUNTERS, Kind, Permissions
from services.oned_lite.policy.names import name_fault, taken_by

ADMIN_BASE, USER_BASE, CLOSED_BASE = 0o777, 0o666, 0o660


MISSING = -(1 << 31)
"""Stands for a number that was not sent, in methods that read the template before they miss it."""


def required(value: int) -> int:
    """The number, if it was sent. Raises ParameterFault."""
    if value == MISSING:
        raise ParameterFault("Not enough parameters")
    return value


def parsed(text: str) -> Template:
    """The template in a request. Raises INTERNAL with the parser's own sentence."""
    try:
        return parse(text)
    except TemplateError as error:
        raise internal(str(error)) from None


def new_name_fault(call: Call, kind: Kind[Any], name: str, uid: int | None = None) -> str | None:
    """Why an object of the caller (or of user `uid`) cannot have that name; None where it can."""
    return name_fault(name) or taken_by(call.tx, kind, name, call.caller.uid if uid is None else uid)


def check_new_name(call: Call, kind: Kind[Any], name: str) -> str:
    """The name, if it is good and free. Raises INTERNAL."""
    fault = new_name_fault(call, kind, name)
    if fault is not None:
        raise internal(fault)
    return name


def insert_refused(call: Call, kind: Kind[Any], error: ApiError) -> ApiError:
    """The error, for a new object that was refused only while it was being stored. As in oned, nothing remembers it,
    except that the very first object of a pool takes its id with it. The caller has rolled back what it wrote."""
    if call.tx.get(COUNTERS, kind.table.name) is None:
        call.next_oid(kind)
        error.keeps_changes = True
    return error


def new_permissions(call: Call) -> Permissions:
    """The caller's umask on what a new object gives by itself."""
    base = USER_BASE if others_may(call.conf) else CLOSED_BASE
    if 0 in (call.caller.uid, call.caller.gid):
        base = ADMIN_BASE
    return Permissions.from_octal(base & ~call.caller.umask)


def others_may(conf: Configuration) -> bool:
    """Whether plain users may let everybody use their objects."""
    return bool(conf.template.get_bool("ENABLE_OTHER_PERMISSIONS", True))
