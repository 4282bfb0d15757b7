"""Credentials: issued, rotated with and without overlap, revoked; never a secret in sight."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from appliance.entities import Credential, IdentityStatus
from appliance.errors import Conflict, Invalid, NotFound
from appliance.identity import credentials
from appliance.identity.scram import mock_verifier, parse_verifier
from appliance.sealing import Sealer
from appliance.store import audit, identities, snapshots
from appliance.store import credentials as rows
from appliance.store.database import Store
from tests.store.conftest import BY, NOW

DAY = timedelta(days=1)


def _of(store: Store, name: str, now: datetime = NOW) -> tuple[Credential, ...]:
    return snapshots.load(store, now).identities[name].credentials


def test_an_issued_secret_is_kept_as_a_verifier_only(shop: Store, sealer: Sealer) -> None:
    made = credentials.issue(shop, BY, NOW, sealer, "ci-nightly", expires_at=NOW + DAY)
    assert len(made.secret) == 32
    assert made.secret not in repr(made)
    (kept,) = _of(shop, "ci-nightly")
    assert kept.verifier.startswith("SCRAM-SHA-256$4096:")
    assert (kept.label, kept.created_by, kept.created_at) == ("c-1", "ana@example.com", NOW)
    assert "SCRAM" not in repr(kept)
    with shop.reading():
        dump = [
            repr(tuple(row))
            for table in shop.database.get_tables()
            for row in shop.database.execute_sql(f'SELECT * FROM "{table}"').fetchall()
        ]
    assert not [line for line in dump if made.secret in line]


def test_each_issued_secret_is_another(shop: Store, sealer: Sealer) -> None:
    made = {credentials.issue(shop, BY, NOW, sealer, "ci-nightly").secret for _ in range(5)}
    assert len(made) == 5


def test_live_credentials_share_salt_and_iterations(shop: Store, sealer: Sealer) -> None:
    for _ in range(2):
        credentials.issue(shop, BY, NOW, sealer, "ci-nightly")
    credentials.rotate(shop, BY, NOW, sealer, 1, overlap=DAY)
    verifiers = [parse_verifier(c.verifier) for c in _of(shop, "ci-nightly")]
    assert len(verifiers) == 3
    assert len({(v.salt, v.iterations) for v in verifiers}) == 1
    assert len({v.stored_key for v in verifiers}) == 3


def test_a_first_credential_shows_the_salt_that_the_name_had_without_one(
    shop: Store, sealer: Sealer
) -> None:
    credentials.issue(shop, BY, NOW, sealer, "ci-nightly")
    mock = parse_verifier(mock_verifier(sealer.login_secret, "ci-nightly"))
    assert parse_verifier(_of(shop, "ci-nightly")[0].verifier).salt == mock.salt


def test_a_given_secret_may_not_be_given_twice(shop: Store, sealer: Sealer) -> None:
    credentials.issue(shop, BY, NOW, sealer, "ci-nightly", secret="correct-horse")
    with pytest.raises(Conflict, match="c-1 of ci-nightly") as caught:
        credentials.issue(shop, BY, NOW, sealer, "ci-nightly", secret="correct-horse")
    assert "correct-horse" not in str(caught.value)
    credentials.issue(shop, BY, NOW, sealer, "ana@example.com", secret="correct-horse")


@pytest.mark.parametrize("secret", ["", "short", "x" * 1001, "has\0nul-inside"])
def test_a_secret_that_cannot_be_is_not_repeated_in_the_error(
    shop: Store, sealer: Sealer, secret: str
) -> None:
    with pytest.raises(Invalid) as caught:
        credentials.issue(shop, BY, NOW, sealer, "ci-nightly", secret=secret)
    assert caught.value.field == "password"
    assert not secret or secret not in str(caught.value)
    assert rows.find(shop, now=NOW).total == 0


def test_rotation_without_overlap_ends_the_old_one_now(shop: Store, sealer: Sealer) -> None:
    old = credentials.issue(shop, BY, NOW, sealer, "ci-nightly", expires_at=NOW + 10 * DAY)
    later = NOW + 3 * DAY
    new = credentials.rotate(shop, BY, later, sealer, old.id)
    before, after = _of(shop, "ci-nightly", later)
    assert (before.is_live(later), after.is_live(later)) == (False, True)
    assert new.expires_at == later + 10 * DAY
    assert rows.get(shop, new.id).rotated_from == old.id


def test_rotation_with_overlap_ends_the_old_one_then(shop: Store, sealer: Sealer) -> None:
    old = credentials.issue(shop, BY, NOW, sealer, "ci-nightly")
    credentials.rotate(shop, BY, NOW, sealer, old.id, overlap=timedelta(hours=24))
    states = [rows.get(shop, old.id).state(NOW + timedelta(hours=h)) for h in (0, 23, 24)]
    assert states == ["ending", "ending", "ended"]
    shorter = credentials.rotate(shop, BY, NOW, sealer, old.id, overlap=timedelta(hours=1))
    assert rows.get(shop, old.id).ends_at == NOW + timedelta(hours=1)
    assert rows.get(shop, shorter.id).state(NOW) == "live"


@pytest.mark.parametrize("overlap", [timedelta(seconds=-1), timedelta(days=31)])
def test_an_overlap_has_bounds(shop: Store, sealer: Sealer, overlap: timedelta) -> None:
    made = credentials.issue(shop, BY, NOW, sealer, "ci-nightly")
    with pytest.raises(Invalid, match="0 to 30d"):
        credentials.rotate(shop, BY, NOW, sealer, made.id, overlap=overlap)


def test_what_has_ended_is_not_rotated(shop: Store, sealer: Sealer) -> None:
    made = credentials.issue(shop, BY, NOW, sealer, "ci-nightly", expires_at=NOW + DAY)
    with pytest.raises(Conflict, match="has ended"):
        credentials.rotate(shop, BY, NOW + DAY, sealer, made.id)
    with pytest.raises(NotFound, match="c-77"):
        credentials.rotate(shop, BY, NOW, sealer, 77)


def test_a_revocation_says_who_and_why_and_is_done_once(shop: Store, sealer: Sealer) -> None:
    made = credentials.issue(shop, BY, NOW, sealer, "ci-nightly")
    version = snapshots.version(shop)
    assert credentials.revoke(shop, BY, NOW, made.id, "leaked")
    assert not credentials.revoke(shop, BY, NOW, made.id)
    found = rows.get(shop, made.id)
    assert (found.state(NOW), found.revoked_by, found.revoked_reason) == (
        "revoked",
        "ana@example.com",
        "leaked",
    )
    assert snapshots.version(shop) == version + 1
    assert audit.find(shop, action="credential.revoke").items[0].detail["reason"] == "leaked"


def test_nobody_gets_a_credential_while_suspended_or_with_an_end_in_the_past(
    shop: Store, sealer: Sealer
) -> None:
    with pytest.raises(Invalid, match="still to come"):
        credentials.issue(shop, BY, NOW, sealer, "ci-nightly", expires_at=NOW)
    identities.set_status(shop, BY, NOW, "ci-nightly", IdentityStatus.SUSPENDED)
    with pytest.raises(Conflict, match="suspended"):
        credentials.issue(shop, BY, NOW, sealer, "ci-nightly")
    with pytest.raises(NotFound):
        credentials.issue(shop, BY, NOW, sealer, "nobody")
    assert rows.find(shop, now=NOW).total == 0


def test_ended_credentials_leave_the_snapshot_after_a_while_and_the_list_never(
    shop: Store, sealer: Sealer
) -> None:
    made = credentials.issue(shop, BY, NOW, sealer, "ci-nightly")
    credentials.revoke(shop, BY, NOW, made.id)
    assert len(_of(shop, "ci-nightly", NOW + DAY)) == 1
    assert _of(shop, "ci-nightly", NOW + 3 * DAY) == ()
    assert rows.find(shop, now=NOW).total == 1


def test_credentials_are_listed_by_identity_and_life(shop: Store, sealer: Sealer) -> None:
    def ids(**filters: Any) -> list[int]:
        return [row.id for row in rows.find(shop, now=NOW, **filters).items]

    for name in ("ci-nightly", "ana@example.com", "ci-nightly"):
        credentials.issue(shop, BY, NOW, sealer, name)
    credentials.revoke(shop, BY, NOW, 1)
    assert ids() == [3, 2, 1]
    assert ids(live=True) == [3, 2]
    assert ids(live=False) == [1]
    assert ids(identity="ci-nightly") == [3, 1]
    assert ids(text="ANA") == [2]
    assert ids(sort="identity") == [2, 1, 3]
    assert ids(sort="expires_at", size=2, page=2) == [3]


@pytest.mark.parametrize("text", ["12", "c-x", "c--1", "c-", "", "c-٣", "c-99999999999999"])
def test_only_labels_are_labels(text: str) -> None:
    if text == "12":
        assert credentials.parse_label("label", text) == 12
        return
    with pytest.raises(Invalid, match="c-12"):
        credentials.parse_label("label", text)
