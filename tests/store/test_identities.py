"""Identities: names, owners, status, permission roles, lists."""

from __future__ import annotations

from datetime import timedelta

import pytest

from appliance.entities import IdentityKind, IdentityStatus, PermissionRole
from appliance.errors import Conflict, Invalid, NotFound
from appliance.identity import credentials
from appliance.sealing import Sealer
from appliance.store import accounts, groups, identities, sign_ins, snapshots
from appliance.store import credentials as credential_rows
from appliance.store.database import Store
from appliance.store.identities import IdentitySpec
from tests.store.conftest import BY, NOW

ADMIN = frozenset({PermissionRole.ADMIN})


@pytest.mark.parametrize(
    "name",
    ["ci-nightly", "a", "ana.b+x@example.com", "x" * 63, "0day", "o'neil@example.com", "A_b.c"],
)
def test_names_that_may_be(sqlite_store: Store, name: str) -> None:
    kind = "human" if "@" in name else "ci"
    identities.create(sqlite_store, BY, NOW, IdentitySpec(name, kind))
    assert identities.get(sqlite_store, name, now=NOW).name == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 64,
        "-x",
        "a b",
        "a\nb",
        "a\0b",
        "a\u202eb",
        "ünal",
        "ana@",
        "@example.com",
        "ana@exa mple.com",
        "ana@example.com\n",
        "a@b@c",
        "x" * 250 + "@example.com",
        "identity:ana",
        "a/b",
        "*",
    ],
)
def test_names_that_may_not_be(sqlite_store: Store, name: str) -> None:
    with pytest.raises(Invalid) as caught:
        identities.create(sqlite_store, BY, NOW, IdentitySpec(name, "ci"))
    assert caught.value.field == "name"
    assert identities.find(sqlite_store, now=NOW).total == 0


def test_a_name_that_differs_only_in_letter_case_is_taken(shop: Store) -> None:
    with pytest.raises(Conflict, match=r"ana@example\.com"):
        identities.create(shop, BY, NOW, IdentitySpec("Ana@Example.com", "human"))


@pytest.mark.parametrize(
    ("field", "spec"),
    [
        ("kind", IdentitySpec("x", "robot")),
        ("sources", IdentitySpec("x", "ci", sources=("10.0.0.0/33",))),
        ("sources", IdentitySpec("x", "ci", sources=("10.2.0.1/16",))),
        ("application_names", IdentitySpec("x", "ci", application_names=("a\nb",))),
        ("purpose", IdentitySpec("x", "ci", purpose="two\nlines")),
        ("purpose", IdentitySpec("x", "ci", purpose="x" * 501)),
        ("environment", IdentitySpec("x", "ci", environment="\x00")),
        ("owner", IdentitySpec("x", "ci", owner="nobody")),
        ("owner", IdentitySpec("x", "ci", owner="ci-nightly")),
        ("backup_owner", IdentitySpec("x", "ci", backup_owner="ci-nightly")),
        (
            "backup_owner",
            IdentitySpec("x", "ci", owner="ana@example.com", backup_owner="ana@example.com"),
        ),
    ],
)
def test_a_wrong_value_names_its_field_and_changes_nothing(
    shop: Store, field: str, spec: IdentitySpec
) -> None:
    version = snapshots.version(shop)
    with pytest.raises(Invalid) as caught:
        identities.create(shop, BY, NOW, spec)
    assert caught.value.field.startswith(field)
    assert snapshots.version(shop) == version
    with pytest.raises(NotFound):
        identities.get(shop, "x", now=NOW)


def test_an_update_says_what_changed_and_keeps_who_created_it(shop: Store) -> None:
    spec = IdentitySpec("ci-nightly", "bot", owner="bo@example.com", purpose="nightly export")
    assert set(identities.update(shop, BY, NOW, "ci-nightly", spec)) == {"kind", "owner"}
    found = identities.get(shop, "ci-nightly", now=NOW)
    assert (found.kind, found.owner, found.created_at) == ("bot", "bo@example.com", NOW)


def test_a_name_cannot_change_and_a_person_cannot_become_a_machine(shop: Store) -> None:
    with pytest.raises(Invalid, match="name cannot change"):
        identities.update(shop, BY, NOW, "ci-nightly", IdentitySpec("ci-daily", "ci"))
    with pytest.raises(Invalid, match="cannot become a machine"):
        identities.update(shop, BY, NOW, "ana@example.com", IdentitySpec("ana@example.com", "ci"))


def test_a_suspension_ends_browser_sign_ins_and_can_be_undone(shop: Store) -> None:
    token = sign_ins.open_one(shop, BY, NOW, "bo@example.com", address="", user_agent="")
    suspended = IdentityStatus.SUSPENDED
    assert identities.set_status(shop, BY, NOW, "bo@example.com", suspended, "left early")
    assert not identities.set_status(shop, BY, NOW, "bo@example.com", suspended)
    assert sign_ins.get(shop, NOW, token) is None
    assert snapshots.load(shop, NOW).identities["bo@example.com"].status is suspended
    assert identities.set_status(shop, BY, NOW, "bo@example.com", IdentityStatus.ACTIVE)


def test_retiring_revokes_every_credential(shop: Store, sealer: Sealer) -> None:
    made = credentials.issue(shop, BY, NOW, sealer, "ci-nightly")
    assert identities.retire(shop, BY, NOW, "ci-nightly", "gone")
    found = credential_rows.get(shop, made.id)
    assert (found.state(NOW), found.revoked_by) == ("revoked", "ana@example.com")
    assert not identities.retire(shop, BY, NOW, "ci-nightly")


def test_the_last_admin_stays_admin(shop: Store) -> None:
    accounts.create(shop, BY, NOW, "root@example.com", "correct horse battery")
    for attempt in (
        lambda: identities.set_permission_roles(shop, BY, NOW, "root@example.com", frozenset()),
        lambda: identities.set_status(shop, BY, NOW, "root@example.com", IdentityStatus.SUSPENDED),
        lambda: identities.retire(shop, BY, NOW, "root@example.com"),
    ):
        with pytest.raises(Conflict, match="last admin"):
            attempt()
    accounts.create(shop, BY, NOW, "bo@example.com", "another horse battery")
    assert identities.set_permission_roles(shop, BY, NOW, "root@example.com", frozenset())


def test_only_people_have_permission_roles(shop: Store) -> None:
    with pytest.raises(Invalid, match="only people"):
        identities.set_permission_roles(shop, BY, NOW, "ci-nightly", ADMIN)


def test_first_and_last_use_are_kept_in_whatever_order_they_come(
    shop: Store, sealer: Sealer
) -> None:
    made = credentials.issue(shop, BY, NOW, sealer, "ci-nightly")
    version = snapshots.version(shop)
    for minutes, source in ((5, "10.0.0.5"), (9, "10.0.0.9"), (7, "10.0.0.7")):
        at = NOW + timedelta(minutes=minutes)
        identities.used(shop, "ci-nightly", made.id, at, source)
    row = identities.get(shop, "ci-nightly", now=NOW)
    kept = credential_rows.get(shop, made.id)
    assert row.first_used_at == kept.first_used_at == NOW + timedelta(minutes=5)
    assert row.last_used_at == kept.last_used_at == NOW + timedelta(minutes=9)
    assert kept.last_used_from == "10.0.0.9"
    assert identities.get(shop, "ana@example.com", now=NOW).last_used_at is None
    assert snapshots.version(shop) == version


def test_lists_are_searched_filtered_sorted_and_paged(shop: Store) -> None:
    def names(text: str = "", **filters: str) -> list[str]:
        return [i.name for i in identities.find(shop, text, now=NOW, **filters).items]  # type: ignore[arg-type]

    assert names() == ["ana@example.com", "bo@example.com", "ci-nightly"]
    assert names("NIGHTLY exp") == ["ci-nightly"]
    assert names("%") == []
    assert names(kind="human") == ["ana@example.com", "bo@example.com"]
    assert names(group="dba") == ["bo@example.com"]
    assert names(owner="ana@example.com") == ["ci-nightly"]
    assert names(status="suspended") == []
    assert names(sort="-name") == ["ci-nightly", "bo@example.com", "ana@example.com"]
    identities.create(shop, BY, NOW, IdentitySpec("zz-orphan", "bot"))
    assert names(sort="attention")[0] == "zz-orphan"
    for sort in ("kind", "status", "created_at", "last_used_at", "-expires_at"):
        assert len(names(sort=sort)) == 4
    page = identities.find(shop, now=NOW, page=2, size=3)
    assert ([i.name for i in page.items], page.total, page.pages) == (["zz-orphan"], 4, 2)
    for wrong in ({"sort": "password"}, {"page": 0}, {"size": 0}, {"size": 1001}):
        with pytest.raises(Invalid):
            identities.find(shop, now=NOW, **wrong)  # type: ignore[arg-type]


def test_a_record_counts_live_credentials_and_names_groups(shop: Store, sealer: Sealer) -> None:
    groups.add(shop, BY, NOW, "dba", "ci-nightly")
    credentials.issue(shop, BY, NOW, sealer, "ci-nightly", expires_at=NOW + timedelta(days=1))
    credentials.issue(shop, BY, NOW, sealer, "ci-nightly")
    later = NOW + timedelta(days=2)
    assert identities.get(shop, "ci-nightly", now=NOW).live_credentials == 2
    found = identities.get(shop, "ci-nightly", now=later)
    assert (found.live_credentials, found.groups) == (1, ("dba",))
    assert found.kind is IdentityKind.CI
    assert identities.get_by_id(shop, found.id, now=NOW).name == "ci-nightly"
