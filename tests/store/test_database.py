"""Connections, transactions and faults of the store."""

from __future__ import annotations

import stat
import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import peewee
import pytest

from appliance.embedded import SUPERUSER, PostgresServer
from appliance.errors import Invalid, StoreUnavailable
from appliance.store import database, identities
from appliance.store.database import Store, open_store
from appliance.store.identities import IdentitySpec
from appliance.store.migrate import migrate
from appliance.store.models import IdentityRow, SettingRow
from tests.harness.polling import eventually
from tests.harness.postgres import running_server
from tests.store.conftest import BY, NOW


def _names(store: Store) -> list[str]:
    with store.reading():
        return [row.name for row in SettingRow.select().order_by(SettingRow.name)]


def test_a_transaction_is_all_or_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction():
        SettingRow.insert(name="a", value=1).execute()
        raise ZeroDivisionError
    assert _names(store) == []


def test_a_transaction_inside_another_joins_it(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction():
        with store.transaction():
            SettingRow.insert(name="a", value=1).execute()
        raise ZeroDivisionError
    assert _names(store) == []


def test_a_query_outside_of_a_scope_is_an_error(store: Store) -> None:
    with pytest.raises(RuntimeError, match=r"store\.reading"):
        SettingRow.select().count()


def test_two_stores_in_one_process_do_not_mix(store: Store, tmp_path: Path) -> None:
    other = open_store(f"sqlite:///{tmp_path / 'other.db'}")
    migrate(other)
    with store.transaction():
        SettingRow.insert(name="here", value=1).execute()
        with other.transaction():
            SettingRow.insert(name="there", value=1).execute()
    assert (_names(store), _names(other)) == (["here"], ["there"])
    other.close()


def test_a_failed_transaction_leaves_the_connection_usable(store: Store) -> None:
    for _ in range(database._POOL_SIZE + 5):
        with pytest.raises(peewee.IntegrityError), store.transaction():
            for _ in range(2):
                SettingRow.insert(name="a", value=1).execute()
    assert _names(store) == []


def test_writers_in_many_threads_wait_for_each_other(store: Store) -> None:
    def write(worker: int) -> None:
        for turn in range(10):
            with store.transaction():
                count = SettingRow.select().count()
                SettingRow.insert(name=f"{worker}-{turn}", value=count).execute()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(_names(store)) == 80
    if store.is_sqlite:  # BEGIN IMMEDIATE: what was read was still true at the write
        with store.reading():
            values = sorted(row.value for row in SettingRow.select())
        assert values == list(range(80))


def test_consistent_reading_sees_one_moment(store: Store) -> None:
    with store.reading(consistent=True):
        assert SettingRow.select().count() == 0
        thread = threading.Thread(target=_insert, args=(store, "later"))
        thread.start()
        thread.join()
        assert SettingRow.select().count() == 0
    assert _names(store) == ["later"]


def _insert(store: Store, name: str) -> None:
    with store.transaction():
        SettingRow.insert(name=name, value=1).execute()


def test_moments_are_aware_utc_and_sort_by_time(store: Store) -> None:
    oslo = timezone(timedelta(hours=1))
    moments = [
        datetime(2026, 3, 1, 12, 0, tzinfo=oslo),
        datetime(2026, 3, 1, 11, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 3, 1, 10, 59, 59, 999999, tzinfo=UTC),
        datetime(1969, 12, 31, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    ]
    for index, at in enumerate(moments):
        spec = IdentitySpec(f"i{index}", "ci", expires_at=at)
        identities.create(store, BY, NOW, spec)
    with store.reading():
        read = [r.expires_at for r in IdentityRow.select().order_by(IdentityRow.expires_at)]
    assert read == sorted(moments)
    assert all(at.utcoffset() == timedelta(0) for at in read)


def test_a_naive_moment_is_refused(store: Store) -> None:
    spec = IdentitySpec("ci", "ci", expires_at=datetime(2027, 1, 1))
    with pytest.raises(ValueError, match="aware"):
        identities.create(store, BY, NOW, spec)


def test_a_sqlite_store_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "gatepost.db"
    store = open_store(f"sqlite:///{path}")
    migrate(store)
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    store.close()


def test_a_locked_sqlite_store_is_unavailable_not_broken(sqlite_store: Store) -> None:
    impatient = open_store(f"sqlite:///{sqlite_store.path}")
    impatient.database.timeout = 0.05
    with (
        sqlite_store.transaction(),
        pytest.raises(StoreUnavailable) as caught,
        impatient.transaction(),
    ):
        raise AssertionError("the lock was not needed")
    assert "locked" in caught.value.message
    assert caught.value.exit_code == 3
    _insert(impatient, "a")
    assert _names(sqlite_store) == ["a"]
    impatient.close()


def test_a_postgresql_store_that_dies_is_unavailable_and_comes_back_by_itself() -> None:
    with running_server(18) as server:
        store = open_store(_url(server))
        migrate(store)
        _insert(store, "before")
        server.stop()
        with pytest.raises(StoreUnavailable) as caught:
            _insert(store, "lost")
        assert "did not answer" in caught.value.message
        assert "nothing was changed" in caught.value.hint
        with pytest.raises(StoreUnavailable):
            _names(store)
        server.start()
        assert eventually(lambda: _names_or_none(store)) == ["before"]
        store.close()


def _url(server: PostgresServer) -> str:
    return f"postgresql://{SUPERUSER}:{server.password}@{server.host}:{server.port}/postgres"


def _names_or_none(store: Store) -> list[str] | None:
    try:
        return _names(store)
    except StoreUnavailable:
        return None


def test_a_wrong_url_says_what_is_expected() -> None:
    with pytest.raises(Invalid, match="sqlite:///FILE or postgresql://"):
        open_store("mysql://x")


def test_no_password_shows_in_the_store_or_its_errors() -> None:
    store = open_store("postgresql://gatepost:hush-hush@127.0.0.1:1/none")
    assert "hush" not in repr(store)
    with pytest.raises(StoreUnavailable) as caught, store.reading():
        raise AssertionError("there is no server")
    assert "hush" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "gatepost.db"
    path.write_text("this is no database, and long enough to be looked at" * 20)
    with pytest.raises(StoreUnavailable, match="not a database"):
        migrate(open_store(f"sqlite:///{path}"))


@pytest.mark.parametrize("value", ["nul\0inside", "half \ud800", 10**30])
def test_what_no_store_can_hold_finds_nothing_or_is_invalid_but_is_no_fault(
    store: Store, value: str | int
) -> None:
    try:
        assert _find(store, value) is None
    except Invalid as error:
        assert "no store can keep" in error.message
    assert _names(store) == []


def _find(store: Store, value: str | int) -> object:
    column = IdentityRow.name if isinstance(value, str) else IdentityRow.id
    with store.transaction():
        found: object = IdentityRow.get_or_none(column == value)
        return found
