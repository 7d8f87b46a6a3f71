"""Documents: templates of any sort that other programs keep in the daemon (OneFlow's services, for instance)."""

from __future__ import annotations

from msgspec.structs import replace

from services.oned_lite.state import Reader

from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .xml import element, escape, template_element


class Document(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """`type` is whatever number the program that owns it chose."""

    type: int


def render(_reader: Reader, row: Document) -> str:
    """`<DOCUMENT>`, the same in info and pools."""
    readable = replace(row, name=escape(row.name))  # unlike all others, documents may have any name
    return (
        f"<DOCUMENT>{readable.owner_xml()}{element('TYPE', row.type)}{row.permissions.to_xml()}{row.lock_xml()}"
        f"{template_element(row.template)}</DOCUMENT>"
    )


DOCUMENTS = Kind(
    type=ObjectType.DOCUMENT,
    title="document",
    table=kind_table("document_pool", Document, NameScope.NONE),
    prefix="one.document",
    root="DOCUMENT",
    pool_root="DOCUMENT_POOL",
    name_scope=NameScope.NONE,
    render=render,
    encrypted="DOCUMENT_ENCRYPTED_ATTR",
)
