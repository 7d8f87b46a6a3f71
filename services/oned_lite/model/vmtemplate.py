"""VM templates."""

from __future__ import annotations

from services.oned_lite.state import Reader

from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .xml import element, template_element


class VmTemplate(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """`regtime`: epoch seconds of registration."""

    regtime: int


def render(_reader: Reader, row: VmTemplate) -> str:
    """`<VMTEMPLATE>`, the same in info and pools."""
    return (
        f"<VMTEMPLATE>{row.owner_xml()}{row.lock_xml()}{row.permissions.to_xml()}"
        f"{element('REGTIME', row.regtime)}{template_element(row.template)}</VMTEMPLATE>"
    )


TEMPLATES = Kind(
    type=ObjectType.TEMPLATE,
    title="virtual machine template",
    table=kind_table("template_pool", VmTemplate, NameScope.OWNER),
    prefix="one.template",
    root="VMTEMPLATE",
    pool_root="VMTEMPLATE_POOL",
    name_scope=NameScope.OWNER,
    render=render,
    encrypted="VM_ENCRYPTED_ATTR",
)
