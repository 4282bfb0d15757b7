"""Timed jobs' claims, and the removal of rows that mean nothing any more."""

# mypy: disable-error-code="misc"

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import peewee

from appliance.store.database import Store
from appliance.store.fields import UtcField
from appliance.store.models import (
    KillRow,
    SetupLinkRow,
    SignInRow,
    StoreModel,
    ThrottleRow,
    WorkerRow,
)
from appliance.store.outbox import SENT_KEPT, OutboxRow

_WORKER_GONE = timedelta(hours=1)
_THROTTLE_COLD = timedelta(days=1)
_KILL_KEPT = timedelta(days=7)
_SLOT_KEPT = timedelta(days=30)
_IDLE_KEPT = timedelta(hours=1)  # of jobs that run every few seconds

IDLE = "nothing to do"  # what such a job says then
_LINK_KEPT = timedelta(days=1)


class JobSlotRow(StoreModel):
    """One run of one timed job: whoever inserts the row runs it, on whichever machine."""

    job = peewee.TextField()
    slot = peewee.BigIntegerField()
    claimed_at = UtcField()
    claimed_by = peewee.TextField()
    finished_at = UtcField(null=True)
    outcome = peewee.TextField(default="")

    class Meta:
        table_name = "job_slot"
        primary_key = peewee.CompositeKey("job", "slot")


@dataclass(frozen=True, slots=True)
class JobRun:
    """The latest run of a job; ``outcome`` is "" while it runs, then "done" or what went wrong."""

    job: str
    claimed_at: datetime
    finished_at: datetime | None
    outcome: str


def claim(store: Store, now: datetime, job: str, slot: int, by: str) -> bool:
    """Return whether this process is the one that runs the job's slot."""
    with store.transaction():
        query = JobSlotRow.insert(job=job, slot=slot, claimed_at=now, claimed_by=by)
        return bool(query.on_conflict_ignore().as_rowcount().execute())


def finished(store: Store, now: datetime, job: str, slot: int, outcome: str) -> None:
    """Say how a claimed slot ended."""
    with store.transaction():
        here = (JobSlotRow.job == job) & (JobSlotRow.slot == slot)
        JobSlotRow.update(finished_at=now, outcome=outcome[:500]).where(here).execute()


def last_run(store: Store, job: str) -> JobRun | None:
    """Return the latest run of a job."""
    with store.reading():
        query = JobSlotRow.select().where(JobSlotRow.job == job).order_by(JobSlotRow.slot.desc())
        row = query.first()
        return row and JobRun(row.job, row.claimed_at, row.finished_at, row.outcome)


def purge(store: Store, now: datetime) -> int:
    """Remove what has expired; return how many rows. Nothing of the record is touched."""
    conditions = (
        (SetupLinkRow, SetupLinkRow.expires_at < now - _LINK_KEPT),
        (SignInRow, SignInRow.expires_at <= now),
        (ThrottleRow, ThrottleRow.last_at < now - _THROTTLE_COLD),
        (WorkerRow, WorkerRow.seen_at < now - _WORKER_GONE),
        (KillRow, KillRow.done_at < now - _KILL_KEPT),
        (JobSlotRow, JobSlotRow.claimed_at < now - _SLOT_KEPT),
        (JobSlotRow, (JobSlotRow.outcome == IDLE) & (JobSlotRow.claimed_at < now - _IDLE_KEPT)),
        (OutboxRow, OutboxRow.ended_at < now - SENT_KEPT),
    )
    with store.transaction():
        return sum(int(row.delete().where(expired).execute()) for row, expired in conditions)
