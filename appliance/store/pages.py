"""Pages of a list: search, sort and pagination as every list of the UI and the shell needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import peewee

from appliance.errors import Invalid

COUNT_CAP = 10_000
MAX_SIZE = 1_000

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """``total`` counts up to ``COUNT_CAP``; ``capped`` says that there are more."""

    items: tuple[Item, ...]
    total: int
    page: int
    size: int

    @property
    def capped(self) -> bool:
        return self.total > COUNT_CAP

    @property
    def pages(self) -> int:
        return max(1, -(-min(self.total, COUNT_CAP) // self.size))


def paginate(
    query: Any,
    make: Callable[[Any], Item],
    *,
    sort: str,
    columns: Mapping[str, Any],
    tie: Any,
    page: int,
    size: int,
) -> Page[Item]:
    """Run ``query`` for one page; ``sort`` is a key of ``columns``, ``-`` before it = descending.

    ``tie`` makes the order total. Raises: Invalid for an unknown sort, page or size.
    """
    if page < 1:
        raise Invalid("page", f"expected 1 or more, got {page}")
    if not 1 <= size <= MAX_SIZE:
        raise Invalid("size", f"expected 1 to {MAX_SIZE}, got {size}")
    column = columns.get(sort.removeprefix("-"))
    if column is None:
        raise Invalid("sort", f"expected one of {', '.join(columns)}, got {sort!r}")
    down = sort.startswith("-")
    order = [column.desc() if down else column.asc(), tie.desc() if down else tie.asc()]
    total = query.limit(COUNT_CAP + 1).count()
    rows = query.order_by(*order).paginate(page, size)
    return Page(tuple(make(row) for row in rows), total, page, size)


def every(fetch: Callable[[int, int], Page[Item]]) -> tuple[Item, ...]:
    """Return the items of all pages of ``fetch(page, size)``: for listings on the shell."""
    found: list[Item] = []
    page = 1
    while True:
        got = fetch(page, MAX_SIZE).items
        found.extend(got)
        if len(got) < MAX_SIZE:
            return tuple(found)
        page += 1


def contains(column: Any, text: str) -> Any:
    """Return the condition "column holds text", any case, with wildcards taken literally."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    pattern = peewee.Value(f"%{escaped.lower()}%")
    return peewee.NodeList(
        (peewee.fn.LOWER(column), peewee.SQL("LIKE"), pattern, peewee.SQL("ESCAPE '\\'"))
    )
