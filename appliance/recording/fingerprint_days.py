"""What a batch of statements adds to the use of fingerprints by day (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from appliance.recording.entries import SessionUse, StatementEntry
from appliance.recording.records import State

DAY_MICROS = 86_400_000_000


class DayKey(NamedTuple):
    """The primary key of ``fingerprint_day``, columns in this order."""

    identity: str
    target: str
    database: str
    role: str
    fingerprint: str
    day: int


class DayUse(NamedTuple):
    """The other columns: counts to add, moments in microseconds, the latest as an example."""

    statements: int
    refused: int
    failed: int
    withdrawn: int
    first_at: int
    last_at: int
    text_id: str
    effects: str | None
    session_id: str
    seq: int


def uses(
    begun: Iterable[StatementEntry],
    changed: Iterable[tuple[StatementEntry, StatementEntry]],
    sessions: Mapping[str, SessionUse],
) -> list[tuple[DayKey, DayUse]]:
    """Return what is to be added, by key, in the order of the keys.

    ``begun``: statements that were not there, as they are after the batch; ``changed``: (before,
    after) of those that were. Always in the same order: two indexers on one store wait for each
    other instead of locking each other out. Statements without a fingerprint, or of a session that
    is gone, count nowhere.
    """
    found: dict[DayKey, DayUse] = {}
    for entry in begun:
        _add(found, entry, sessions, (1, *_ended(entry)))
    for before, after in changed:
        gone, come = _ended(before), _ended(after)
        if gone != come:
            refused, failed, withdrawn = (new - old for new, old in zip(come, gone, strict=True))
            _add(found, after, sessions, (0, refused, failed, withdrawn))
    return sorted(found.items())


def _ended(entry: StatementEntry) -> tuple[int, int, int]:
    """Return whether it counts as refused, failed, withdrawn."""
    return (
        int(entry.state == State.REFUSED),
        int(entry.state == State.FAILED),
        int(entry.state == State.WITHDRAWN),
    )


def _add(
    found: dict[DayKey, DayUse],
    entry: StatementEntry,
    sessions: Mapping[str, SessionUse],
    counts: tuple[int, int, int, int],
) -> None:
    session = sessions.get(entry.session_id)
    if not entry.fingerprint or session is None:
        return
    key = DayKey(
        session.identity, session.target, session.database, session.role,
        entry.fingerprint, entry.at // DAY_MICROS,
    )  # fmt: skip
    one = DayUse(
        *counts,
        first_at=entry.at,
        last_at=entry.at,
        text_id=entry.text_id,
        effects=entry.effects,
        session_id=entry.session_id,
        seq=entry.seq,
    )
    before = found.get(key)
    found[key] = one if before is None else _sum(before, one)


def _sum(one: DayUse, other: DayUse) -> DayUse:
    latest = other if other.last_at >= one.last_at else one
    return latest._replace(
        statements=one.statements + other.statements,
        refused=one.refused + other.refused,
        failed=one.failed + other.failed,
        withdrawn=one.withdrawn + other.withdrawn,
        first_at=min(one.first_at, other.first_at),
    )
