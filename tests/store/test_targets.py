"""Targets and upstream roles: secrets are sealed to their row and leave when the place changes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.entities import PolicyRule, SslMode, Target
from appliance.errors import Conflict, Invalid, NotFound
from appliance.sealing import SealBroken, Sealer, upstream_binding
from appliance.store import audit, grants, rules, snapshots, targets
from appliance.store.database import Store
from appliance.store.grants import GrantSpec
from appliance.store.targets import TargetSpec
from tests.store.conftest import BY, NOW

SPEC = TargetSpec("shop", "db.example.com", "shop")


def _secret(target: Target, role: str, sealer: Sealer) -> str | None:
    found = target.role(role)
    assert found is not None
    if found.sealed_secret is None:
        return None
    return sealer.open(found.sealed_secret, upstream_binding(target.id, role)).decode()


def test_a_target_is_read_back_as_it_was_registered(store: Store) -> None:
    spec = TargetSpec(
        "shop",
        "2001:db8::1",
        'the "shop"',
        port=6000,
        sslmode="verify-full",
        environment="production",
        default_action="block",
        allow_md5=True,
        allow_cleartext=True,
        durability="durable",
    )
    targets.create(store, BY, NOW, spec)
    found = targets.get(store, "shop")
    assert (found.host, found.port, found.database) == ("2001:db8::1", 6000, 'the "shop"')
    assert found.sslmode is SslMode.VERIFY_FULL
    assert found.default_action == "block"
    assert found.roles == ()
    assert found.reader is None


def test_secrets_are_sealed_to_their_target_and_role(shop: Store, sealer: Sealer) -> None:
    target = targets.get(shop, "shop")
    assert _secret(target, "app_ro", sealer) == "app_ro-secret"
    sealed = target.roles[0].sealed_secret
    assert sealed is not None
    assert b"app_ro-secret" not in sealed
    for other in (upstream_binding(target.id, "app_rw"), upstream_binding(99, "app_ro")):
        with pytest.raises(SealBroken):
            sealer.open(sealed, other)
    events = [str(event) for event in audit.find(shop, size=100).items]
    assert not [event for event in events if "app_ro-secret" in event]
    assert "app_ro-secret" not in repr(target)


def test_the_same_secret_again_changes_nothing_and_another_one_does(
    shop: Store, sealer: Sealer
) -> None:
    version = snapshots.version(shop)
    same = targets.put_role(shop, BY, NOW, "shop", "app_ro", sealer=sealer, secret="app_ro-secret")
    kept = targets.put_role(shop, BY, NOW, "shop", "app_ro", sealer=sealer)
    assert (same, kept, snapshots.version(shop)) == ((), (), version)
    told = targets.put_role(shop, BY, NOW, "shop", "app_ro", sealer=sealer, secret="new")
    assert told == ("secret",)
    assert _secret(targets.get(shop, "shop"), "app_ro", sealer) == "new"


@pytest.mark.parametrize(
    "change",
    [{"host": "evil.example.com"}, {"port": 5433}, {"database": "x"}, {"sslmode": "disable"}],
)
def test_another_place_drops_the_stored_secrets(
    shop: Store, sealer: Sealer, change: dict[str, str]
) -> None:
    done = targets.update(shop, BY, NOW, "shop", replace(SPEC, **change))  # type: ignore[arg-type]
    assert done.changed == tuple(change)
    assert done.secrets_dropped == ("app_ro", "app_rw")
    found = targets.get(shop, "shop")
    assert [_secret(found, name, sealer) for name in ("app_ro", "app_rw")] == [None, None]
    assert audit.find(shop, action="target.secrets_dropped").total == 1


def test_another_environment_keeps_the_secrets(shop: Store, sealer: Sealer) -> None:
    done = targets.update(shop, BY, NOW, "shop", replace(SPEC, environment="staging"))
    assert (done.changed, done.secrets_dropped) == (("environment",), ())
    assert _secret(targets.get(shop, "shop"), "app_ro", sealer) == "app_ro-secret"


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("name", {"name": "a/b"}),
        ("name", {"name": ""}),
        ("host", {"host": ""}),
        ("host", {"host": "a b"}),
        ("host", {"host": "a..b"}),
        ("host", {"host": "/var/run/postgresql"}),
        ("port", {"port": 0}),
        ("port", {"port": 65536}),
        ("database", {"database": ""}),
        ("database", {"database": "x" * 64}),
        ("database", {"database": "a\nb"}),
        ("sslmode", {"sslmode": "maybe"}),
        ("default_action", {"default_action": "deny"}),
        ("durability", {"durability": "sometimes"}),
        ("allow_cleartext", {"allow_cleartext": True}),
        ("sslrootcert", {"sslrootcert": "-----BEGIN NONSENSE-----"}),
    ],
)
def test_a_wrong_value_names_its_field(
    sqlite_store: Store, field: str, change: dict[str, str]
) -> None:
    with pytest.raises(Invalid) as caught:
        targets.create(sqlite_store, BY, NOW, replace(SPEC, **change))  # type: ignore[arg-type]
    assert caught.value.field == field
    assert targets.find(sqlite_store).total == 0


def test_names_are_taken_once_and_never_change(shop: Store) -> None:
    with pytest.raises(Conflict, match="already a target called shop"):
        targets.create(shop, BY, NOW, SPEC)
    with pytest.raises(Invalid, match="cannot change"):
        targets.update(shop, BY, NOW, "shop", replace(SPEC, name="shop2"))
    with pytest.raises(NotFound, match="shop2"):
        targets.update(shop, BY, NOW, "shop2", replace(SPEC, name="shop2"))


def test_a_role_in_use_is_not_deleted(shop: Store) -> None:
    grant = grants.create(shop, BY, NOW, GrantSpec("kind:ci", "shop", "app_rw"))
    with pytest.raises(Conflict, match="a grant uses role app_rw"):
        targets.delete_role(shop, BY, NOW, "shop", "app_rw")
    grants.delete(shop, BY, NOW, grant)
    rules.create(shop, BY, NOW, PolicyRule("r", "block", roles=("app_rw",)))
    with pytest.raises(Conflict, match="a policy rule names role app_rw"):
        targets.delete_role(shop, BY, NOW, "shop", "app_rw")
    rules.delete(shop, BY, NOW, "r")
    targets.delete_role(shop, BY, NOW, "shop", "app_rw")
    assert [role.name for role in targets.get(shop, "shop").roles] == ["app_ro"]


def test_deleting_a_target_takes_its_roles_and_grants_but_not_past_a_rule(shop: Store) -> None:
    grants.create(shop, BY, NOW, GrantSpec("kind:ci", "shop", "app_rw"))
    rules.create(shop, BY, NOW, PolicyRule("r", "block", targets=("shop",)))
    with pytest.raises(Conflict, match="a policy rule names target shop"):
        targets.delete(shop, BY, NOW, "shop")
    rules.delete(shop, BY, NOW, "r")
    targets.delete(shop, BY, NOW, "shop")
    snapshot = snapshots.load(shop, NOW)
    assert (snapshot.targets, snapshot.grants) == ({}, ())


def test_dropping_a_secret_leaves_the_role(shop: Store, sealer: Sealer) -> None:
    assert targets.drop_secret(shop, BY, NOW, "shop", "app_ro")
    assert not targets.drop_secret(shop, BY, NOW, "shop", "app_ro")
    assert _secret(targets.get(shop, "shop"), "app_ro", sealer) is None


def test_targets_are_found_and_ordered(shop: Store) -> None:
    targets.create(shop, BY, NOW, TargetSpec("crm", "crm.internal", "crm", environment="staging"))
    assert [t.name for t in targets.find(shop).items] == ["shop", "crm"]
    assert [t.name for t in targets.find(shop, "STAG").items] == ["crm"]
    assert targets.reorder(shop, BY, NOW, ("crm",))
    assert [t.name for t in targets.find(shop).items] == ["crm", "shop"]
    assert list(snapshots.load(shop, NOW).targets) == ["crm", "shop"]
    assert [r.name for r in targets.find(shop, "shop").items[0].roles] == ["app_ro", "app_rw"]
