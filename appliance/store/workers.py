"""Proxy workers: who is alive, with how many sessions, and which version they decide by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from appliance.store.database import Store
from appliance.store.models import WorkerRow

ALIVE = timedelta(seconds=5)  # a worker beats every 0.5 s
_FORGET = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Beat:
    """``worker``: a name no other worker of any appliance has, e.g. ``host/proxy-1``."""

    worker: str
    pid: int
    version: int
    sessions: int


@dataclass(frozen=True, slots=True)
class Worker:
    name: str
    pid: int
    started_at: datetime
    seen_at: datetime
    version: int
    sessions: int


def beat(store: Store, now: datetime, beat: Beat) -> None:
    """Say that a worker lives and which version it has: what ``apply`` waits for."""
    with store.transaction():
        values = {
            "pid": beat.pid,
            "seen_at": now,
            "version": beat.version,
            "sessions": beat.sessions,
        }
        same = (WorkerRow.name == beat.worker) & (WorkerRow.pid == beat.pid)
        if not WorkerRow.update(**values).where(same).execute():
            WorkerRow.delete().where(
                (WorkerRow.name == beat.worker) | (WorkerRow.seen_at < now - _FORGET)
            ).execute()
            WorkerRow.insert(name=beat.worker, started_at=now, **values).execute()


def gone(store: Store, worker: str, pid: int) -> None:
    """Say that a worker has ended, so that nobody waits for it."""
    with store.transaction():
        WorkerRow.delete().where((WorkerRow.name == worker) & (WorkerRow.pid == pid)).execute()


def live(store: Store, now: datetime) -> list[Worker]:
    """Return the workers that were seen within ``ALIVE``, by name."""
    return [worker for worker in known(store) if worker.seen_at > now - ALIVE]


def known(store: Store) -> list[Worker]:
    """Return the workers that have not said that they end, by name; some may be dead or frozen."""
    with store.reading():
        query = WorkerRow.select().order_by(WorkerRow.name)
        return [
            Worker(r.name, r.pid, r.started_at, r.seen_at, r.version, r.sessions) for r in query
        ]
