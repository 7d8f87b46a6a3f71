"""Writing the XML of objects."""

from __future__ import annotations

from collections.abc import Iterable

from services.common.template import Template, cdata


def element(tag: str, value: object) -> str:
    """A number, an enumeration's number, or text that needs no escaping."""
    return f"<{tag}>{value}</{tag}>"


def text_element(tag: str, value: str) -> str:
    """Text that people typed, in a CDATA section."""
    return f"<{tag}>{cdata(value)}</{tag}>"


def escape(value: str) -> str:
    """Text for an element that OpenNebula writes without CDATA."""
    return (
        value.replace("&", "&amp;")
        .replace("<", "&lt;")
        .replace(">", "&gt;")
        .replace('"', "&quot;")
        .replace("'", "&apos;")
    )


def id_list(tag: str, oids: Iterable[int]) -> str:
    """`<VMS><ID>1</ID>…</VMS>`; without ids `<VMS></VMS>`."""
    return f"<{tag}>" + "".join(f"<ID>{oid}</ID>" for oid in oids) + f"</{tag}>"


def template_element(template: Template, tag: str = "TEMPLATE") -> str:
    return template.to_xml(tag)
