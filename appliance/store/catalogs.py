"""Snapshots of targets' catalogs: the JSON that ``appliance.sql.catalog`` reads, compressed."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256

from appliance.errors import NotFound
from appliance.sql.catalog import Catalog
from appliance.store import masking_resolutions
from appliance.store.actors import system_actor
from appliance.store.changes import change
from appliance.store.database import Store
from appliance.store.masking_models import MaskingRuleRow
from appliance.store.models import CatalogRow, TargetRow

_LEVEL = 6


@dataclass(frozen=True, slots=True)
class CatalogSnapshot:
    """``data`` is JSON; ``digest`` (hex) changes when it does."""

    target: str
    database: str
    digest: str
    read_at: datetime
    data: bytes = field(repr=False)


def get(store: Store, target: str, database: str) -> CatalogSnapshot | None:
    """Return what was last read of a target's database, None before the first time."""
    with store.reading():
        query = (
            CatalogRow.select(CatalogRow, TargetRow)
            .join(TargetRow)
            .where((TargetRow.name == target) & (CatalogRow.database == database))
        )
        row = query.first()
        if row is None:
            return None
        data = zlib.decompress(row.data)
        return CatalogSnapshot(target, database, row.digest, row.read_at, data)


def digest(store: Store, target: str, database: str) -> str | None:
    """Return only the digest: to see cheaply whether it changed."""
    with store.reading():
        query = (
            CatalogRow.select(CatalogRow.digest)
            .join(TargetRow)
            .where((TargetRow.name == target) & (CatalogRow.database == database))
        )
        found: str | None = query.scalar()
        return found


def put(store: Store, now: datetime, target: str, database: str, data: bytes) -> bool:
    """Keep what was read; return whether it differs from what was there.

    What masking rules mean in it is taken in with it. Raises: NotFound.
    """
    new = sha256(data).hexdigest()
    with store.transaction():
        row = TargetRow.get_or_none(TargetRow.name == target)
        if row is None:
            raise NotFound(f"no target is called {target}")
        here = (CatalogRow.target == row.id) & (CatalogRow.database == database)
        if CatalogRow.select(CatalogRow.digest).where(here).scalar() == new:
            CatalogRow.update(read_at=now).where(here).execute()
            return False
        if not MaskingRuleRow.select().where(MaskingRuleRow.target == row.id).exists():
            _write(now, row.id, database, new, data)
            return True
        # like every change it waits for others first, and only then has a row of its own
        with change(store, system_actor("catalog"), now) as doing:
            _write(now, row.id, database, new, data)
            masking_resolutions.take_in(doing, target, database, Catalog.from_json(data))
        return True


def _write(now: datetime, target_id: int, database: str, digest: str, data: bytes) -> None:
    values = {"digest": digest, "data": zlib.compress(data, _LEVEL), "read_at": now}
    CatalogRow.insert(target=target_id, database=database, **values).on_conflict(
        conflict_target=[CatalogRow.target, CatalogRow.database], update=values
    ).execute()
