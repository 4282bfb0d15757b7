"""Bring the store's schema up to date: runs ``migrations/`` under a lock, oldest first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import peewee
from playhouse.migrations import Runner

import migrations  # a package, so that it is found in a checkout and when installed
from appliance.errors import StoreUnavailable
from appliance.store.database import Store

_LOCK = 0x6761_7465  # "gate": one migrating process at a time on a shared PostgreSQL


@dataclass(frozen=True, slots=True)
class Migration:
    """``applied_at`` is None while it has not run."""

    name: str
    applied_at: datetime | None


def migrate(store: Store) -> tuple[str, ...]:
    """Apply what is pending, all or nothing, and return its names.

    Safe when several processes start at once. Raises: StoreUnavailable, also for a store that a
    newer Gatepost has already migrated further than this one knows.
    """
    with store.transaction(), _alone(store):
        runner = _runner(store.database)
        _refuse_newer(runner)
        return tuple(runner.up())


def status(store: Store) -> tuple[Migration, ...]:
    """Return every migration in order, applied or pending."""
    with store.reading():
        # the runner notes local naive time
        return tuple(
            Migration(m.name, m.applied.astimezone(UTC) if m.applied else None)
            for m in _runner(store.database).status()
        )


def available() -> tuple[str, ...]:
    """Return the names of the migrations that this version has, in order."""
    return tuple(sorted(path.stem for path in _directory().glob("[0-9]*.py")))


def is_empty(store: Store) -> bool:
    """Return whether nothing was ever migrated here."""
    with store.reading():
        return not _runner(store.database).applied()


def _runner(database: Any) -> Any:
    return Runner(database, directory=str(_directory()))


def _directory() -> Path:
    return Path(migrations.__file__).parent


def _refuse_newer(runner: Any) -> None:
    gone = [m.name for m in runner.status() if m.path is None]
    if gone:
        raise StoreUnavailable(
            f"the store was migrated by a newer Gatepost ({gone[-1]})",
            "run that version, or restore the backup made before the upgrade",
        )


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    if not store.is_sqlite:  # SQLite: BEGIN IMMEDIATE is the lock
        try:
            store.database.execute_sql("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        except peewee.OperationalError:
            raise StoreUnavailable(
                "another process is migrating the store", "wait for it, then try again"
            ) from None
    yield
