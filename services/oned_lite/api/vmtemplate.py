"""one.template.*: VM templates."""

from __future__ import annotations

import msgspec

from services.common.template import TemplateError, parse
from services.oned_lite.model.errors import allocate as cannot_allocate
from services.oned_lite.model.errors import internal
from services.oned_lite.model.objects import ObjectType, Permissions
from services.oned_lite.model.vmtemplate import TEMPLATES, VmTemplate
from services.oned_lite.policy.authorization import Right
from services.oned_lite.policy.names import name_fault, taken_by
from services.oned_lite.policy.restricted import first_restricted

from . import shared
from .call import Call
from .method import MethodTable
from .shared.register import register, register_pool

METHODS = MethodTable("one.template")
POOL_METHODS = MethodTable("one.templatepool")
RESTRICTED = "VM_RESTRICTED_ATTR"

register(METHODS, TEMPLATES, "rename", "chown", "lock", "unlock")
register_pool(POOL_METHODS, TEMPLATES)


@METHODS.add("allocate")
def allocate(call: Call, text: str) -> int:
    """NAME is required and unique per owner; restricted attributes are refused to plain users."""
    try:
        template = parse(text)
    except TemplateError as error:
        raise internal(str(error)) from None
    authorization = call.authorize().create(ObjectType.TEMPLATE)
    if not call.caller.is_admin:
        found = first_restricted(template, call.conf.restricted(RESTRICTED))
        if found is not None:
            authorization.deny(f"VM Template includes a restricted attribute {found}")
    authorization.check()
    name = template.get("NAME")
    if not isinstance(name, str):
        name = ""
    fault = name_fault(name) or taken_by(call.tx, TEMPLATES, name, call.caller.uid)
    if fault is not None:
        raise internal(fault)
    row = VmTemplate(
        oid=call.next_oid(TEMPLATES),
        name=name,
        uid=call.caller.uid,
        gid=call.caller.gid,
        uname=call.caller.name,
        gname=call.caller.gname,
        permissions=Permissions.from_octal(0o666 & ~call.caller.umask),
        template=template.without("NAME"),
        regtime=call.tx.now,
    )
    return call.tx.put(TEMPLATES.table, row).oid


@METHODS.read("info")
def info(call: Call, oid: int, extended: bool = False, decrypt: bool = False) -> str:
    return TEMPLATES.info_xml(call.tx, call.fetch(TEMPLATES, oid, Right.USE, ignore_lock=True))


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    return shared.update(call, TEMPLATES, oid, text, append, restricted=RESTRICTED)


@METHODS.add("clone")
def clone(call: Call, oid: int, name: str, recursive: bool = False) -> int:
    row = TEMPLATES.get(call.tx, oid)
    call.authorize().create(ObjectType.TEMPLATE).need(Right.USE, TEMPLATES, row).check()
    fault = name_fault(name) or taken_by(call.tx, TEMPLATES, name, call.caller.uid)
    if fault is not None:
        raise cannot_allocate(TEMPLATES.title, fault)
    copy = msgspec.structs.replace(
        row,
        oid=call.next_oid(TEMPLATES),
        name=name,
        uid=call.caller.uid,
        gid=call.caller.gid,
        uname=call.caller.name,
        gname=call.caller.gname,
        permissions=Permissions.from_octal(0o666 & ~call.caller.umask),
        lock=None,
        regtime=call.tx.now,
    )
    return call.tx.put(TEMPLATES.table, copy).oid


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    call.fetch(TEMPLATES, oid, Right.MANAGE)
    call.tx.delete(TEMPLATES.table, oid)
    return oid
