"""one.document.*: documents."""

from __future__ import annotations

from services.common.template import Template
from services.oned_lite.model.document import DOCUMENTS, Document
from services.oned_lite.model.objects import ObjectType
from services.oned_lite.model.removal import remove
from services.oned_lite.policy import secrets
from services.oned_lite.policy.authorization import Right

from . import shared
from .call import Call
from .method import MethodTable
from .pieces import Pieces
from .shared.allocation import MISSING, new_permissions, parsed, required
from .shared.register import register

METHODS = MethodTable("one.document")
POOL_METHODS = MethodTable("one.documentpool")

register(METHODS, DOCUMENTS, "info", "rename", "chown", "chmod", "lock", "unlock")


@METHODS.add("allocate")
def allocate(call: Call, text: str, type: int = MISSING) -> int:
    """Any name will do, also one that another document has; without one it is document-ID."""
    template = parsed(text)
    call.create(ObjectType.DOCUMENT)
    return _new(call, template.get("NAME"), required(type), template.without("NAME")).oid


def _new(call: Call, name: str, type: int, template: Template) -> Document:
    oid = call.next_oid(DOCUMENTS)
    row = Document(
        oid=oid,
        name=name or f"document-{oid}",
        uid=call.caller.uid,
        gid=call.caller.gid,
        uname=call.caller.name,
        gname=call.caller.gname,
        permissions=new_permissions(call),
        type=type,
        template=secrets.sealed(call.tx, call.conf, DOCUMENTS.encrypted, template),
    )
    return call.tx.put(DOCUMENTS.table, row)


@METHODS.add("clone")
def clone(call: Call, oid: int, name: str, recursive: bool = False) -> int:
    """`recursive` means nothing here."""
    row = DOCUMENTS.get(call.tx, oid)
    call.authorize().create(ObjectType.DOCUMENT).need(Right.USE, DOCUMENTS, row).check()
    return _new(call, name, row.type, row.template).oid


@METHODS.add("update")
def update(call: Call, oid: int, text: str, append: int = 0) -> int:
    return shared.update(call, DOCUMENTS, oid, text, append)


@METHODS.add("delete")
def delete(call: Call, oid: int, recursive: bool = False) -> int:
    """`recursive` means nothing here."""
    call.fetch(DOCUMENTS, oid, Right.MANAGE)
    remove(call.tx, DOCUMENTS, oid)
    return oid


@POOL_METHODS.read("info")
def pool_info(call: Call, filter_flag: int, start_id: int, end_id: int, type: int) -> Pieces:
    return shared.pool_info(call, DOCUMENTS, filter_flag, start_id, end_id, where=lambda row: row.type == type)
