"""Growing delays after failed logins, per key, shared by all processes of the appliance."""

from __future__ import annotations

from datetime import datetime, timedelta

from appliance.store.database import Store
from appliance.store.models import ThrottleRow

FREE = 5  # failures without a delay
_FIRST = timedelta(seconds=2)
_MOST = timedelta(minutes=5)
_FORGET = timedelta(hours=1)  # without a failure


def wait(store: Store, now: datetime, keys: tuple[str, ...]) -> timedelta:
    """Return how long these keys ("login:ana", "source:10.0.0.1") must wait; 0 = not at all."""
    with store.reading():
        query = ThrottleRow.select(ThrottleRow.blocked_until).where(
            ThrottleRow.key.in_(keys) & (ThrottleRow.blocked_until > now)
        )
        return max((until - now for (until,) in query.tuples()), default=timedelta(0))


def failed(store: Store, now: datetime, keys: tuple[str, ...]) -> None:
    """Count a failure for each key; from the sixth on each doubles the wait, up to 5 min."""
    with store.transaction():
        ThrottleRow.delete().where(ThrottleRow.last_at < now - _FORGET).execute()
        for key in sorted(set(keys)):  # one order, so that two processes cannot deadlock
            ThrottleRow.insert(key=key, failures=1, last_at=now).on_conflict(
                conflict_target=[ThrottleRow.key],
                update={ThrottleRow.failures: ThrottleRow.failures + 1, ThrottleRow.last_at: now},
            ).execute()
            count = ThrottleRow.get(ThrottleRow.key == key).failures
            if count > FREE:
                delay = min(_MOST, _FIRST * 2 ** min(count - FREE - 1, 20))
                ThrottleRow.update(blocked_until=now + delay).where(
                    ThrottleRow.key == key
                ).execute()


def succeeded(store: Store, keys: tuple[str, ...]) -> None:
    """Forget the failures of these keys."""
    with store.transaction():
        ThrottleRow.delete().where(ThrottleRow.key.in_(keys)).execute()
