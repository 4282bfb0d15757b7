"""The use of fingerprints by day: the indexer adds to it, profiles and the dry run read it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import peewee

from appliance.recording.fingerprint_days import DAY_MICROS, DayKey, DayUse
from appliance.store.database import Store
from appliance.store.fields import from_micros, to_micros

_KEY = DayKey._fields
_EXAMPLE = ("text_id", "effects", "session_id", "seq")


@dataclass(frozen=True, slots=True)
class FingerprintUse:
    """One fingerprint of one identity over some days, with its latest statement as the example.

    ``where``: (target, database, role) triples. ``count`` has every statement that was recorded;
    ``ran`` leaves out what was refused or withdrawn.
    """

    identity: str
    fingerprint: str
    where: tuple[tuple[str, str, str], ...]
    count: int
    refused: int
    failed: int
    withdrawn: int
    first_at: datetime
    last_at: datetime
    text: str
    effects: tuple[tuple[str, str], ...]
    session_id: str
    seq: int

    @property
    def ran(self) -> int:
        return self.count - self.refused - self.withdrawn


def day_of(at: datetime) -> int:
    """Return a moment's UTC day, in days since the epoch."""
    return to_micros(at) // DAY_MICROS


def add(store: Store, uses: Iterable[tuple[DayKey, DayUse]]) -> None:
    """Add what a batch brings; in the indexer's transaction, so that each record counts once."""
    columns = (*_KEY, *DayUse._fields)
    old, new = "fingerprint_day", "excluded"
    sums = [
        f"{c} = {old}.{c} + {new}.{c}" for c in ("statements", "refused", "failed", "withdrawn")
    ]
    first, was = f"{new}.first_at", f"{old}.first_at"
    earlier = f"first_at = CASE WHEN {first} < {was} THEN {first} ELSE {was} END"
    later = [
        f"{c} = CASE WHEN {new}.last_at >= {old}.last_at THEN {new}.{c} ELSE {old}.{c} END"
        for c in ("last_at", *_EXAMPLE)
    ]
    sql = (
        f"INSERT INTO fingerprint_day ({', '.join(columns)})"  # noqa: S608 - our own columns
        f" VALUES ({', '.join('?' * len(columns))}) ON CONFLICT ({', '.join(_KEY)})"
        f" DO UPDATE SET {', '.join([*sums, earlier, *later])}"
    )
    values = [(*key, *use) for key, use in uses]
    if values:
        # So that Store knows the driver's errors (its stubs lack the name).
        with peewee.__exception_wrapper__:  # type: ignore[attr-defined]
            store.database.connection().cursor().executemany(_dialect(store, sql), values)


def of_identity(
    store: Store, identity: str, since: datetime, fingerprints: Sequence[str] | None = None
) -> tuple[FingerprintUse, ...]:
    """Return what an identity asked for since the UTC day of ``since``, the most used first."""
    where, values = "identity = ? AND day >= ?", [identity, day_of(since)]
    if fingerprints is not None:
        if not fingerprints:
            return ()
        where += f" AND fingerprint IN ({', '.join('?' * len(fingerprints))})"
        values += fingerprints
    # The sums are the store's work: a busy machine has some hundred thousand rows in 30 days.
    sums = (
        "SELECT fingerprint, SUM(statements) AS statements, SUM(refused) AS refused,"  # noqa: S608 - made of constants and marks
        " SUM(failed) AS failed, SUM(withdrawn) AS withdrawn, MIN(first_at) AS first_at,"
        f" MAX(last_at) AS last_at FROM fingerprint_day WHERE {where} GROUP BY fingerprint"
    )
    sql = (
        "SELECT s.fingerprint, s.statements, s.refused, s.failed, s.withdrawn, s.first_at,"  # noqa: S608 - made of constants and marks
        f" s.last_at, t.text, d.effects, d.session_id, d.seq FROM ({sums}) s"
        " JOIN fingerprint_day d ON d.identity = ? AND d.fingerprint = s.fingerprint"
        " AND d.day = s.last_at / ? AND d.last_at = s.last_at"
        " LEFT JOIN statement_text t ON t.id = d.text_id"
        " ORDER BY s.statements DESC, s.fingerprint, d.target, d.database, d.role"
    )
    places = (
        "SELECT DISTINCT fingerprint, target, database, role FROM fingerprint_day"  # noqa: S608 - made of constants and marks
        f" WHERE {where} ORDER BY target, database, role"
    )
    with store.reading(consistent=True):
        found: dict[str, tuple[Any, ...]] = {}
        for row in _rows(store, sql, [*values, identity, DAY_MICROS]):
            found.setdefault(row[0], row)  # two places at the same moment: either is an example
        seen: dict[str, list[tuple[str, str, str]]] = {}
        for fingerprint, *place in _rows(store, places, values):
            seen.setdefault(fingerprint, []).append((place[0], place[1], place[2]))
    return tuple(_use(identity, row, seen[row[0]]) for row in found.values())


def total(store: Store, since: datetime) -> int:
    """Return how many statements with a fingerprint there were since the day of ``since``."""
    sql = "SELECT COALESCE(SUM(statements), 0) FROM fingerprint_day WHERE day >= ?"
    with store.reading():
        return int(next(_rows(store, sql, (day_of(since),)))[0])


def _use(identity: str, row: tuple[Any, ...], where: list[tuple[str, str, str]]) -> FingerprintUse:
    fingerprint, statements, refused, failed, withdrawn, first, last, text, effects = row[:9]
    return FingerprintUse(
        identity=identity,
        fingerprint=fingerprint,
        where=tuple(where),
        count=int(statements),
        refused=int(refused),
        failed=int(failed),
        withdrawn=int(withdrawn),
        first_at=from_micros(int(first)),
        last_at=from_micros(int(last)),
        text=text or "",
        effects=tuple((cls, name) for cls, name in (orjson.loads(effects) if effects else ())),
        session_id=row[9],
        seq=row[10],
    )


def _rows(store: Store, sql: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    yield from store.database.execute_sql(_dialect(store, sql), values).fetchall()


def _dialect(store: Store, sql: str) -> str:
    return sql if store.is_sqlite else sql.replace("?", "%s")
