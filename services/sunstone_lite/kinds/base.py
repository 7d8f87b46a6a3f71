"""The descriptor every page is drawn from: what a kind of object is called, shown as, and asked to do."""

from collections.abc import Callable
from dataclasses import dataclass

from services.common.xmlrpc import Value
from services.sunstone_lite.cells import Cell
from services.sunstone_lite.forms import Answers, Form
from services.sunstone_lite.items import Item


@dataclass(frozen=True, slots=True)
class Call:
    """One XML-RPC call, without the session."""

    method: str
    params: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a list: `key` names it in the URL, `wide` columns leave first when the window is narrow."""

    key: str
    title: str
    cell: Callable[[Item], Cell]
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table on a detail page: one row for each element at `path`."""

    title: str
    path: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Action:
    """Something done to objects. `applies` tells in which states oned accepts it.

    `grave` ones ask first, with a `warning`; `final` ones are grave and cannot be undone.
    """

    key: str
    label: str
    icon: str
    call: Callable[[int], Call]
    applies: Callable[[Item], bool] = lambda _item: True
    grave: bool = False
    warning: str = ""
    final: bool = False


@dataclass(frozen=True, slots=True)
class Creation:
    """How a new object is made: what the button says, what is asked, and the call it becomes."""

    label: str
    form: Form
    build: Callable[[Answers], Call]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object. `key` is its path in URLs, `tag` its element in a pool's XML."""

    key: str
    tag: str
    icon: str
    title: str
    singular: str
    pool: Call
    info: str
    columns: tuple[Column, ...]
    facts: tuple[Column, ...]
    tables: tuple[Table, ...] = ()
    trees: tuple[tuple[str, str], ...] = ()
    actions: tuple[Action, ...] = ()
    create: Creation | None = None
    empty: str = ""

    def action(self, key: str) -> Action | None:
        """The action with this key."""
        return next((action for action in self.actions if action.key == key), None)
