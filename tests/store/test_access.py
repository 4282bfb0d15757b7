"""Groups, grants, policy rules and settings: what they refuse, their order, their references."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from appliance.entities import Durability, Limits, PolicyRule, Settings
from appliance.errors import Conflict, Invalid, NotFound
from appliance.store import grants, groups, rules, settings, snapshots
from appliance.store.database import Store
from appliance.store.grants import GrantSpec
from tests.store.conftest import BY, NOW

GRANT = GrantSpec("group:dba", "shop", "app_ro")
RULE = PolicyRule("no-ddl", "block", who=("kind:ci",), commands=("ddl",))


def test_a_grant_is_read_back_as_it_was_made(shop: Store) -> None:
    spec = replace(
        GRANT,
        databases=("shop", "*"),
        sources=("10.2.0.0/16", "127.0.0.1/32"),
        application_names=("ci-*",),
        hours="Mon-Fri 00:00-06:00 Europe/Oslo",
        expires_at=NOW + timedelta(days=3),
        max_session_s=7200,
        fastpath=True,
        replication=True,
        allow_builtin=frozenset({"file-access"}) & frozenset(_builtin_names()),
    )
    grant_id = grants.create(shop, BY, NOW, spec)
    (grant,) = snapshots.load(shop, NOW).grants
    assert grant.id == grant_id
    for name in GrantSpec.__dataclass_fields__:
        assert getattr(grant, name) == getattr(spec, name), name


def _builtin_names() -> list[str]:
    from appliance.policy.builtin import BUILTIN_RULES

    return [rule.name for rule in BUILTIN_RULES]


def test_every_builtin_rule_can_be_switched_off_by_its_name(shop: Store) -> None:
    spec = replace(GRANT, allow_builtin=frozenset(_builtin_names()))
    grants.create(shop, BY, NOW, spec)
    assert snapshots.load(shop, NOW).grants[0].allow_builtin == frozenset(_builtin_names())


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("who", {"who": "ana@example.com"}),
        ("who", {"who": "identity:nobody"}),
        ("who", {"who": "group:nobody"}),
        ("who", {"who": "kind:robot"}),
        ("who", {"who": "group:"}),
        ("who", {"who": ""}),
        ("target", {"target": "crm"}),
        ("role", {"role": "app_admin"}),
        ("databases", {"databases": ("",)}),
        ("sources", {"sources": ("10.2.0.0/16", "here")}),
        ("application_names", {"application_names": ("",)}),
        ("hours", {"hours": "at night"}),
        ("max_session", {"max_session_s": 59}),
        ("allow_builtin", {"allow_builtin": frozenset({"everything"})}),
    ],
)
def test_a_wrong_grant_names_its_field(shop: Store, field: str, change: dict[str, str]) -> None:
    with pytest.raises(Invalid) as caught:
        grants.create(shop, BY, NOW, replace(GRANT, **change))  # type: ignore[arg-type]
    assert caught.value.field.startswith(field)
    assert grants.find(shop).total == 0


def test_grants_keep_the_order_in_which_they_decide(shop: Store) -> None:
    ids = [grants.create(shop, BY, NOW, replace(GRANT, who=f"kind:{k}")) for k in ("ci", "bot")]
    ids.append(grants.create(shop, BY, NOW, replace(GRANT, who="*"), position=-1))
    assert [g.id for g in snapshots.load(shop, NOW).grants] == [ids[2], ids[0], ids[1]]
    assert grants.reorder(shop, BY, NOW, (ids[1],))
    assert [g.id for g in snapshots.load(shop, NOW).grants] == [ids[1], ids[2], ids[0]]
    assert not grants.reorder(shop, BY, NOW, (ids[1], ids[2]))
    with pytest.raises(NotFound, match="g-99"):
        grants.reorder(shop, BY, NOW, (99,))


def test_grants_are_found_by_subject_target_and_text(shop: Store) -> None:
    grants.create(shop, BY, NOW, GRANT)
    grants.create(shop, BY, NOW, GrantSpec("identity:ci-nightly", "shop", "app_rw"))
    assert grants.find(shop, "NIGHTLY").total == 1
    assert grants.find(shop, who="group:dba").items[0].grant.role == "app_ro"
    assert grants.find(shop, target="shop", sort="role").total == 2
    snapshot = snapshots.load(shop, NOW)
    mine = grants.of_identity(snapshot.grants, snapshot.identities["bo@example.com"])
    assert [grant.who for grant in mine] == ["group:dba"]


def test_an_updated_grant_says_what_changed(shop: Store) -> None:
    grant_id = grants.create(shop, BY, NOW, GRANT)
    spec = replace(GRANT, role="app_rw", expires_at=NOW + timedelta(days=1))
    assert grants.update(shop, BY, NOW, grant_id, spec) == ("expires", "role")
    assert grants.update(shop, BY, NOW, grant_id, spec) == ()
    assert grants.get(shop, grant_id).grant.role == "app_rw"


def test_a_rule_is_read_back_as_it_was_made(shop: Store) -> None:
    rule = PolicyRule(
        name="bulk",
        action="approve",
        who=("*", "group:dba", "kind:bot"),
        targets=("shop",),
        roles=("app_rw",),
        commands=("delete", "update"),
        tables=("public.*", '"Odd Name"'),
        columns=("public.customers.ssn", "card_number"),
        functions=("pg_read_file()", "pg_catalog.lo_*"),
        application_names=("psql*",),
        sources=("0.0.0.0/0",),
        without_where=True,
        approvers="group:dba",
        timeout_s=600,
        retry_s=900,
        message="ask first",
        enabled=False,
    )
    rules.create(shop, BY, NOW, rule)
    assert snapshots.load(shop, NOW).rules == (rule,)
    assert rules.get(shop, "bulk").rule == rule


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("name", {"name": "two words"}),
        ("name", {"name": "default"}),
        ("name", {"name": "builtin:x"}),
        ("action", {"action": "deny"}),
        ("who", {"who": ()}),
        ("who[1]", {"who": ("*", "group:pci")}),
        ("targets[0]", {"targets": ("crm",)}),
        ("roles[0]", {"roles": ("app_admin",)}),
        ("commands[1]", {"commands": ("ddl", "drop")}),
        ("tables[0]", {"tables": ("a.b.c",)}),
        ("tables[0]", {"tables": ('"open',)}),
        ("functions[0]", {"functions": ("",)}),
        ("columns[0]", {"columns": ("a.b.c.d",)}),
        ("sources[0]", {"sources": ("nowhere",)}),
        ("message", {"message": "a\nb"}),
        ("approvers", {"approvers": "group:dba"}),
        ("timeout", {"timeout_s": 5}),
        ("approvers", {"action": "approve", "approvers": "kind:human"}),
        ("approvers", {"action": "approve", "approvers": "group:none"}),
        ("timeout", {"action": "approve", "timeout_s": 0}),
        ("retry", {"action": "approve", "retry_s": 8 * 86400}),
    ],
)
def test_a_wrong_rule_names_its_field(shop: Store, field: str, change: dict[str, str]) -> None:
    with pytest.raises(Invalid) as caught:
        rules.create(shop, BY, NOW, replace(RULE, **change))  # type: ignore[arg-type]
    assert caught.value.field == field
    assert rules.find(shop).total == 0


def test_rules_are_renamed_reordered_and_deleted(shop: Store) -> None:
    for name in ("a", "b", "c"):
        rules.create(shop, BY, NOW, replace(RULE, name=name))
    with pytest.raises(Conflict, match="already a rule called b"):
        rules.update(shop, BY, NOW, "a", replace(RULE, name="b"))
    assert rules.update(shop, BY, NOW, "a", replace(RULE, name="z", message="no")) == (
        "name",
        "message",
    )
    assert rules.reorder(shop, BY, NOW, ("c", "z"))
    rules.delete(shop, BY, NOW, "b")
    assert [rule.name for rule in snapshots.load(shop, NOW).rules] == ["c", "z"]
    with pytest.raises(NotFound):
        rules.delete(shop, BY, NOW, "b")
    assert rules.find(shop, "ddl").total == 2


def test_a_group_that_something_names_is_not_deleted(shop: Store) -> None:
    grant = grants.create(shop, BY, NOW, GRANT)
    with pytest.raises(Conflict, match="a grant names group:dba"):
        groups.delete(shop, BY, NOW, "dba")
    grants.delete(shop, BY, NOW, grant)
    rules.create(shop, BY, NOW, replace(RULE, action="approve", approvers="group:dba"))
    with pytest.raises(Conflict, match="a policy rule names group:dba"):
        groups.delete(shop, BY, NOW, "dba")
    rules.delete(shop, BY, NOW, "no-ddl")
    groups.delete(shop, BY, NOW, "dba")
    assert snapshots.load(shop, NOW).groups == {}
    assert snapshots.load(shop, NOW).identities["bo@example.com"].groups == frozenset()


def test_membership_shows_on_both_sides(shop: Store) -> None:
    groups.add(shop, BY, NOW, "dba", "ci-nightly")
    snapshot = snapshots.load(shop, NOW)
    assert snapshot.groups["dba"].members == ("bo@example.com", "ci-nightly")
    assert snapshot.identities["ci-nightly"].groups == {"dba"}
    assert groups.remove(shop, BY, NOW, "dba", "ci-nightly")
    assert not groups.remove(shop, BY, NOW, "dba", "ci-nightly")
    assert groups.get(shop, "dba").members == ("bo@example.com",)
    with pytest.raises(NotFound):
        groups.add(shop, BY, NOW, "dba", "nobody")


def test_settings_keep_what_was_set_and_default_the_rest(store: Store) -> None:
    wanted = Settings(
        default_action="block",
        durability=Durability.DURABLE,
        retention_days=30,
        limits=Limits(connections=50),
    )
    assert set(settings.put(store, BY, NOW, wanted)) == {
        "default_action",
        "durability",
        "retention_days",
        "limits.connections",
    }
    assert settings.get(store) == wanted == snapshots.load(store, NOW).settings


@pytest.mark.parametrize(
    "wrong",
    [
        Settings(default_action="maybe"),
        Settings(retention_days=0),
        Settings(limits=Limits(connections=0)),
        Settings(limits=Limits(message_bytes=(1 << 30) + 1)),
    ],
)
def test_settings_out_of_range_are_refused(sqlite_store: Store, wrong: Settings) -> None:
    with pytest.raises(Invalid):
        settings.put(sqlite_store, BY, NOW, wrong)
    assert settings.get(sqlite_store) == Settings()
