"""What applying a file does: upserts, order, membership, secrets, credentials, prune, dry run."""

from __future__ import annotations

from datetime import timedelta

import pytest

from appliance.declarative.source import InvalidFile
from appliance.entities import IdentityStatus, PermissionRole, Snapshot
from appliance.identity import credentials
from appliance.sealing import upstream_binding
from appliance.store import (
    accounts,
    audit,
    grants,
    groups,
    identities,
    rules,
    settings,
    snapshots,
    targets,
)
from appliance.store import credentials as rows
from appliance.store.database import Store
from tests.declarative.conftest import BY, NOW, SEALER, apply_text
from tests.declarative.example import ENVIRON, FILE


def _load(store: Store) -> Snapshot:
    return snapshots.load(store, NOW)


def _secret(store: Store, role: str) -> str | None:
    target = _load(store).targets["shop"]
    found = target.role(role)
    assert found is not None
    if found.sealed_secret is None:
        return None
    return SEALER.open(found.sealed_secret, upstream_binding(target.id, role)).decode()


def test_the_contracts_example_is_applied_as_it_stands(store: Store) -> None:
    applied = apply_text(store, FILE, ENVIRON)
    snapshot = _load(store)
    assert applied.version == snapshot.version == 2
    target = snapshot.targets["shop"]
    assert (target.port, target.sslmode, target.environment) == (5432, "prefer", "production")
    assert [role.name for role in target.roles] == ["app_ro", "app_rw"]
    assert (_secret(store, "app_ro"), _secret(store, "app_rw")) == ("ro-secret", "rw-secret")
    ci = snapshot.identities["ci-nightly"]
    assert (ci.owner, ci.backup_owner) == ("ana@example.com", "bo@example.com")
    assert ci.expires_at is not None
    assert ci.expires_at.isoformat() == "2027-07-01T00:00:00+00:00"
    assert [c.created_by for c in ci.credentials] == ["ana"]
    assert snapshot.identities["bo@example.com"].permission_roles == {PermissionRole.APPROVER}
    assert snapshot.identities["bo@example.com"].groups == {"dba"}
    assert snapshot.groups["analysts"].members == ("ana@example.com",)
    assert [(g.who, g.role, g.max_session_s) for g in snapshot.grants] == [
        ("group:analysts", "app_ro", 43200),
        ("identity:ci-nightly", "app_rw", 7200),
    ]
    assert [(r.name, r.action, r.timeout_s) for r in snapshot.rules] == [
        ("no-ddl-from-machines", "block", None),
        ("bulk-writes-need-a-human", "approve", 600),
    ]
    assert [(r.name, r.target, r.columns, r.exempt) for r in snapshot.masking] == [
        ("card-numbers", "shop", ("public.customers.card_number", "*.*.ssn"), ("group:pci",))
    ]
    assert "create ci ci-nightly" in applied.changes
    assert "issue c-1 to ci-nightly" in applied.changes
    assert audit.find(store, action="apply").items[0].subject == "gatepost.yml"


@pytest.mark.parametrize("prune", [False, True])
def test_applying_it_again_changes_nothing(store: Store, prune: bool) -> None:
    apply_text(store, FILE, ENVIRON)
    before, events = _load(store), audit.find(store).total
    applied = apply_text(store, FILE, ENVIRON, prune=prune)
    assert (applied.changes, applied.remarks) == ((), ())
    assert (_load(store), audit.find(store).total) == (before, events)


def test_a_dry_run_tells_the_same_and_does_nothing(store: Store) -> None:
    dry = apply_text(store, FILE, ENVIRON, dry_run=True)
    assert _load(store).identities == {}
    assert audit.find(store).total == 0
    assert dry.version == snapshots.version(store)
    done = apply_text(store, FILE, ENVIRON).changes
    assert [
        line.replace(" c-1 ", " a credential ").replace(" c-2 ", " a credential ") for line in done
    ] == list(dry.changes)


def test_what_is_left_out_returns_to_its_default(store: Store) -> None:
    apply_text(store, FILE, ENVIRON)
    apply_text(store, "identities: [{name: ci-nightly, kind: ci}]")
    ci = _load(store).identities["ci-nightly"]
    assert (ci.owner, ci.purpose, ci.expires_at, ci.sources) == (None, "", None, ())
    assert len(ci.credentials) == 1, "credentials are not mentioned"


def test_without_prune_what_the_file_lacks_stays_behind_it(store: Store) -> None:
    apply_text(store, FILE, ENVIRON)
    text = """
groups: [{name: new}]
grants: [{who: "group:new", target: shop, role: app_ro}]
policies: [{name: first, action: allow, who: "group:new"}]
"""
    apply_text(store, text)
    snapshot = _load(store)
    assert [g.who for g in snapshot.grants] == [
        "group:new",
        "group:analysts",
        "identity:ci-nightly",
    ]
    assert snapshot.rules[0].name == "first"
    assert set(snapshot.groups) == {"analysts", "dba", "new", "pci"}


def test_prune_removes_only_from_the_sections_that_are_there(store: Store) -> None:
    apply_text(store, FILE, ENVIRON)
    applied = apply_text(store, "policies: []", prune=True)
    assert set(applied.changes) == {
        "delete policy no-ddl-from-machines",
        "delete policy bulk-writes-need-a-human",
    }
    snapshot = _load(store)
    assert snapshot.rules == ()
    assert len(snapshot.grants) == 2
    assert len(snapshot.identities) == 3


def test_prune_retires_identities_and_revokes_their_credentials(store: Store) -> None:
    apply_text(store, FILE, ENVIRON)
    text = "identities: [{name: ana@example.com, kind: human}]\ngrants: []\npolicies: []\n"
    applied = apply_text(store, text, prune=True)
    assert "retire ci-nightly" in applied.changes
    snapshot = _load(store)
    assert snapshot.identities["ci-nightly"].status is IdentityStatus.RETIRED
    assert rows.get(store, 1).state(NOW) == "revoked"
    assert apply_text(store, text, prune=True).changes == ()
    back = apply_text(store, "identities: [{name: ci-nightly, kind: ci}]")
    assert "change identity ci-nightly: active" in back.changes


def test_prune_does_not_lock_the_admin_out(store: Store) -> None:
    accounts.create(store, BY, NOW, "root@example.com", "correct horse battery")
    applied = apply_text(store, "identities: []", prune=True)
    assert applied.changes == ()
    assert applied.remarks == ("root@example.com is not in the file but has a local sign-in: kept",)
    assert accounts.has_admin(store, NOW)


def test_prune_refuses_to_leave_a_name_hanging(store: Store) -> None:
    apply_text(store, FILE, ENVIRON)
    with pytest.raises(InvalidFile, match="a grant names group:analysts"):
        apply_text(store, "groups: [{name: dba}]", prune=True)
    with pytest.raises(InvalidFile, match=r"no identity is called 'bo@example\.com'"):
        text = "identities: [{name: ci-nightly, kind: ci, owner: bo@example.com}]"
        apply_text(store, text, prune=True)


def test_the_order_of_the_file_is_the_order_that_decides(store: Store) -> None:
    apply_text(store, FILE, ENVIRON)
    text = """
grants:
  - {who: "identity:ci-nightly", target: shop, role: app_rw}
  - {who: "group:analysts", target: shop, role: app_ro}
policies:
  - {name: bulk-writes-need-a-human, action: block}
  - {name: no-ddl-from-machines, action: block}
"""
    applied = apply_text(store, text)
    assert "change the order of grants" in applied.changes
    assert "change the order of policies" in applied.changes
    assert [g.id for g in _load(store).grants] == [2, 1]
    assert [r.name for r in _load(store).rules] == [
        "bulk-writes-need-a-human",
        "no-ddl-from-machines",
    ]


def test_grants_that_differ_only_in_conditions_are_told_apart_by_their_order(store: Store) -> None:
    text = """
targets: [{name: shop, host: h, database: d, roles: [{name: app_ro}]}]
grants:
  - {who: "*", target: shop, role: app_ro, sources: [10.0.0.0/8]}
  - {who: "*", target: shop, role: app_ro, hours: "08:00-18:00"}
"""
    apply_text(store, text)
    assert apply_text(store, text, prune=True).changes == ()
    applied = apply_text(store, text.replace("08:00", "09:00"))
    assert applied.changes == ("change grant * on shop as app_ro: hours",)
    assert [g.id for g in _load(store).grants] == [1, 2]


def test_a_list_of_whos_is_one_grant_each(store: Store) -> None:
    text = """
targets: [{name: shop, host: h, database: d, roles: [{name: app_ro}]}]
grants: [{who: ["kind:ci", "kind:bot"], target: shop, role: app_ro}]
"""
    apply_text(store, text)
    assert [g.who for g in _load(store).grants] == ["kind:ci", "kind:bot"]
    assert apply_text(store, text, prune=True).changes == ()


def test_membership_may_be_said_from_either_side(store: Store) -> None:
    apply_text(store, FILE, ENVIRON)
    apply_text(store, "identities: [{name: ci-nightly, kind: ci, groups: [dba]}]")
    assert _load(store).groups["dba"].members == ("bo@example.com", "ci-nightly")
    apply_text(store, "groups: [{name: dba}]")
    assert len(_load(store).groups["dba"].members) == 2, "the file does not say"
    applied = apply_text(store, "groups: [{name: dba, members: [ci-nightly]}]")
    assert applied.changes == ("remove bo@example.com from group dba",)
    apply_text(store, "identities: [{name: ci-nightly, kind: ci, groups: []}]")
    assert _load(store).groups["dba"].members == ()


def test_a_suspension_outlives_a_file_that_does_not_mention_it(store: Store) -> None:
    apply_text(store, FILE, ENVIRON)
    identities.set_status(store, BY, NOW, "ci-nightly", IdentityStatus.SUSPENDED)
    assert apply_text(store, FILE, ENVIRON).changes == ()
    text = "identities: [{name: ci-nightly, kind: ci, status: active}]"
    assert "change identity ci-nightly: active" in apply_text(store, text).changes


def test_roles_that_a_target_no_longer_lists_go_unless_something_uses_them(store: Store) -> None:
    apply_text(store, FILE, ENVIRON)
    lone = "targets: [{name: shop, host: 127.0.0.1, database: shop, roles: [{name: app_ro}]}]"
    with pytest.raises(InvalidFile, match="a grant uses role app_rw"):
        apply_text(store, lone)
    applied = apply_text(store, lone + "\ngrants: []\n", prune=True)
    assert "delete role shop/app_rw" in applied.changes
    assert _secret(store, "app_ro") == "ro-secret"


def test_another_host_drops_the_stored_secrets_and_takes_those_that_are_given(store: Store) -> None:
    apply_text(store, FILE, ENVIRON)
    moved = FILE.replace("127.0.0.1\n", "db.internal\n").replace(", password: rw-secret", "")
    applied = apply_text(store, moved, {"CI_PASSWORD": "machine-secret"})
    assert "drop the stored secrets of target shop: app_ro, app_rw" in applied.changes
    assert (_secret(store, "app_ro"), _secret(store, "app_rw")) == (None, None)
    back = apply_text(store, FILE, ENVIRON)
    assert (_secret(store, "app_ro"), _secret(store, "app_rw")) == ("ro-secret", "rw-secret")
    assert "change role shop/app_ro: secret" in back.changes


def test_a_changed_variable_changes_the_sealed_secret(store: Store) -> None:
    apply_text(store, FILE, ENVIRON)
    applied = apply_text(store, FILE, {**ENVIRON, "SHOP_RO": "ro-secret-2"})
    assert applied.changes == ("change role shop/app_ro: secret",)
    assert _secret(store, "app_ro") == "ro-secret-2"
    assert apply_text(store, FILE, {"CI_PASSWORD": "machine-secret"}).changes == ()
    assert _secret(store, "app_ro") == "ro-secret-2", "an unset variable keeps what is stored"


def test_settings_are_changed_one_by_one(store: Store) -> None:
    applied = apply_text(store, "settings: {default_action: block, limits: {connections: 5}}")
    assert set(applied.changes) == {
        "change settings: default_action",
        "change settings: limits.connections",
    }
    apply_text(store, "settings: {recording: {retention: 30d, durability: durable}}")
    found = settings.get(store)
    assert (found.default_action, found.retention_days) == ("block", 30)
    assert found.limits.connections == 5


def test_what_was_made_elsewhere_is_known_to_the_file(store: Store) -> None:
    groups.create(store, BY, NOW, name="ops")
    targets.create(store, BY, NOW, targets.TargetSpec("crm", "h", "d"))
    targets.put_role(store, BY, NOW, "crm", "ro", sealer=SEALER)
    apply_text(store, 'grants: [{who: "group:ops", target: crm, role: ro}]')
    assert grants.find(store).total == 1
    assert rules.find(store).total == 0


CI = "identities: [{name: ci, kind: ci, credentials: [%s]}]"


def test_an_unchanged_variable_makes_no_new_credential_and_a_changed_one_rotates(
    store: Store,
) -> None:
    text = CI % "{password_env: P}"
    assert "issue c-1 to ci" in apply_text(store, text, {"P": "first-secret"}).changes
    assert apply_text(store, text, {"P": "first-secret"}, prune=True).changes == ()
    assert apply_text(store, text, {}, prune=True).changes == (), "unset: the stored one stays"
    applied = apply_text(store, text, {"P": "second-secret"})
    assert applied.changes == ("rotate c-1 of ci: now c-2",)
    assert [rows.get(store, n).state(NOW) for n in (1, 2)] == ["ended", "live"]
    back = apply_text(store, text, {"P": "first-secret"})
    assert back.changes == ()
    assert "c-1 of ci, which is ended" in back.remarks[0]


def test_a_changed_end_moves_the_end(store: Store) -> None:
    apply_text(store, CI % "{password_env: P}", {"P": "first-secret"})
    applied = apply_text(
        store, CI % "{password_env: P, expires: 2027-01-31}", {"P": "first-secret"}
    )
    assert applied.changes == ("change c-1 of ci: expires",)
    assert rows.get(store, 1).expires_at is not None


def test_a_revoked_secret_does_not_come_back_with_the_next_apply(store: Store) -> None:
    text = CI % "{password_env: P}"
    apply_text(store, text, {"P": "first-secret"})
    credentials.revoke(store, BY, NOW, 1, "leaked")
    applied = apply_text(store, text, {"P": "first-secret"})
    assert applied.changes == ()
    assert "which is revoked: nothing was issued" in applied.remarks[0]
    assert rows.find(store, now=NOW, live=True).total == 0


def test_an_expired_secret_is_not_revived(store: Store) -> None:
    text = CI % "{password_env: P, expires: 2027-01-31}"
    apply_text(store, text, {"P": "first-secret"})
    later = NOW + timedelta(days=100)
    assert apply_text(store, text, {"P": "first-secret"}, now=later).changes == ()
    with pytest.raises(InvalidFile, match="has expired and cannot be revived"):
        apply_text(store, CI % "{password_env: P}", {"P": "first-secret"}, now=later)
    over = apply_text(store, text, {"P": "another-secret"}, now=later)
    assert "is over: nothing was issued" in over.remarks[0]


def test_credentials_from_elsewhere_stay_unless_pruned(store: Store) -> None:
    apply_text(store, CI % "{password_env: P}", {"P": "first-secret"})
    credentials.issue(store, BY, NOW, SEALER, "ci")
    assert apply_text(store, CI % "{password_env: P}", {"P": "first-secret"}).changes == ()
    kept = CI % "{password_env: P}, {label: c-2, expires: 2027-01-31}"
    assert apply_text(store, kept, {}, prune=True).changes == ("change c-2 of ci: expires",)
    applied = apply_text(store, CI % "{password_env: P}", {}, prune=True)
    assert applied.changes == ("revoke c-2 of ci",)


def test_an_entry_without_a_secret_keeps_the_only_one(store: Store) -> None:
    apply_text(store, "identities: [{name: ci, kind: ci}]")
    credentials.issue(store, BY, NOW, SEALER, "ci")
    assert apply_text(store, CI % "{}", prune=True).changes == ()
    credentials.issue(store, BY, NOW, SEALER, "ci")
    with pytest.raises(InvalidFile, match="2 live credentials to keep"):
        apply_text(store, CI % "{}")
    ending = timedelta(days=1)
    credentials.rotate(store, BY, NOW, SEALER, 2, overlap=ending)
    kept = CI % "{label: c-1}, {label: c-3}"
    assert apply_text(store, kept, prune=True).changes == ()
    assert rows.get(store, 2).state(NOW) == "ending", "it ends by itself"
