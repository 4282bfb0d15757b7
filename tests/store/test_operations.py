"""Workers, kills, catalogs and the snapshot: what processes tell each other through the store."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from appliance.errors import NotFound
from appliance.identity import credentials
from appliance.sealing import Sealer
from appliance.store import catalogs, grants, kills, snapshots, targets, workers
from appliance.store.database import Store
from appliance.store.models import CredentialRow, GroupRow, IdentityRow, MembershipRow
from appliance.store.workers import Beat
from tests.store.conftest import BY, NOW

SECOND = timedelta(seconds=1)


def test_a_beat_says_who_lives_with_which_version(store: Store) -> None:
    workers.beat(store, NOW, Beat("host/proxy-1", 11, 3, 0))
    workers.beat(store, NOW + SECOND, Beat("host/proxy-1", 11, 4, 7))
    workers.beat(store, NOW, Beat("host/proxy-2", 12, 3, 1))
    one, two = workers.live(store, NOW + SECOND)
    assert (one.name, one.started_at, one.seen_at) == ("host/proxy-1", NOW, NOW + SECOND)
    assert (one.version, one.sessions, two.version) == (4, 7, 3)


def test_a_worker_that_is_silent_or_gone_is_not_waited_for(store: Store) -> None:
    workers.beat(store, NOW, Beat("a", 1, 1, 0))
    workers.beat(store, NOW, Beat("b", 2, 1, 0))
    workers.gone(store, "a", 99)
    workers.gone(store, "b", 2)
    assert [w.name for w in workers.live(store, NOW)] == ["a"]
    assert workers.live(store, NOW + workers.ALIVE) == []


def test_a_restarted_worker_replaces_its_old_row(store: Store) -> None:
    workers.beat(store, NOW, Beat("a", 1, 5, 3))
    workers.beat(store, NOW + SECOND, Beat("a", 2, 6, 0))
    (found,) = workers.live(store, NOW + SECOND)
    assert (found.pid, found.started_at) == (2, NOW + SECOND)


def test_a_kill_is_asked_for_once_and_done_once(store: Store) -> None:
    kills.request(store, BY, NOW, "s1", "runs wild")
    kills.request(store, BY, NOW, "s1")
    kills.request(store, BY, NOW, "s2")
    assert [(k.session_id, k.requested_by, k.reason) for k in kills.open(store)] == [
        ("s1", "ana@example.com", "runs wild"),
        ("s2", "ana@example.com", ""),
    ]
    kills.done(store, NOW, "s1")
    assert [k.session_id for k in kills.open(store)] == ["s2"]
    assert kills.is_done(store, "s1")
    assert not kills.is_done(store, "s2")
    kills.request(store, BY, NOW + timedelta(hours=2), "s3")
    assert [k.session_id for k in kills.open(store)] == ["s3"], "nobody had s2"


def test_a_catalog_is_kept_per_database_and_only_a_new_one_counts(shop: Store) -> None:
    data = b'{"relations": [' + b"1, " * 10_000 + b"1]}"
    assert catalogs.get(shop, "shop", "shop") is None
    assert catalogs.put(shop, NOW, "shop", "shop", data)
    assert not catalogs.put(shop, NOW + SECOND, "shop", "shop", data)
    found = catalogs.get(shop, "shop", "shop")
    assert found is not None
    assert (found.data, found.read_at) == (data, NOW + SECOND)
    assert catalogs.digest(shop, "shop", "shop") == found.digest
    assert catalogs.put(shop, NOW, "shop", "other", b"{}")
    assert catalogs.put(shop, NOW, "shop", "shop", b"{}")
    changed = catalogs.get(shop, "shop", "shop")
    assert changed is not None
    assert changed.digest != found.digest
    with pytest.raises(NotFound):
        catalogs.put(shop, NOW, "crm", "crm", b"{}")
    targets.delete(shop, BY, NOW, "shop")
    assert catalogs.get(shop, "shop", "other") is None


def test_two_workers_may_put_the_same_catalog_at_once(shop: Store) -> None:
    failures: list[BaseException] = []
    start = threading.Barrier(4)

    def put(number: int) -> None:
        try:
            start.wait()
            catalogs.put(shop, NOW, "shop", "shop", b"%d" % number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=put, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert catalogs.get(shop, "shop", "shop") is not None


def test_a_snapshot_of_5000_identities_takes_thirteen_queries_at_most(
    shop: Store, sealer: Sealer
) -> None:
    credentials.issue(shop, BY, NOW, sealer, "ci-nightly")
    grants.create(shop, BY, NOW, grants.GrantSpec("group:dba", "shop", "app_ro"))
    _fill(shop, 5000)
    queries: list[str] = []
    shop.database.query_hooks.append(lambda event: queries.append(event.sql))
    snapshot = snapshots.load(shop, NOW)
    assert len(snapshot.identities) == 5003
    assert snapshot.identities["bulk-4999"].groups == {"dba"}
    assert snapshot.identities["bulk-4999"].credentials[0].expires_at == NOW + timedelta(days=1)
    assert snapshot.identities["bulk-4999"].owner == "ana@example.com"
    assert len(queries) <= 13


def _fill(store: Store, count: int) -> None:
    with store.transaction():
        ana = IdentityRow.get(IdentityRow.name == "ana@example.com").id
        dba = GroupRow.get(GroupRow.name == "dba").id
        names = [f"bulk-{n}" for n in range(count)]
        for part in (names[i : i + 500] for i in range(0, count, 500)):
            IdentityRow.insert_many(
                [
                    {
                        "name": name,
                        "kind": "ci",
                        "owner": ana,
                        "sources": ["10.0.0.0/8"],
                        "created_by": "t",
                        "created_at": NOW,
                    }
                    for name in part
                ]
            ).execute()
        ids = [i for (i,) in IdentityRow.select(IdentityRow.id).tuples() if i > 3]
        for part_ids in (ids[i : i + 500] for i in range(0, count, 500)):
            MembershipRow.insert_many([{"group": dba, "identity": i} for i in part_ids]).execute()
            CredentialRow.insert_many(
                [
                    {
                        "identity": i,
                        "verifier": "SCRAM-SHA-256$4096:AA==$AA==:AA==",
                        "created_by": "t",
                        "created_at": NOW,
                        "expires_at": NOW + timedelta(days=1),
                    }
                    for i in part_ids
                ]
            ).execute()
