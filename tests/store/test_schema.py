"""The migrations make exactly the tables that the models describe, on both stores."""

from __future__ import annotations

import threading
from pathlib import Path

import peewee
import pytest
from playhouse.schema_diff import diff_models

import migrations
from appliance.errors import StoreUnavailable
from appliance.store.approval_models import APPROVAL_MODELS
from appliance.store.database import Store, open_store
from appliance.store.masking_models import MASKING_MODELS
from appliance.store.migrate import available, is_empty, migrate, status
from appliance.store.models import CONFIG_MODELS, VersionRow
from appliance.store.outbox import OutboxRow
from appliance.store.profile_models import PROFILE_MODELS
from appliance.store.record_models import RECORD_MODELS

MODELS = [
    *CONFIG_MODELS,
    *RECORD_MODELS,
    *PROFILE_MODELS,
    *APPROVAL_MODELS,
    *MASKING_MODELS,
    OutboxRow,
]


def test_migrations_and_models_agree(store: Store) -> None:
    with store.reading():
        difference = diff_models(store.database, MODELS)
    assert str(difference) == ""


def test_columns_have_the_types_and_nulls_of_the_models(store: Store) -> None:
    with store.reading():
        for model in MODELS:
            columns = {c.name: c for c in store.database.get_columns(model._meta.table_name)}
            for field in model._meta.sorted_fields:
                column = columns[field.column_name]
                assert column.null is field.null, (model, field.column_name)
                wanted = store.database._field_types.get(field.field_type, field.field_type)
                if not isinstance(field, peewee.ForeignKeyField | peewee.AutoField):
                    assert column.data_type.lower() == wanted.lower(), (model, column)


def test_migrating_twice_does_nothing_the_second_time(store: Store) -> None:
    assert migrate(store) == ()
    assert [m.name for m in status(store)] == list(available())
    assert all(m.applied_at is not None and m.applied_at.tzinfo for m in status(store))
    with store.reading():
        assert VersionRow.select().count() == 1


def test_every_migration_can_be_found_in_the_installed_package() -> None:
    assert available()[:2] == ("0001_initial", "0002_recording")
    assert (Path(migrations.__file__).parent / "0001_initial.py").is_file()


def test_an_unmigrated_store_says_what_to_run(empty_store_url: str) -> None:
    store = open_store(empty_store_url)
    try:
        assert is_empty(store)
        with pytest.raises(StoreUnavailable) as caught, store.reading():
            VersionRow.get()
        assert "gatepost migrate" in caught.value.hint
    finally:
        store.close()


def test_several_processes_may_migrate_at_once(empty_store_url: str) -> None:
    stores = [open_store(empty_store_url) for _ in range(4)]
    applied: list[tuple[str, ...]] = []
    failures: list[BaseException] = []
    start = threading.Barrier(len(stores))

    def run(store: Store) -> None:
        try:
            start.wait()
            applied.append(migrate(store))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert not failures
    assert sorted(applied)[:3] == [(), (), ()]
    assert sorted(applied)[3] == available()


def test_a_store_of_a_newer_gatepost_is_refused(store: Store) -> None:
    with store.transaction():
        store.database.execute_sql(
            "INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '2030-01-01')"
        )
    with pytest.raises(StoreUnavailable, match="newer Gatepost"):
        migrate(store)
