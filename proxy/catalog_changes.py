"""Sees within a second or so what others change in the databases that masked sessions use.

What a session's own statements change is known at once, and what computes on data is asked
whether it still means the same as it runs. But a plain read of a table without masks is not, and
somebody may just have attached it to one with masks.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import gevent
import structlog

from appliance import targets
from appliance.entities import Target
from appliance.errors import GatepostError
from appliance.targets.changes import CatalogWatch

if TYPE_CHECKING:
    from proxy.worker import Worker

log = structlog.get_logger("proxy")

_EVERY_S: Final = 0.5
_SHARE: Final = 20  # the time that looking takes is at most one part of so many
_AGAIN_S: Final = 5.0

Key = tuple[int, str]


class CatalogChanges:
    """One greenlet for each database in use by a masked session of this worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._watched: set[Key] = set()

    def keep(self) -> None:
        """Begin to watch what is in use and not watched yet."""
        for key in self._used() - self._watched:
            target = self._target(key)
            if target is not None and target.reader is not None:
                self._watched.add(key)
                self._worker.spawn(self._watch, key, target)

    def _used(self) -> set[Key]:
        return {
            (connection.admission.target.id, connection.admission.database)
            for connection in self._worker.sessions.values()
            if connection.session.is_masked
        }

    def _target(self, key: Key) -> Target | None:
        by_id = {target.id: target for target in self._worker.snapshot.targets.values()}
        return by_id.get(key[0])

    def _watch(self, key: Key, target: Target) -> None:
        """Watch one database as long as it is used and its target is the same."""
        worker, database = self._worker, key[1]
        reader = target.reader
        watch: CatalogWatch | None = None
        failed = False
        try:
            while reader is not None and key in self._used() and self._target(key) == target:
                began = time.monotonic()
                pause = _EVERY_S
                try:
                    if watch is None:
                        secret = worker.run_blocking(
                            targets.open_secret, reader, target.id, worker.sealer
                        )
                        watch = CatalogWatch(target, database, secret)
                    if worker.run_blocking(watch.has_changed):
                        worker.catalogs.box(target, database).is_stale = True
                        worker.spawn(worker.catalogs.refresh, target, database)
                    failed = False
                except GatepostError as error:
                    if not failed:
                        log.warning(
                            "changes of a catalog are not seen at once",
                            target=target.name, database=database, error=str(error),
                        )  # fmt: skip
                    failed, pause = True, _AGAIN_S
                gevent.sleep(max(pause, _SHARE * (time.monotonic() - began)))
        finally:
            self._watched.discard(key)
            if watch is not None:
                worker.run_blocking(watch.close)
