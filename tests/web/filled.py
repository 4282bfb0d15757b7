"""A store with one of each: for pages that need something to show."""

from __future__ import annotations

from datetime import timedelta

from appliance.identity import credentials
from appliance.sealing import Sealer, load_master_key
from appliance.store import grants, groups, targets
from appliance.store.grants import GrantSpec
from appliance.store.targets import TargetSpec
from tests.web.conftest import AT, BY, World
from tests.web.recorded import Ran, Recorded, record

SECRET = "upstream-secret-7"


def fill(world: World) -> None:
    """Add people, a machine, a group, a target with a role, a grant, a credential, a session."""
    store = world.store
    sealer = Sealer(load_master_key(world.config))
    world.person("ana@example.com")
    world.machine("ci-nightly", owner="ana@example.com")
    groups.create(store, BY, AT, name="analysts")
    groups.add(store, BY, AT, "analysts", "ana@example.com")
    targets.create(store, BY, AT, TargetSpec("shop", "127.0.0.1", "shop", environment="production"))
    targets.put_role(store, BY, AT, "shop", "app_ro", sealer=sealer, secret=SECRET)
    grants.create(store, BY, AT, GrantSpec("identity:ci-nightly", "shop", "app_ro"))
    made = credentials.issue(store, BY, AT, sealer, "ci-nightly")
    record(
        store,
        Recorded(
            "ci-nightly",
            AT - timedelta(minutes=5),
            (Ran("select 1"), Ran("drop table orders", "block", rule="no-ddl")),
            kind="ci",
            credential_id=made.id,
            grant_id=1,
        ),
    )
