"""That somebody had values of a target looked at: the audit event, without any of them."""

from __future__ import annotations

from datetime import datetime

from appliance.store.actors import Actor
from appliance.store.changes import noting
from appliance.store.database import Store


def note(store: Store, by: Actor, now: datetime, target: str, database: str, tables: int) -> None:
    """Write down who has values of how many tables read, before they are."""
    with noting(store, by, now) as doing:
        doing.note("masking.look", target, database=database, tables=tables)
