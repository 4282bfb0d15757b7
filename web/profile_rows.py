"""The statements of a profile as its page lists them: which are shown, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from appliance.store.pages import Page
from appliance.store.profiles import Profile, ProfileEntry
from web.approval_cards import visible
from web.listing import Choice, Filter, ListState
from web.sql import highlighted

SHOW = Filter(
    "show",
    "Show",
    (
        Choice("unsigned", "not signed"),
        Choice("signed", "signed"),
        Choice("refused", "refused"),
        Choice("unused", "signed, not used any more"),
    ),
)
SORTS = ("ran", "refused", "last_at", "first_at")
_MOST_SHOWN = 4_000
_LINE = 160
_NEVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """One statement. ``request``: the number of the request to sign it that waits, 0 for none."""

    entry: ProfileEntry
    line: Markup
    text: Markup
    is_long: bool
    is_cut: bool
    request: int


def page_of(
    profile: Profile, state: ListState, waiting: dict[str, int], page: int, size: int
) -> Page[Row]:
    """Return one page of what the list's state asks for."""
    found = sorted(_chosen(profile, state), key=_ORDERS[state.sort], reverse=state.descending)
    start = (page - 1) * size
    return Page(
        tuple(_row(entry, waiting) for entry in found[start : start + size]), len(found), page, size
    )


def entries_of(profile: Profile, state: ListState, page: int, size: int) -> Page[ProfileEntry]:
    """Return one page of the entries themselves, for a file."""
    found = sorted(_chosen(profile, state), key=_ORDERS[state.sort], reverse=state.descending)
    start = (page - 1) * size
    return Page(tuple(found[start : start + size]), len(found), page, size)


def _chosen(profile: Profile, state: ListState) -> Iterable[ProfileEntry]:
    match state.value("show"):
        case "unsigned":
            entries: tuple[ProfileEntry, ...] = profile.unsigned
        case "signed":
            entries = tuple(e for e in (*profile.entries, *profile.unused) if e.is_signed)
        case "refused":
            entries = tuple(entry for entry in profile.entries if entry.refused)
        case "unused":
            entries = profile.unused
        case _:
            entries = (*profile.entries, *profile.unused)
    wanted = state.search.lower()
    return [
        entry
        for entry in entries
        if wanted in " ".join(entry.text.split()).lower()
        or wanted in entry.fingerprint
        or any(wanted in name.lower() for name in entry.tables)
    ]


def _row(entry: ProfileEntry, waiting: dict[str, int]) -> Row:
    text = visible(entry.text[:_MOST_SHOWN])  # nothing hidden may be signed
    line = " ".join(text.split())
    return Row(
        entry=entry,
        line=highlighted(line if len(line) <= _LINE else f"{line[:_LINE]}…"),
        text=highlighted(text),
        is_long=len(line) > _LINE or "\n" in text.strip(),
        is_cut=len(entry.text) > _MOST_SHOWN,
        request=waiting.get(entry.fingerprint, 0),
    )


_ORDERS: dict[str, Callable[[ProfileEntry], Any]] = {
    "ran": lambda entry: (entry.ran, entry.fingerprint),
    "refused": lambda entry: (entry.refused, entry.fingerprint),
    "last_at": lambda entry: (entry.use.last_at if entry.use else _NEVER, entry.fingerprint),
    "first_at": lambda entry: (entry.use.first_at if entry.use else _NEVER, entry.fingerprint),
}
