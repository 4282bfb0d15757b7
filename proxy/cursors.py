"""What the cursors and prepared statements of a masked session show, by name.

A cursor keeps its meaning from DECLARE on; a prepared text is read anew by the names of now. What
is not known for certain is not here: then all that the name shows is masked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.masking.texts import OpenCursors, is_opaque
from appliance.sql.taint import Lineage

if TYPE_CHECKING:
    from proxy.decision import Decision
    from proxy.inflight import InFlight
    from proxy.session import Session

_BINARY = re.compile(rb"\bbinary\b.*\bcursor\b", re.IGNORECASE | re.DOTALL)
_HOLD = re.compile(rb"\bhold\b", re.IGNORECASE)


class PreparedLineages(Mapping[str, Lineage]):
    """The lineages of prepared statements as EXECUTE would run them now."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getitem__(self, name: str) -> Lineage:
        prepared = self._session.statements[name.encode("utf-8", "surrogateescape")]
        found = self._session.judge.lineage_now(prepared.raw)
        if found is None or (prepared.is_sql and found.prepares != name):
            raise KeyError(name)  # too large to be read at once, or one of several in a script
        return found

    def __iter__(self) -> Iterator[str]:
        return (name.decode("utf-8", "replace") for name in self._session.statements)

    def __len__(self) -> int:
        return len(self._session.statements)


@dataclass(frozen=True, slots=True)
class Cursor:
    """One open cursor. ``is_held``: it may outlive its transaction."""

    lineage: Lineage
    is_held: bool
    is_binary: bool


class Cursors(OpenCursors):
    """The lineages of the cursors that DECLARE has opened, and of portals that Bind has."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._open: dict[str, Cursor] = {}

    def __getitem__(self, name: str) -> Lineage:
        found = self._open.get(name)
        if found is not None:
            return found.lineage
        portal = self._session.portals[name.encode("utf-8", "surrogateescape")]
        if portal.decision.lineage is None:
            raise KeyError(name)
        return portal.decision.lineage

    def __iter__(self) -> Iterator[str]:
        return iter(self._open)

    def __len__(self) -> int:
        return len(self._open)

    def __bool__(self) -> bool:
        return True  # portals have names too

    def is_binary(self, found: Lineage | None) -> bool:
        """Return whether a Query that fetches from the cursor of this lineage gets binary rows."""
        return any(one.lineage is found and one.is_binary for one in self._open.values())

    def goes(self, item: InFlight, raw: bytes, decision: Decision) -> None:
        """Take note of what is handed to the target; ``item.undo`` takes it back."""
        rules = self._session.judge.masking
        if rules is None or decision.mask is None:
            return
        found = decision.lineage
        if self._open and (found is None or is_opaque(found, rules) or self._may_open(found)):
            # Code could close a cursor and open another one under its name: not the one it runs in.
            self._open = {n: one for n, one in self._open.items() if one.lineage is found}
        if decision.declares:
            self._declared(item, raw, decision)

    def _may_open(self, found: Lineage) -> bool:
        """Return whether code that can be read runs, or a trigger, and may open cursors."""
        catalog = self._session.judge.catalog
        runs = found.calls or found.changes
        return runs and (catalog is None or catalog.opens_cursors)

    def _declared(self, item: InFlight, raw: bytes, decision: Decision) -> None:
        before, undo = dict(self._open), item.undo
        is_held, is_binary = bool(_HOLD.search(raw)), bool(_BINARY.search(raw))
        for name, found in decision.declares:
            self._open[name] = Cursor(found, is_held, is_binary)

        def restore() -> None:
            self._open = before
            if undo is not None:
                undo()

        item.undo = restore

    def bound(self, portal: bytes) -> None:
        """Take note that a portal is made: it has the name that a cursor may have had."""
        self._open.pop(portal.decode("utf-8", "surrogateescape"), None)

    def transaction_ended(self) -> None:
        """Forget the cursors that have ended with it."""
        if self._open:
            self._open = {name: one for name, one in self._open.items() if one.is_held}
