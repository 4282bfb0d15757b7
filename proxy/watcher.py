"""What a worker looks at by itself: the snapshot's version, kills, times that are over, its end."""

from __future__ import annotations

import os
import time

import gevent
import structlog

from appliance import tls
from appliance.approvals.requests import RequestState
from appliance.errors import GatepostError, StoreUnavailable
from appliance.identity.login import Refused, renew
from appliance.store import kills, workers
from appliance.store.workers import Beat
from proxy.catalog_changes import CatalogChanges
from proxy.last_words import LastWords
from proxy.worker import Worker, store_refusal

log = structlog.get_logger("proxy")

_EVERY_S = 0.5
_TLS_EVERY_S = 3600.0
_STORE_ANSWER_S = 3.0  # a store that takes longer is away


class Watcher:
    """Asks the store twice a second, in the thread pool, and acts on the loop."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._changes = CatalogChanges(worker)
        self._lost_since: float | None = None
        self._tls_checked = time.monotonic()

    def run(self) -> None:
        """Watch until the worker has ended."""
        while True:
            try:
                with gevent.Timeout(_STORE_ANSWER_S, StoreUnavailable("the store is too slow")):
                    self._ask_store()
                self._store_answered()
            except StoreUnavailable as error:
                self._store_away(error)
            except GatepostError as error:
                log.error("watching failed", error=str(error))
            except Exception:  # nothing else would tell the worker of changes
                log.exception("watching failed")
            self._worker.keep_hours()
            self._end_what_is_over()
            self._refresh_catalogs()
            self._changes.keep()
            self._renew_tls()
            gevent.sleep(_EVERY_S)

    def _ask_store(self) -> None:
        worker = self._worker
        now = worker.clock.now()
        worker.catch_up()
        beat = Beat(worker.name, os.getpid(), worker.snapshot.version, len(worker.sessions))
        worker.run_blocking(workers.beat, worker.store, now, beat)
        for kill in worker.run_blocking(kills.open, worker.store):
            connection = worker.sessions.get(kill.session_id)
            if connection is None:
                continue
            why = f": {kill.reason}" if kill.reason else ""
            words = LastWords(
                "57P01",
                f"gatepost: this session was ended by {kill.requested_by}{why}",
                "Ask them why, or connect again if you still have access.",
                f"killed by {kill.requested_by}",
            )
            connection.end(words)
            worker.run_blocking(kills.done, worker.store, now, kill.session_id)

    def _store_answered(self) -> None:
        if self._lost_since is not None:
            log.info("the store is back")
        self._lost_since = None
        gate = self._worker.gate
        gate.store_lost = False
        gate.closed = None

    def _store_away(self, error: StoreUnavailable) -> None:
        if self._lost_since is None:
            log.warning("the store does not answer", error=str(error))
            self._lost_since = time.monotonic()
        gate = self._worker.gate
        gate.store_lost = True
        grace_s = self._worker.limits.store_grace_s
        if gate.closed is None and time.monotonic() - self._lost_since > grace_s:
            log.error("the store has been away too long: statements are refused")
            gate.closed = store_refusal()

    def _end_what_is_over(self) -> None:
        now = self._worker.clock.now()
        for connection in list(self._worker.sessions.values()):
            if connection.ends_at is None or connection.ends_at > now:
                continue
            outcome = renew(self._worker.snapshot, connection.admission, now)
            if isinstance(outcome, Refused):
                connection.end(LastWords.of(outcome))
            else:  # another grant of the same role goes on
                connection.admission, connection.ends_at = outcome, outcome.ends_at

    def _refresh_catalogs(self) -> None:
        worker = self._worker
        by_id = {target.id: target for target in worker.snapshot.targets.values()}
        admissions = [connection.admission for connection in worker.sessions.values()]
        used = {(admission.target.id, admission.database) for admission in admissions}
        for target_id, database in worker.catalogs.due(used):
            target = by_id.get(target_id)
            if target is not None:
                worker.spawn(worker.catalogs.refresh, target, database)

    def _renew_tls(self) -> None:
        """Load the certificate again now and then: it may have been renewed."""
        if time.monotonic() - self._tls_checked < _TLS_EVERY_S:
            return
        self._tls_checked = time.monotonic()
        worker = self._worker
        worker.tls = worker.run_blocking(tls.server_tls, worker.config, worker.clock.now())


def drain(worker: Worker) -> None:
    """End all sessions: idle and held ones at once, others when idle or their grace is over."""
    worker.is_draining = True
    worker.stop_accepting()
    deadline = time.monotonic() + worker.limits.drain_s
    words = LastWords(
        "57P01",
        "gatepost: the gateway is shutting down",
        "Connect again in a moment.",
        "gateway shut down",
    )
    while worker.sessions:
        is_over = time.monotonic() >= deadline
        for connection in list(worker.sessions.values()):
            session = connection.session
            if is_over or session.is_idle or session.is_held:
                connection.end(words, RequestState.SHUTDOWN)
        if is_over:
            gevent.sleep(0.2)  # the cancels of what still runs
            break
        gevent.sleep(0.05)
    gevent.sleep(0.1)  # last words on their way
