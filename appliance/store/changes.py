"""Changes: the one place that bumps the snapshot version and writes the audit event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from appliance.store.actors import Actor
from appliance.store.database import Store
from appliance.store.models import AuditRow, VersionRow

_ONLY_ROW = 1


@dataclass(frozen=True, slots=True)
class Change:
    """One transaction by one actor at one moment."""

    store: Store
    by: Actor
    now: datetime

    def note(self, action: str, subject: str, /, **detail: Any) -> None:
        """Write the audit event of something that decides nothing (a sign-in, a kill)."""
        AuditRow.insert(
            at=self.now,
            actor=self.by.name,
            via=self.by.via,
            source=self.by.source,
            action=action,
            subject=subject,
            detail=detail,
        ).execute()

    def decides(self, action: str, subject: str, /, **detail: Any) -> None:
        """Write the audit event, and make every worker load the new snapshot."""
        self.note(action, subject, **detail)
        if self.store.bump_once():
            VersionRow.update(version=VersionRow.version + 1).where(
                VersionRow.id == _ONLY_ROW
            ).execute()


@contextmanager
def change(store: Store, by: Actor, now: datetime) -> Iterator[Change]:
    """Open the transaction of a change; ``detail`` of its events never holds a secret.

    Changes wait for each other (a lock on the version's row), so that what one reads while it
    checks is still true when it commits, and version N holds every change up to N.
    """
    with store.transaction():
        if not store.is_sqlite:  # SQLite: BEGIN IMMEDIATE already waits
            VersionRow.select().where(VersionRow.id == _ONLY_ROW).for_update().execute()
        yield Change(store, by, now)


@contextmanager
def noting(store: Store, by: Actor, now: datetime) -> Iterator[Change]:
    """Open the transaction of something that decides nothing: it waits for no change.

    What it does must be right by compare-and-swap alone.
    """
    with store.transaction():
        yield Change(store, by, now)


def difference(row: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of ``values`` in which the stored row differs."""
    return {name: value for name, value in values.items() if getattr(row, name) != value}
