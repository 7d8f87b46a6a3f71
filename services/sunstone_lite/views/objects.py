"""Lists and detail pages of every kind."""

from collections.abc import Iterable
from functools import partial

from aiohttp import web

from services.sunstone_lite import answers, listing, reading
from services.sunstone_lite.cells import Cell, State
from services.sunstone_lite.items import Item, pretty


async def listed(request: web.Request) -> web.StreamResponse:
    """A list: filter, order and page are in the URL, so they survive reloads and can be shared."""
    kind = reading.kind_of(request)
    query = listing.read(kind, request.query)
    found = listing.show(kind, await reading.pool(request, kind), query, partial(answers.gettext, request))
    return await answers.page(
        request,
        "list.html",
        kind=kind,
        listing=found,
        sizes=listing.PAGE_SIZES,
        busy=_is_busy(cell for row in found.rows for cell in row.cells),
    )


async def detail(request: web.Request) -> web.StreamResponse:
    """One object: facts, tables, template, and the XML as oned has it."""
    kind = reading.kind_of(request)
    item = await reading.one(request, kind, reading.oid_of(request))
    facts = [(column, column.cell(item)) for column in kind.facts]
    tables = [
        (table, [[column.cell(found) for column in table.columns] for found in item.all(table.path)])
        for table in kind.tables
    ]
    trees = [(title, _tree(root)) for title, path in kind.trees for root in item.all(path)]
    return await answers.page(
        request,
        "detail.html",
        kind=kind,
        item=item,
        facts=facts,
        tables=tables,
        trees=trees,
        xml=pretty(item),
        offered=[action for action in kind.actions if action.applies(item)],
        busy=_is_busy(cell for _, cell in facts),
    )


def _tree(root: Item) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Attributes as (name, value, pairs of a vector)."""
    return [
        (child.tag, child.value, [(part.tag, part.value) for part in child.children()]) for child in root.children()
    ]


def _is_busy(cells: Iterable[Cell]) -> bool:
    """Whether something shown is on its way to another state, so that the page looks more often."""
    return any(isinstance(cell, State) and cell.tone == "busy" for cell in cells)
