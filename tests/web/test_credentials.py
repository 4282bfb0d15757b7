"""Credentials in the browser: the secret shown once, rotation, revocation with its consequences."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from appliance.identity.scram import parse_verifier
from appliance.store import credentials, snapshots
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, World
from tests.web.filled import fill
from tests.web.recorded import Recorded, record

SECRET = re.compile(r'<pre id="secret"[^>]*>([^<]+)</pre>')
NEW = "/identities/ci-nightly/credentials/new"


def issue(admin: Browser, **data: str) -> tuple[str, str]:
    """Issue a credential; return the secret and the address of the page that shows it."""
    answer = admin.submit(NEW, {"expires": "2027-01-31"} | data)
    assert answer.status_code == 303, words(answer.text)
    path = answer.headers["Location"]
    found = SECRET.search(admin.get(path).text)
    assert found
    return found[1], path


def test_the_secret_is_shown_once_with_the_lines_to_connect(admin: Browser, world: World) -> None:
    fill(world)
    answer = admin.submit(NEW, {"expires": "2027-01-31"})
    path = answer.headers["Location"]
    first = admin.get(path).text
    found = SECRET.search(first)
    assert found
    assert "dbname=shop user=ci-nightly" in first
    assert f"postgresql://ci-nightly:{found[1]}@localhost:6432/shop?sslmode=require" in first
    assert f"export PGPASSWORD={found[1]}" in first
    again = admin.get(path).text
    assert found[1] not in again
    assert "shown once and is kept nowhere" in words(again)


def test_only_the_browser_that_issued_it_sees_the_secret(admin: Browser, world: World) -> None:
    fill(world)
    answer = admin.submit(NEW, {"expires": ""})
    path = answer.headers["Location"]
    kept = admin.client.get_cookie("gatepost_once", domain="localhost", path=path)
    assert kept
    other = world.signed_in("ada@example.com")
    other.client.set_cookie("gatepost_once", kept.value, domain="localhost", path=path)
    assert not SECRET.search(other.get(path).text)


def test_the_store_keeps_a_verifier_only(admin: Browser, world: World) -> None:
    fill(world)
    secret, _ = issue(admin)
    [live] = [
        c for c in snapshots.load(world.store, AT).identities["ci-nightly"].credentials if c.id == 2
    ]
    assert parse_verifier(live.verifier)
    assert secret not in live.verifier
    assert live.expires_at == datetime(2027, 2, 1, tzinfo=UTC)  # through the end of the day
    assert live.created_by == "ada@example.com"


@pytest.mark.parametrize(
    ("expires", "complaint"),
    [
        ("2026-11-22", "2026-11-22 has already passed"),
        ("soon", "Expected a date such as 2027-06-30"),
        ("9999-12-31", "before the year 9000"),
        ("2027-02-30", "Expected a date"),
    ],
)
def test_a_wrong_day_is_said_beside_the_field(
    admin: Browser, world: World, expires: str, complaint: str
) -> None:
    world.machine("ci-nightly")
    answer = admin.submit(NEW, {"expires": expires})
    assert answer.status_code == 422
    assert 'aria-describedby="expires-help expires-error"' in answer.text
    assert complaint in words(answer.text)
    assert credentials.find(world.store, now=AT).total == 0


def test_today_is_still_a_last_day(admin: Browser, world: World) -> None:
    world.machine("ci-nightly")
    assert issue(admin, expires="2026-11-23")


def test_a_suspended_identity_gets_no_credential(admin: Browser, world: World) -> None:
    fill(world)
    admin.submit("/identities/ci-nightly/status/suspended", {"reason": ""})
    answer = admin.submit(NEW, {"expires": ""})
    assert answer.status_code == 422
    assert "resume it before" in words(answer.text)


def test_rotating_makes_a_new_secret_and_lets_the_old_one_live_for_the_overlap(
    admin: Browser, world: World
) -> None:
    fill(world)
    answer = admin.submit("/credentials/1/rotate", {"overlap": "24", "expires": ""})
    assert answer.status_code == 303
    assert SECRET.search(admin.get(answer.headers["Location"]).text)
    old, new = credentials.get(world.store, 1), credentials.get(world.store, 2)
    assert old.ends_at == AT + timedelta(hours=24)
    assert new.rotated_from == 1
    assert "rotated, ending" in words(admin.get("/identities/ci-nightly").text)


def test_a_made_up_overlap_is_refused(admin: Browser, world: World) -> None:
    fill(world)
    answer = admin.submit("/credentials/1/rotate", {"overlap": "99999", "expires": ""})
    assert answer.status_code == 422
    assert credentials.get(world.store, 1).ends_at is None


def test_revoking_names_the_sessions_that_end(admin: Browser, world: World) -> None:
    fill(world)
    record(world.store, Recorded("ci-nightly", AT, credential_id=1, source="10.2.0.9"))
    asked = words(admin.get("/credentials/1/revoke").text)
    assert "Revoke c-1 of ci-nightly?" in asked
    assert "2 live sessions end now" in asked
    answer = admin.submit("/credentials/1/revoke", {"reason": "leaked"})
    assert answer.status_code == 303
    revoked = credentials.get(world.store, 1)
    assert (revoked.revoked_at, revoked.revoked_by) == (AT, "ada@example.com")
    assert revoked.revoked_reason == "leaked"
    assert "c-1 of ci-nightly is revoked" in words(admin.get("/identities/ci-nightly").text)


def test_a_credential_that_is_not_there_is_said_so(admin: Browser) -> None:
    answer = admin.get("/credentials/77")
    assert answer.status_code == 404
    assert "No credential c-77" in answer.text
