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
        with peewee.__exception_wrapper__:  # type: ignore[attr-defined]
            store.database.connection().cursor().executemany(_dialect(store, sql), values)


def of_identity(
    store: Store, identity: str, since: datetime, fingerprints: Sequence[str] | None = None
) -> tuple[FingerprintUse, ...]:
    """Return what an identity asked for since the UTC day of ``since``, the most used first."""
    where, values = "d.identity = ? AND d.day >= ?", [identity, day_of(since)]
    if fingerprints is not None:
        if not fingerprints:
            return ()
        where += f" AND d.fingerprint IN ({', '.join('?' * len(fingerprints))})"
        values += fingerprints
    sql = (
        "SELECT d.identity, d.fingerprint, d.target, d.database, d.role, d.statements, d.refused,"  # noqa: S608
        " d.failed, d.withdrawn, d.first_at, d.last_at, t.text, d.effects, d.session_id, d.seq"
        " FROM fingerprint_day d LEFT JOIN statement_text t ON t.id = d.text_id"
        f" WHERE {where} ORDER BY d.last_at DESC"
    )
    with store.reading():
        found: dict[str, FingerprintUse] = {}
        for row in _rows(store, sql, values):
            one = _use(row)
            before = found.get(one.fingerprint)
            found[one.fingerprint] = one if before is None else _sum(before, one)
    return tuple(sorted(found.values(), key=lambda use: (-use.count, use.fingerprint)))


def total(store: Store, since: datetime) -> int:
    """Return how many statements with a fingerprint there were since the day of ``since``."""
    sql = "SELECT COALESCE(SUM(statements), 0) FROM fingerprint_day WHERE day >= ?"
    with store.reading():
        return int(next(_rows(store, sql, (day_of(since),)))[0])


def _use(row: tuple[Any, ...]) -> FingerprintUse:
    identity, fingerprint, target, database, role = row[:5]
    statements, refused, failed, withdrawn = map(int, row[5:9])
    first, last, text, effects = row[9:13]
    return FingerprintUse(
        identity,
        fingerprint,
        ((target, database, role),),
        statements,
        refused,
        failed,
        withdrawn,
        from_micros(first),
        from_micros(last),
        text or "",
        tuple((cls, name) for cls, name in (orjson.loads(effects) if effects else ())),
        row[13],
        row[14],
    )


def _sum(latest: FingerprintUse, older: FingerprintUse) -> FingerprintUse:
    return FingerprintUse(
        latest.identity,
        latest.fingerprint,
        tuple(dict.fromkeys((*latest.where, *older.where))),
        latest.count + older.count,
        latest.refused + older.refused,
        latest.failed + older.failed,
        latest.withdrawn + older.withdrawn,
        min(latest.first_at, older.first_at),
        latest.last_at,
        latest.text,
        latest.effects,
        latest.session_id,
        latest.seq,
    )


def _rows(store: Store, sql: str, values: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    yield from store.database.execute_sql(_dialect(store, sql), values).fetchall()


def _dialect(store: Store, sql: str) -> str:
    return sql if store.is_sqlite else sql.replace("?", "%s")
