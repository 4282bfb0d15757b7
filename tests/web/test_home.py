"""Home, settings, my access, the audit log, the probes: what each says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from appliance.entities import PermissionRole
from appliance.store import audit, rules, settings, targets, workers
from appliance.store.targets import TargetSpec
from tests.web.browsing import Browser, words
from tests.web.conftest import AT, BY, World
from tests.web.filled import fill
from tests.web.recorded import Ran, Recorded, record


def test_an_empty_appliance_shows_the_first_steps(admin: Browser) -> None:
    text = words(admin.get("/").text)
    assert "These steps lead to your first session" in text
    assert "Register a target" in text and "The psql line stands here" in text


def test_the_last_step_is_a_line_that_works_and_it_waits(admin: Browser, world: World) -> None:
    fill(world)
    with world.store.transaction():
        from appliance.store.record_models import SessionRow

        SessionRow.delete().execute()
    text = admin.get("/").text
    line = "psql &#34;host=localhost port=6432 dbname=shop user=ci-nightly sslmode=require&#34;"
    assert line in text
    assert "waiting for your first session" in text


def test_the_first_sentence_counts_the_last_day(both: World) -> None:
    both.person("ada@example.com", PermissionRole.ADMIN)
    ran = (Ran("select 1"), Ran("drop table t", "block"), Ran("delete from t", "hold", "held"))
    record(both.store, Recorded("ana@example.com", AT - timedelta(hours=1), ran))
    record(both.store, Recorded("ci-x", AT - timedelta(hours=23), (Ran("select 2"),), kind="ci"))
    old = Recorded("ci-y", AT - timedelta(hours=25), (Ran("select 3"),), timedelta(minutes=1))
    record(both.store, old)
    targets.create(both.store, BY, AT, TargetSpec("shop", "db", "shop"))
    text = words(both.signed_in("ada@example.com").get("/").text)
    assert "Last 24 h: 4 statements by 2 identities on 1 target; 1 refused, 1 held" in text
    assert "drop table t" in text


def test_observing_is_said_until_a_rule_exists(admin: Browser, world: World) -> None:
    fill(world)
    assert "Observing: nothing is stopped." in words(admin.get("/").text)
    from appliance.entities import PolicyRule

    rules.create(world.store, BY, AT, PolicyRule(name="no-ddl", action="block", commands=("ddl",)))
    assert "Observing" not in words(admin.get("/").text)


def test_somebody_without_another_right_lands_on_their_own_access(world: World) -> None:
    fill(world)
    browser = world.signed_in("ana@example.com")
    assert browser.get("/").headers["Location"] == "/me"
    text = words(browser.get("/me").text)
    assert "You may reach nothing yet" in text
    assert "Identities" not in text  # no entry for what they may not open


def test_my_access_shows_grants_of_ones_groups_with_the_line(world: World) -> None:
    fill(world)
    from appliance.store import grants

    grants.create(world.store, BY, AT, grants.GrantSpec("group:analysts", "shop", "app_ro"))
    text = words(world.signed_in("ana@example.com").get("/me").text)
    assert "shop as app_ro" in text and "through group:analysts" in text
    assert "user=ana@example.com" in text


def test_a_user_sees_the_connection_lines_for_themselves_only(world: World) -> None:
    fill(world)
    browser = world.signed_in("ana@example.com")
    text = browser.get("/targets/shop/connect?identity=ci-nightly").text
    assert "user=ana@example.com" in text and "ci-nightly" not in text


SETTINGS = {
    "default_action": "allow",
    "durability": "written",
    "retention_days": "400",
    "hold_timeout": "10m",
    "hold_in_transaction": "2m",
}


def test_settings_are_kept_and_said_in_the_audit_log(admin: Browser, world: World) -> None:
    form = {"default_action": "block", "retention_days": "90", "hold_in_transaction": "45s"}
    assert admin.submit("/settings", SETTINGS | form | {"hold_timeout": "2h"}).status_code == 303
    stored = settings.get(world.store)
    assert (stored.default_action, stored.retention_days) == ("block", 90)
    assert (stored.hold_timeout_s, stored.hold_in_transaction_s) == (7200, 45)
    shown = admin.get("/settings").text
    assert 'value="2h"' in shown and 'value="45s"' in shown
    [event] = audit.find(world.store, action="settings.").items
    assert event.actor == "ada@example.com" and event.detail["default_action"] == "block"
    assert "changed settings" in words(admin.get("/audit").text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("default_action", "shrug"),
        ("durability", "hopeful"),
        ("retention_days", "0"),
        ("retention_days", "99999"),
        ("retention_days", "ten"),
        ("retention_days", ""),
        ("hold_timeout", "soon"),
        ("hold_timeout", ""),
        ("hold_timeout", "30d"),
        ("hold_in_transaction", "0"),
    ],
)
def test_a_wrong_setting_is_said_beside_its_field(
    admin: Browser, world: World, field: str, value: str
) -> None:
    answer = admin.submit("/settings", SETTINGS | {field: value})
    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text
    assert audit.find(world.store, action="settings.").total == 0


def test_the_ca_is_handed_out(admin: Browser) -> None:
    answer = admin.get("/settings/ca")
    assert answer.text.startswith("-----BEGIN CERTIFICATE-----")
    assert "PRIVATE" not in answer.text


def test_the_audit_log_is_searched_and_filtered(admin: Browser, world: World) -> None:
    fill(world)
    assert "issued a credential" in words(admin.get("/audit?about=credential.").text)
    assert "added a grant" not in words(admin.get("/audit?about=credential.").text)
    assert "registered a target" in words(admin.get("/audit?q=production").text)
    assert "No events match" in words(admin.get("/audit?q=nothing-of-the-kind").text)


def test_the_probes_answer_without_a_sign_in(world: World) -> None:
    browser = world.browser()
    assert browser.get("/healthz").json == {"status": "ok"}
    assert browser.get("/readyz").status_code == 503  # no worker yet
    workers.beat(world.store, AT, workers.Beat("host/proxy-1", 1, 1, 3))
    assert browser.get("/readyz").json == {"status": "ready", "workers": 1}
    metrics = browser.get("/metrics").text
    assert "gatepost_workers 1.0" in metrics and "gatepost_sessions 3.0" in metrics


def test_an_appliance_that_drains_is_not_ready(world: World) -> None:
    workers.beat(world.store, AT, workers.Beat("host/proxy-1", 1, 1, 3))
    world.app.extensions["gatepost_is_serving"] = lambda: False
    assert world.browser().get("/readyz").status_code == 503


def test_the_feed_ends_when_the_appliance_ends(admin: Browser, world: World) -> None:
    world.app.extensions["gatepost_is_serving"] = lambda: False
    answer = admin.get("/feed")
    assert answer.mimetype == "text/event-stream"
    assert answer.text == "retry: 2000\n\n"


def test_a_page_that_does_not_exist_says_so(admin: Browser) -> None:
    answer = admin.get("/nothing/here")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text


def test_what_a_name_no_longer_stands_for_is_said_with_a_way_on(admin: Browser) -> None:
    answer = admin.get("/sessions/nope")
    assert answer.status_code == 404
    assert "No session has the id nope. Check the address" in words(answer.text)
