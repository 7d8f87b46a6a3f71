"""Virtual network templates."""

from __future__ import annotations

from services.oned_lite.state import Reader

from .objects import Kind, NameScope, ObjectType, PoolObject, kind_table
from .xml import element, template_element


class VnTemplate(PoolObject, frozen=True, kw_only=True, omit_defaults=True):
    """`regtime`: epoch seconds of registration."""

    regtime: int


def render(_reader: Reader, row: VnTemplate) -> str:
    """`<VNTEMPLATE>`, the same in info and pools."""
    return (
        f"<VNTEMPLATE>{row.owner_xml()}{row.lock_xml()}{row.permissions.to_xml()}"
        f"{element('REGTIME', row.regtime)}{template_element(row.template)}</VNTEMPLATE>"
    )


VNTEMPLATES: Kind[VnTemplate] = Kind(
    type=ObjectType.VNTEMPLATE,
    title="virtual network template",
    noun="VN TEMPLATE",
    table=kind_table("vn_template_pool", VnTemplate, NameScope.OWNER),
    prefix="one.vntemplate",
    root="VNTEMPLATE",
    pool_root="VNTEMPLATE_POOL",
    name_scope=NameScope.OWNER,
    render=render,
)
