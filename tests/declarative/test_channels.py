"""Mail, webhook, waits, profiles and time-boxed grants in the file: applied, exported, kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from appliance.clock import ManualClock
from appliance.declarative.export import export
from appliance.declarative.source import InvalidFile
from appliance.entities import MailSecurity, ProfileMode, WebhookFormat
from appliance.notify.secrets import open_password, open_secret, open_url
from appliance.store import access_requests, approvals, audit, grants, profiles, settings, snapshots
from appliance.store.access_requests import AccessAsk
from appliance.store.actors import Actor
from appliance.store.database import Store
from tests.declarative.conftest import BY, NOW, SEALER, apply_text
from tests.declarative.example import ENVIRON, FILE
from tests.store.profiled import COUNT, recorder_in

ALL = """
settings:
  smtp: {host: mail.example.com, port: 587, from: gate@example.com, tls: starttls, user: gate,
         password_env: MAIL_PASSWORD}
  webhook: {url_env: HOOK_URL, format: slack, secret_env: HOOK_SECRET}
  approvals: {timeout: 5m, in_transaction: 30s}
"""
SECRETS = {
    "MAIL_PASSWORD": "mail-secret",
    "HOOK_URL": "https://hooks.example.com/services/T0/B0/url-secret",
    "HOOK_SECRET": "hook-secret",
}


def test_channels_and_waits_are_applied_and_their_secrets_appear_nowhere(store: Store) -> None:
    applied = apply_text(store, ALL, SECRETS)
    assert applied.changes == (
        "change settings: hold_timeout",
        "change settings: hold_in_transaction",
        "add settings: smtp",
        "add settings: webhook",
    )
    found = settings.get(store)
    assert (found.hold_timeout_s, found.hold_in_transaction_s) == (300, 30)
    assert found.smtp is not None and found.webhook is not None
    assert found.smtp.security is MailSecurity.STARTTLS
    assert open_password(found.smtp, SEALER, {}) == "mail-secret"
    assert found.webhook.format is WebhookFormat.SLACK
    assert found.webhook.place == "https://hooks.example.com"
    assert open_url(found.webhook, SEALER) == SECRETS["HOOK_URL"]
    assert open_secret(found.webhook, SEALER, {}) == "hook-secret"
    told = [str(event.detail) for event in audit.find(store).items]
    for place in (export(store, NOW), repr(found), *told):
        for secret in ("mail-secret", "url-secret", "/services", "hook-secret"):
            assert secret not in place


def test_an_unchanged_export_keeps_the_channels_and_their_secrets(store: Store) -> None:
    apply_text(store, ALL, SECRETS)
    before = snapshots.load(store, NOW)
    text = export(store, NOW)
    assert yaml.safe_load(text)["settings"]["webhook"] == {
        "format": "slack",
        "secret_env": "HOOK_SECRET",
    }
    assert apply_text(store, text, {}, prune=True).changes == ()
    assert apply_text(store, text, SECRETS, prune=True).changes == ()
    assert snapshots.load(store, NOW) == before


def test_another_mail_server_does_not_get_the_password_of_this_one(store: Store) -> None:
    apply_text(store, ALL, SECRETS)
    applied = apply_text(store, ALL.replace("mail.example.com", "mail.example.org"), {})
    assert applied.changes == ("change settings: smtp (host, password)",)
    assert "MAIL_PASSWORD must be set where gatepost serve runs" in applied.remarks[0]
    found = settings.get(store).smtp
    assert found is not None and found.sealed_password is None
    assert open_password(found, SEALER, {"MAIL_PASSWORD": "other"}) == "other"


def test_a_new_secret_is_taken_and_off_removes_a_channel(store: Store) -> None:
    apply_text(store, ALL, SECRETS)
    changed = apply_text(store, ALL, SECRETS | {"HOOK_SECRET": "new"})
    assert changed.changes == ("change settings: webhook (secret)",)
    off = apply_text(store, "settings: {smtp: off, webhook: off}")
    assert off.changes == ("remove settings: smtp", "remove settings: webhook")
    found = settings.get(store)
    assert found.smtp is None and found.webhook is None
    assert apply_text(store, "settings: {smtp: off}").changes == ()


def test_a_profile_may_learn_and_the_export_says_so(store: Store) -> None:
    apply_text(store, FILE, ENVIRON)
    applied = apply_text(store, FILE.replace("profile: off", "profile: learn"), ENVIRON)
    assert applied.changes == ("change identity ci-nightly: profile learn",)
    assert snapshots.load(store, NOW).identities["ci-nightly"].profile is ProfileMode.LEARN
    text = export(store, NOW)
    assert yaml.safe_load(text)["identities"][2]["profile"] == "learn"
    assert apply_text(store, text, {}, prune=True).changes == ()
    assert apply_text(store, FILE, ENVIRON).changes == ("change identity ci-nightly: profile off",)


def test_a_profile_is_enforced_once_its_owner_has_signed_it(store: Store, tmp_path: Path) -> None:
    apply_text(store, FILE, ENVIRON)
    enforced = FILE.replace("profile: off", "profile: enforce")
    with pytest.raises(InvalidFile, match="nothing of ci-nightly is signed"):
        apply_text(store, enforced, ENVIRON)
    recorder = recorder_in(store, tmp_path, ManualClock(NOW))
    recorder.ran(("select count(*) from orders", COUNT))
    recorder.journal.close()
    profiles.sign(store, Actor("ana@example.com", "browser", ""), NOW, "ci-nightly", [COUNT])
    assert apply_text(store, enforced, ENVIRON).changes == (
        "change identity ci-nightly: profile enforce",
    )
    before = snapshots.load(store, NOW)
    assert before.profiles == {"ci-nightly": frozenset({COUNT})}
    text = export(store, NOW)
    assert yaml.safe_load(text)["identities"][2]["profile"] == "enforce"
    assert apply_text(store, text, {}, prune=True).changes == ()
    assert snapshots.load(store, NOW) == before


def test_a_time_boxed_grant_is_no_configuration(store: Store) -> None:
    apply_text(store, FILE, ENVIRON)
    ask = AccessAsk("ana@example.com", "shop", "app_rw", 7200, "INC-42")
    number = access_requests.ask(store, BY, NOW, ask)
    approvals.decide(
        store, Actor("bo@example.com", "browser", ""), NOW, number, approve=True, reason=""
    )
    # one that was made later stands behind it
    apply_text(
        store,
        FILE.replace("policies:", '  - {who: "*", target: shop, role: app_ro}\npolicies:'),
        ENVIRON,
    )
    before = snapshots.load(store, NOW)
    assert [grant.is_time_boxed for grant in before.grants] == [False, False, True, False]
    text = export(store, NOW)
    assert len(yaml.safe_load(text)["grants"]) == 3
    assert apply_text(store, text, {}, prune=True).changes == ()
    assert snapshots.load(store, NOW) == before
    with store.reading():
        assert len(grants.read_all()) == 4
