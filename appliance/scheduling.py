"""Timed jobs: each slot of each job runs once, however many processes share the store."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from appliance.clock import Clock
from appliance.config import Config
from appliance.errors import Conflict, GatepostError, Invalid
from appliance.identity import credentials
from appliance.recording.journal_files import appliance_id
from appliance.recording.purge import purge
from appliance.sealing import Sealer, load_master_key, load_signing_key
from appliance.store import (
    access_requests,
    approvals,
    catalogs,
    housekeeping,
    settings,
    snapshots,
)
from appliance.store import credentials as stored_credentials
from appliance.store.actors import system_actor
from appliance.store.database import Store
from appliance.targets import load_catalog, open_secret

_log = structlog.get_logger("scheduler")


@dataclass(frozen=True, slots=True)
class Job:
    """``run`` returns what to say about it in one line, or ``housekeeping.IDLE``.

    It may raise ``GatepostError``.
    """

    name: str
    every: timedelta
    run: Callable[[], str]

    def slot(self, timestamp: float) -> int:
        """Return the number of the present interval since the epoch."""
        return int(timestamp // self.every.total_seconds())


class Scheduler:
    """Call ``step`` every few seconds."""

    def __init__(self, store: Store, clock: Clock, jobs: tuple[Job, ...]) -> None:
        self._store = store
        self._clock = clock
        self._jobs = jobs
        self._tried: dict[str, int] = {}  # the slot that is settled, by job
        self._by = f"{os.uname().nodename}/{os.getpid()}"

    def step(self) -> int:
        """Run what is due and nobody else has claimed; return how many jobs ran.

        Raises ``StoreUnavailable``: nothing was claimed, call again later.
        """
        ran = 0
        for job in self._jobs:
            slot = job.slot(self._clock.timestamp())
            if self._tried.get(job.name) == slot:
                continue
            claimed = housekeeping.claim(self._store, self._clock.now(), job.name, slot, self._by)
            self._tried[job.name] = slot
            if claimed:
                self._run(job, slot)
                ran += 1
        return ran

    def _run(self, job: Job, slot: int) -> None:
        try:
            outcome = job.run()
            if outcome != housekeeping.IDLE:
                _log.info("job done", job=job.name, outcome=outcome)
        except GatepostError as error:
            outcome = str(error)
            _log.warning("job failed", job=job.name, why=outcome)
        except Exception as error:  # a job's top: the others go on
            outcome = f"defect: {type(error).__name__}"
            _log.exception("job failed", job=job.name)
        housekeeping.finished(self._store, self._clock.now(), job.name, slot, outcome)


def jobs_of(config: Config, store: Store, clock: Clock) -> tuple[Job, ...]:
    """Return the appliance's timed jobs."""
    return (
        Job("purge", timedelta(hours=1), lambda: f"{housekeeping.purge(store, clock.now())} rows"),
        Job("approvals", timedelta(seconds=10), Reaper(store, clock).run),
        Job("catalogs", timedelta(minutes=5), lambda: refresh_catalogs(config, store, clock)),
    )


def slow_jobs_of(config: Config, store: Store, clock: Clock) -> tuple[Job, ...]:
    """Return the timed jobs that may take long: run them where nobody waits for the others.

    Each appliance has its own environment and journals: so each has its own jobs in a shared store.
    """
    here = ""
    if not store.is_sqlite:
        config.journal_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        here = f" {appliance_id(config.journal_dir)}"
    return (
        Job(f"secrets{here}", timedelta(seconds=5), SecretSeeker(config, store, clock).run),
        Job(f"retention{here}", timedelta(days=1), lambda: retain(config, store, clock)),
    )


class SecretSeeker:
    """Gives credentials that wait for a variable their secret, where this environment has it."""

    def __init__(self, config: Config, store: Store, clock: Clock) -> None:
        self._config = config
        self._store = store
        self._clock = clock
        self._refused: set[int] = set()  # said once: the environment of a process stays

    def run(self) -> str:
        """Return how many began in one line."""
        now = self._clock.now()
        begun = 0
        for waiting in stored_credentials.pending(self._store, now):
            secret = os.environ.get(waiting.secret_env or "", "")
            if not secret or waiting.id in self._refused:
                continue
            try:
                sealer = Sealer(load_master_key(self._config))
                by = system_actor("serve")
                credentials.begin(self._store, by, now, sealer, waiting.id, secret)
                begun += 1
            except (Invalid, Conflict) as error:
                self._refused.add(waiting.id)
                _log.error(
                    "a secret of the environment cannot be taken",
                    credential=waiting.label,
                    identity=waiting.identity,
                    variable=waiting.secret_env,
                    why=str(error),
                )
        return f"{begun} credentials begun" if begun else housekeeping.IDLE


def retain(config: Config, store: Store, clock: Clock) -> str:
    """Remove what is older than the settings' retention."""
    now = clock.now()
    cutoff = now - timedelta(days=settings.get(store).retention_days)
    by, signer = system_actor("scheduler"), load_signing_key(config)
    try:
        done = purge(store, config.journal_dir, by, now, cutoff, signer)
    except OSError as error:
        raise GatepostError(
            f"a journal cannot be shortened: {error.strerror or error}",
            f"see to the permissions of {config.journal_dir}",
        ) from error
    for line in done.kept:
        _log.error("a journal was left alone; run: gatepost audit verify", why=line)
    if done.is_empty:
        return housekeeping.IDLE
    return f"{done.rows.sessions} sessions, {done.segments} journal segments removed"


class Reaper:
    """Ends requests that nobody else will, and removes the access for a time that is over."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._silent: frozenset[int] = frozenset()  # whose worker was silent the last time

    def run(self) -> str:
        """Return what was done in one line."""
        now = self._clock.now()
        silent = approvals.silent(self._store, now)
        ended = approvals.reap(self._store, now, silent_before=self._silent)
        self._silent = silent
        removed = access_requests.remove_ended(self._store, now)
        if not ended and not removed:
            return housekeeping.IDLE
        return f"{ended} requests ended, {removed} grants removed"


def refresh_catalogs(config: Config, store: Store, clock: Clock) -> str:
    """Read each target's catalog anew; one that cannot be reached does not stop the others."""
    sealer = Sealer(load_master_key(config))
    targets = snapshots.load(store, clock.now()).targets.values()
    failed = []
    for target in targets:
        role = target.reader
        if role is None:
            continue
        try:
            secret = open_secret(role, target.id, sealer)
            catalog = load_catalog(target, target.database, secret)
            catalogs.put(store, clock.now(), target.name, target.database, catalog.to_json())
        except GatepostError as error:
            failed.append(target.name)
            _log.warning("a catalog cannot be read", target=target.name, why=str(error))
    read = len(targets) - len(failed)
    return f"{read} read" + (f", not readable: {', '.join(failed)}" if failed else "")
