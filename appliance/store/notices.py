"""Note in the outbox what became of an approval request: cheap, rendering comes at delivery."""

from __future__ import annotations

from datetime import datetime

from appliance.store import channels, outbox
from appliance.store.database import Store
from appliance.store.outbox import Channel, Event, Message


def requested(store: Store, now: datetime, request_id: int) -> None:
    """Tell those who can decide that a request waits; inside the transaction that makes it."""
    _note(store, now, Event.REQUESTED, request_id)


def settled(store: Store, now: datetime, request_id: int) -> None:
    """Tell how a request ended; inside the transaction that ends it."""
    _note(store, now, Event.SETTLED, request_id)


def _note(store: Store, now: datetime, event: Event, request_id: int) -> None:
    with store.transaction():
        if channels.has_any():
            outbox.put(store, now, Message(event, Channel.NEWS, request_id))
