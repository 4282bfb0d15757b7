"""A list's state in its URL: search, filters, sort, page, size; and the list as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, cast
from urllib.parse import urlencode

from flask import Flask, Response, g, request

from appliance.store.pages import COUNT_CAP, MAX_SIZE, Page

PAGE_SIZES = (25, 50, 100)
_FILE_PAGES = 100
_LONGEST_SEARCH = 200
_LAST_PAGE = 1_000_000

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a filter and the word for it."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter of a list; "" among its values means any and is never written to the URL."""

    name: str
    label: str
    choices: tuple[Choice, ...]


@dataclass(frozen=True, slots=True)
class ListState:
    """What a list shows, as read from the URL. Unknown values count as not given."""

    path: str
    search: str
    sort: str
    descending: bool
    page: int
    size: int
    default_sort: str
    filters: tuple[Filter, ...] = ()
    chosen: dict[str, str] = field(default_factory=dict)

    def value(self, name: str) -> str:
        """Return the chosen value of a filter, "" for any."""
        return self.chosen.get(name, "")

    @property
    def is_narrowed(self) -> bool:
        """Return whether search or filters hide anything."""
        return bool(self.search or self.chosen)

    @property
    def order(self) -> str:
        """Return the sort as the store's lists take it: ``-`` before it turns it."""
        return f"-{self.sort}" if self.descending else self.sort

    def last_page(self, total: int) -> int:
        """Return the number of the last page, 1 for an empty list."""
        return max(1, -(-min(total, COUNT_CAP) // self.size))

    def url(self, **changes: object) -> str:
        """Return this list's URL with some of its state changed; a new filter starts at page 1."""
        state: dict[str, object] = {
            "q": self.search,
            **self.chosen,
            "sort": "" if self.order == self.default_sort else self.order,
            "page": self.page if self.page > 1 else "",
            "size": self.size if self.size != PAGE_SIZES[0] else "",
        }
        if "page" not in changes:
            state["page"] = ""
        state.update(changes)
        if state["page"] == 1:
            state["page"] = ""
        pairs = [(name, str(value)) for name, value in state.items() if value not in ("", None)]
        return f"{self.path}?{urlencode(pairs)}" if pairs else self.path

    def sort_url(self, column: str) -> str:
        """Return the URL that sorts by ``column``, or turns the order if it already does."""
        order = f"-{column}" if column == self.sort and not self.descending else column
        return self.url(sort="" if order == self.default_sort else order)

    @property
    def csv_url(self) -> str:
        return self.url(format="csv")


def install(app: Flask) -> None:
    """Let htmx show a list's own address, without the empty values that a form sends."""

    def name_list(response: Response) -> Response:
        state = g.get("list_state")
        if state is not None and request.headers.get("HX-Request"):
            response.headers["HX-Push-Url"] = state.url(page=state.page)
        return response

    app.after_request(name_list)
    app.jinja_env.globals["COUNT_CAP"] = COUNT_CAP


def read_list(
    *, sorts: Sequence[str], filters: Sequence[Filter] = (), default_sort: str = ""
) -> ListState:
    """Read the state of a list from the request's query string.

    ``sorts`` are columns; ``default_sort`` is the first of them, or one with ``-`` before it.
    """
    args = request.args
    default = default_sort or sorts[0]
    order = args.get("sort", default)
    if order.removeprefix("-") not in sorts:
        order = default
    size = args.get("size", type=int)
    chosen = {
        entry.name: value
        for entry in filters
        if (value := args.get(entry.name, "")) in {c.value for c in entry.choices} and value
    }
    g.list_state = ListState(
        path=request.path,
        search=" ".join(args.get("q", "").replace("\0", "").split())[:_LONGEST_SEARCH],
        sort=order.removeprefix("-"),
        descending=order.startswith("-"),
        page=min(max(args.get("page", 1, type=int), 1), _LAST_PAGE),
        size=size if size in PAGE_SIZES else PAGE_SIZES[0],
        default_sort=default,
        filters=tuple(filters),
        chosen=chosen,
    )
    return cast(ListState, g.list_state)


def wants_csv() -> bool:
    """Return whether the list is asked for as a file."""
    return request.args.get("format") == "csv"


def every(fetch: Callable[[int, int], Page[Item]]) -> Iterator[Item]:
    """Return what all pages of a list hold, for a file; ``fetch`` takes page and size."""
    for number in range(1, _FILE_PAGES + 1):
        found = fetch(number, MAX_SIZE)
        yield from found.items
        if len(found.items) < MAX_SIZE:
            return


def csv_response(name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """Return rows as a CSV download."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return Response(
        out.getvalue(),
        mimetype="text/csv",
        headers={"Content-Disposition": f'attachment; filename="gatepost-{name}.csv"'},
    )


def _cell(value: object) -> str:
    """Return a cell that no spreadsheet runs as a formula (OWASP: CSV injection)."""
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
