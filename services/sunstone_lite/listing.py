"""A list page as a function of a pool and the URL's query: filter, sort, page. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from services.sunstone_lite.cells import Cell, State
from services.sunstone_lite.items import Item
from services.sunstone_lite.kinds.base import Kind

PAGE_SIZES = (25, 50, 100, 500)
QUERY_MAX = 200


@dataclass(frozen=True, slots=True)
class Query:
    """What the URL asks of a list: words to find, the sort column (descending with `down`), page from 1, page size."""

    words: str = ""
    sort: str = "id"
    down: bool = True
    page: int = 1
    size: int = PAGE_SIZES[0]

    def url(self, kind: str, **changes: object) -> str:
        """The address of this list with some of the query changed; defaults are left out."""
        asked = replace(self, **changes)  # type: ignore[arg-type]
        pairs = {
            "q": asked.words,
            "sort": f"{'-' if asked.down else ''}{asked.sort}",
            "page": str(asked.page),
            "size": str(asked.size),
        }
        plain = {"q": "", "sort": "-id", "page": "1", "size": str(PAGE_SIZES[0])}
        query = urlencode({key: value for key, value in pairs.items() if value != plain[key]})
        return f"/{kind}?{query}" if query else f"/{kind}"


@dataclass(frozen=True, slots=True)
class Row:
    """One object of the list and its cells."""

    item: Item
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a list: its rows, how many objects match, and how many there are at all."""

    query: Query
    rows: tuple[Row, ...]
    matching: int
    total: int

    @property
    def pages(self) -> int:
        """How many pages the matching objects fill, at least one."""
        return max(1, -(-self.matching // self.query.size))

    @property
    def first(self) -> int:
        """Number, from 1, of the first row shown."""
        return (self.query.page - 1) * self.query.size + 1

    @property
    def last(self) -> int:
        """Number of the last row shown."""
        return self.first + len(self.rows) - 1


def read(kind: Kind, query: Mapping[str, str]) -> Query:
    """The query of a URL; anything odd becomes the default."""
    sort = query.get("sort", "-id")
    down, key = sort.startswith("-"), sort.removeprefix("-")
    size = _number(query.get("size", ""), PAGE_SIZES[0])
    return Query(
        words=query.get("q", "").strip()[:QUERY_MAX],
        sort=key if any(column.key == key for column in kind.columns) else "id",
        down=down,
        page=max(1, _number(query.get("page", ""), 1)),
        size=size if size in PAGE_SIZES else PAGE_SIZES[0],
    )


def show(
    kind: Kind, items: tuple[Item, ...], query: Query, translate: Callable[[str], str] = lambda message: message
) -> Listing:
    """The page of `items` that `query` asks for. A page past the end becomes the last one.

    `translate` gives our own words in the visitor's language, so that people find what they see.
    """
    rows = [Row(item, tuple(column.cell(item) for column in kind.columns)) for item in items]
    found = [row for row in rows if _matches(row, query.words, translate)] if query.words else rows
    place = next(place for place, column in enumerate(kind.columns) if column.key == query.sort)
    # oid breaks ties, so that equal rows do not trade places between two refreshes
    found.sort(key=lambda row: (row.cells[place].order, row.item.oid), reverse=query.down)
    pages = max(1, -(-len(found) // query.size))
    asked = replace(query, page=min(query.page, pages))
    start = (asked.page - 1) * asked.size
    return Listing(asked, tuple(found[start : start + asked.size]), len(found), len(items))


def _matches(row: Row, words: str, translate: Callable[[str], str]) -> bool:
    """Every word must be in some cell, case-blind; `#7` or `7` finds id 7."""
    seen = [translate(cell.label) if isinstance(cell, State) else cell.text for cell in row.cells]
    codes = [cell.code for cell in row.cells if isinstance(cell, State)]
    text = " ".join([f"#{row.item.oid}", *seen, *codes]).casefold()
    return all(word in text for word in words.casefold().split())


def _number(text: str, default: int) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else default
