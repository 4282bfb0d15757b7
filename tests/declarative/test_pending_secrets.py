"""A password that ``apply`` does not find is found by ``serve``, in its own environment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from appliance.clock import ManualClock
from appliance.config import config_from_environment
from appliance.declarative.export import export
from appliance.identity.scram import parse_verifier
from appliance.scheduling import SecretSeeker
from appliance.store import audit, credentials, snapshots
from appliance.store.database import Store
from tests.declarative.conftest import NOW, apply_text

FILE = "identities: [{name: ci, kind: ci, credentials: [{password_env: CI_PASSWORD}]}]"


@pytest.fixture
def seeker(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SecretSeeker:
    config = replace(config_from_environment({}), data_dir=tmp_path, master_key="11" * 32)
    monkeypatch.delenv("CI_PASSWORD", raising=False)
    return SecretSeeker(config, store, ManualClock(NOW))


def kinds(store: Store) -> list[tuple[str, str]]:
    found = credentials.of_identity(store, "ci")[1]
    return [(one.record.state(NOW), one.record.kind) for one in found]


def test_it_opens_no_session_until_serve_has_the_variable(
    store: Store, seeker: SecretSeeker, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = apply_text(store, FILE)
    assert "issue a credential to ci, once serve has CI_PASSWORD" in done.changes
    assert "CI_PASSWORD is not set here" in done.remarks[0]
    assert kinds(store) == [("pending", "pending")]
    assert snapshots.load(store, NOW).identities["ci"].credentials == ()
    assert seeker.run() == "nothing to do"
    assert apply_text(store, FILE).changes == (), "it waits already"
    assert apply_text(store, export(store, NOW), prune=True).changes == ()

    monkeypatch.setenv("CI_PASSWORD", "a secret of serve")
    version = snapshots.version(store)
    assert seeker.run() == "1 credentials begun"
    assert seeker.run() == "nothing to do"
    (one,) = snapshots.load(store, NOW).identities["ci"].credentials
    assert parse_verifier(one.verifier) and snapshots.version(store) == version + 1
    assert kinds(store) == [("live", "password")]
    assert apply_text(store, FILE).changes == ()
    (issued,) = audit.find(store, action="credential.issue").items
    assert issued.actor == "serve"


def test_what_apply_has_itself_takes_the_place_of_the_one_that_waits(store: Store) -> None:
    apply_text(store, FILE)
    apply_text(store, FILE, {"CI_PASSWORD": "a secret of apply"})
    assert kinds(store) == [("ended", "pending"), ("live", "password")]
    assert credentials.pending(store, NOW) == ()
    assert apply_text(store, FILE, {"CI_PASSWORD": "a secret of apply"}).changes == ()


def test_a_secret_that_cannot_be_taken_leaves_it_waiting(
    store: Store, seeker: SecretSeeker, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply_text(store, FILE)
    monkeypatch.setenv("CI_PASSWORD", "short")
    assert seeker.run() == "nothing to do"
    assert kinds(store) == [("pending", "pending")]
