"""What the store's tests share: an actor, a moment, a sealer, a few rows to start from."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from appliance.sealing import Sealer
from appliance.store import groups, identities, targets
from appliance.store.actors import Actor
from appliance.store.database import Store
from appliance.store.identities import IdentitySpec
from appliance.store.targets import TargetSpec

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
BY = Actor("ana@example.com", "browser", "127.0.0.1")


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(bytes(range(32)))


@pytest.fixture
def shop(store: Store, sealer: Sealer) -> Store:
    """A store with the target shop (app_ro, app_rw), ana, bo, ci-nightly and the group dba."""
    targets.create(store, BY, NOW, TargetSpec("shop", "db.example.com", "shop"))
    for role in ("app_ro", "app_rw"):
        targets.put_role(store, BY, NOW, "shop", role, sealer=sealer, secret=f"{role}-secret")
    for name in ("ana@example.com", "bo@example.com"):
        identities.create(store, BY, NOW, IdentitySpec(name, "human"))
    identities.create(
        store,
        BY,
        NOW,
        IdentitySpec("ci-nightly", "ci", owner="ana@example.com", purpose="nightly export"),
    )
    groups.create(store, BY, NOW, name="dba")
    groups.add(store, BY, NOW, "dba", "bo@example.com")
    return store
