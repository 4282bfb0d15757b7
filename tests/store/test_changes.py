"""Every change that decides bumps the version once and leaves an audit event, or does neither."""

from __future__ import annotations

import threading

import pytest

from appliance.entities import PolicyRule, Settings
from appliance.errors import Conflict
from appliance.store import audit, groups, identities, kills, rules, settings, snapshots
from appliance.store.changes import change
from appliance.store.database import Store, open_store
from appliance.store.identities import IdentitySpec
from tests.store.conftest import BY, NOW


def test_a_change_bumps_the_version_once_and_says_who_did_what(store: Store) -> None:
    before = snapshots.version(store)
    identities.create(store, BY, NOW, IdentitySpec("ci", "ci", purpose="build"))
    assert snapshots.version(store) == before + 1
    (event,) = audit.find(store).items
    assert (event.actor, event.via, event.source) == ("ana@example.com", "browser", "127.0.0.1")
    assert (event.action, event.subject, event.at) == ("identity.create", "ci", NOW)
    assert event.journaled is None


def test_a_change_that_changes_nothing_leaves_no_trace(store: Store) -> None:
    spec = IdentitySpec("ci", "ci", purpose="build")
    identities.create(store, BY, NOW, spec)
    groups.create(store, BY, NOW, name="dba")
    groups.add(store, BY, NOW, "dba", "ci")
    rules.create(store, BY, NOW, PolicyRule("r", "block", commands=("ddl",)))
    version, events = snapshots.version(store), audit.find(store).total
    assert identities.update(store, BY, NOW, "ci", spec) == ()
    assert groups.add(store, BY, NOW, "dba", "ci") is False
    assert groups.change_claim(store, BY, NOW, "dba", None) is False
    assert rules.update(store, BY, NOW, "r", PolicyRule("r", "block", commands=("ddl",))) == ()
    assert rules.reorder(store, BY, NOW, ("r",)) is False
    assert settings.put(store, BY, NOW, Settings()) == {}
    assert (snapshots.version(store), audit.find(store).total) == (version, events)


def test_a_change_that_fails_undoes_its_bump_and_its_event(store: Store) -> None:
    before = snapshots.version(store)
    with pytest.raises(Conflict), change(store, BY, NOW):
        groups.create(store, BY, NOW, name="dba")
        groups.create(store, BY, NOW, name="dba")
    assert snapshots.version(store) == before
    assert audit.find(store).total == 0
    assert groups.find(store).total == 0


def test_many_changes_in_one_transaction_are_one_version(store: Store) -> None:
    before = snapshots.version(store)
    with change(store, BY, NOW):
        for index in range(5):
            groups.create(store, BY, NOW, name=f"g{index}")
    assert snapshots.version(store) == before + 1
    assert audit.find(store, action="group.").total == 5


def test_what_decides_nothing_bumps_nothing(store: Store) -> None:
    before = snapshots.version(store)
    kills.request(store, BY, NOW, "s1", "too long")
    assert snapshots.version(store) == before
    assert [e.action for e in audit.find(store).items] == ["session.kill"]


def test_concurrent_changes_of_two_processes_get_versions_of_their_own(
    store: Store, store_url: str
) -> None:
    before = snapshots.version(store)
    other = open_store(store_url)
    failures: list[BaseException] = []

    def add(where: Store, prefix: str) -> None:
        try:
            for index in range(10):
                groups.create(where, BY, NOW, name=f"{prefix}{index}")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=add, args=args) for args in ((store, "a"), (other, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert not failures
    assert snapshots.version(store) == before + 20
    assert groups.find(store, size=100).total == 20


def test_two_processes_cannot_both_take_a_name(store: Store, store_url: str) -> None:
    other = open_store(store_url)
    results: list[str] = []
    start = threading.Barrier(2)

    def create(where: Store) -> None:
        start.wait()
        try:
            identities.create(where, BY, NOW, IdentitySpec("same", "ci"))
            results.append("created")
        except Conflict:
            results.append("conflict")

    threads = [threading.Thread(target=create, args=(where,)) for where in (store, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert sorted(results) == ["conflict", "created"]


def test_audit_events_are_found_by_text_actor_action_subject_and_time(store: Store) -> None:
    groups.create(store, BY, NOW, name="dba")
    groups.create(store, BY, NOW, name="analysts", claim="data-%_team")
    assert audit.find(store, "ANALYSTS").total == 1
    assert audit.find(store, "%_").total == 1
    assert audit.find(store, "a_a").total == 0
    assert audit.find(store, action="group.").total == 2
    assert audit.find(store, action="grou").total == 2
    assert audit.find(store, action="identity.").total == 0
    assert audit.find(store, actor="bo@example.com").total == 0
    assert audit.find(store, subject="dba").items[0].detail == {"claim": None}
    assert audit.find(store, since=NOW).total == 2
    assert audit.find(store, until=NOW).total == 0
