"""Pieces that many descriptors are made of."""

from collections.abc import Callable
from dataclasses import replace

from services.common.xmlrpc import Value
from services.sunstone_lite.cells import Link, Number, Size, Text
from services.sunstone_lite.forms import Field
from services.sunstone_lite.i18n import N_
from services.sunstone_lite.items import Item
from services.sunstone_lite.kinds.base import Action, Call, Column, Table


def text(key: str, title: str, path: str, *, wide: bool = False) -> Column:
    """A column of plain text at `path`."""
    return Column(key, title, lambda item: Text(item.text(path)), wide)


def wide(column: Column) -> Column:
    """The same column, which leaves when the window is narrow."""
    return replace(column, wide=True)


def name_column(kind: str) -> Column:
    """The object's name, a link to its page."""
    return Column("name", N_("Name"), lambda item: Link(kind, item.oid, item.name))


def count(key: str, title: str, path: str) -> Column:
    """How many elements there are at `path`."""
    return Column(key, title, lambda item: Number(len(item.all(path))))


def members(kind: str, title: str, path: str, *, heading: str = "") -> Table:
    """Objects of another kind whose ids stand at `path`; `heading` is that of the column, the table's if empty."""
    return Table(title, path, (Column("id", heading or title, _member(kind)),))


def _member(kind: str) -> Callable[[Item], Link]:
    return lambda found: Link(kind, int(found.value or -1), f"#{found.value}")


def delete(
    method: str, *more: Value, warning: str = "", applies: Callable[[Item], bool] = lambda _item: True
) -> Action:
    """The action that removes an object by `method`, with its id and `more` as parameters."""
    return Action(
        "delete", N_("Delete"), "trash", lambda oid: Call(method, (oid, *more)), applies, True, warning, final=True
    )


def switch(method: str, *, off: Callable[[Item], bool], on: Callable[[Item], bool]) -> tuple[Action, Action]:
    """Enable and disable by `method`, with true or false behind the id; `off` and `on` tell what may be."""
    return (
        Action("enable", N_("Enable"), "play", lambda oid: Call(method, (oid, True)), off),
        Action("disable", N_("Disable"), "pause", lambda oid: Call(method, (oid, False)), on),
    )


OID = Column("id", "ID", lambda item: Number(item.oid))
OWNER = text("owner", N_("Owner"), "UNAME")
GROUP = text("group", N_("Group"), "GNAME")

# What a template gives a machine.
CPU = Column("cpu", "CPU", lambda item: Number(item.real("TEMPLATE/CPU")))
VCPU = Column("vcpu", "VCPU", lambda item: Number(item.real("TEMPLATE/VCPU", 1)))
MEMORY = Column("memory", N_("Memory"), lambda item: Size(item.real("TEMPLATE/MEMORY")))

TEMPLATE_TREE = (N_("Template"), "TEMPLATE")

NAME_FIELD = Field("name", N_("Name"), required=True, rule="name")
CLUSTER_FIELD = Field("cluster", N_("Cluster"), "choice", required=True, default="0", pool="clusters")
