"""The targets' catalogs as this worker has them: read off the loop, shared by its sessions."""

from __future__ import annotations

import time
from collections.abc import Callable

import gevent
import structlog
from gevent.event import AsyncResult

from appliance.entities import Target
from appliance.errors import GatepostError
from appliance.masking.texts import MaskSets
from appliance.sql.catalog import Catalog
from proxy.decision import CatalogBox

log = structlog.get_logger("proxy")

_MIN_INTERVAL_S = 0.5  # unknown names must not make us read the catalog all the time
_MAX_AGE_S = 60.0  # what others change on the target is seen by then at the latest


class Catalogs:
    """One box per target database; ``load`` blocks and is called in the thread pool.

    ``follow`` waits: it lets rules mean what they mean in what was read, before that is used, and
    returns the masks. Else a column that a rule has just found could be given another name, and be
    lost, by the next.
    """

    def __init__(
        self,
        load: Callable[[Target, str], Catalog],
        follow: Callable[[Target, str, Catalog], MaskSets],
    ) -> None:
        self._load = load
        self._follow = follow
        self._boxes: dict[tuple[int, str], CatalogBox] = {}
        self._begun_at: dict[tuple[int, str], float] = {}
        self._under_way: dict[tuple[int, str], AsyncResult[None]] = {}

    def box(self, target: Target, database: str) -> CatalogBox:
        """Return the box that sessions on this database look into."""
        return self._boxes.setdefault((target.id, database), CatalogBox())

    def refresh(self, target: Target, database: str, *, is_patient: bool = False) -> None:
        """Read the catalog once for all that ask; waits (call it in a greenlet).

        ``is_patient``: what was read before this was asked is no answer, since something may have
        been made just now; then this waits out the interval between two readings.
        """
        key = (target.id, database)
        box = self.box(target, database)
        asked = time.monotonic()
        while True:
            running = self._under_way.get(key)
            if running is not None:
                running.get()
                continue
            begun = self._begun_at.get(key, -_MAX_AGE_S)
            if begun >= asked:
                return
            rest = begun + _MIN_INTERVAL_S - time.monotonic()
            if rest > 0 and not box.is_stale:
                if not is_patient:
                    return
                gevent.sleep(rest)
                continue
            self._read(key, box, target, database)

    def _read(self, key: tuple[int, str], box: CatalogBox, target: Target, database: str) -> None:
        result: AsyncResult[None] = AsyncResult()
        self._under_way[key] = result
        self._begun_at[key] = time.monotonic()
        box.is_stale = False  # what changes from here on makes it stale again
        try:
            pool = gevent.get_hub().threadpool
            catalog = pool.apply(self._load, (target, database))
            masks = self._follow(target, database, catalog)
            box.catalog, box.masks = catalog, masks
            box.generation += 1
            box.is_lost = False
        except GatepostError as error:
            box.is_stale = box.is_lost = True
            log.warning("the catalog cannot be read", target=target.name, error=str(error))
        finally:
            del self._under_way[key]
            result.set(None)

    def due(self, used: set[tuple[int, str]]) -> list[tuple[int, str]]:
        """Return the databases in use whose catalog is old, or was changed by what ran."""
        now = time.monotonic()
        return [
            key
            for key, box in self._boxes.items()
            if key in used
            and key not in self._under_way
            and (box.is_stale or now - self._begun_at.get(key, 0.0) > _MAX_AGE_S)
            and now - self._begun_at.get(key, -_MAX_AGE_S) > _MIN_INTERVAL_S
            and box.generation > 0
        ]
