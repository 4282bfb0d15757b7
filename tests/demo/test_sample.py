"""The demo's sample: its file is valid, its database loads, its history makes sense."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import yaml

from appliance.declarative.reading import read_document
from appliance.demo import history, sample
from appliance.embedded import PostgresServer
from tests.harness.postgres import running_server

NOW = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


@pytest.fixture(scope="module", params=[18, 16])
def shop(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server of one's own: the sample's roles have fixed names."""
    with running_server(request.param) as server:
        with server.connect() as connection:
            connection.execute("CREATE DATABASE shop")
        with server.connect("shop") as connection:
            connection.execute(sample.schema().encode())
        yield server


def test_the_shop_has_plausible_data(shop: PostgresServer) -> None:
    with shop.connect("shop") as connection:
        for table, least in {
            "customers": 1000,
            "products": 100,
            "orders": 5000,
            "order_items": 10_000,
            "payments": 3000,
            "customer_overview": 1000,
            "revenue_by_day": 300,
        }.items():
            row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
            assert row is not None and int(str(row[0])) >= least, table
        row = connection.execute(
            "SELECT count(*) FROM pg_inherits WHERE inhparent = 'payments'::regclass"
        ).fetchone()
        assert row is not None and int(str(row[0])) >= 5


def test_the_reading_role_only_reads(shop: PostgresServer) -> None:
    with shop.connect("shop") as connection:
        connection.execute("SET ROLE app_ro")
        connection.execute("SELECT * FROM customer_overview LIMIT 1")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM orders")


def test_every_statement_of_the_history_runs_on_the_server_itself(shop: PostgresServer) -> None:
    with shop.connect("shop") as connection:
        for visit in history.plan(NOW):
            for step in visit.steps:
                if step.text.startswith("ALTER"):  # the gateway refuses these: once is enough
                    continue
                if step.text.startswith("COPY"):
                    with connection.cursor() as cursor, cursor.copy(step.text.encode()) as rows:
                        assert list(rows)
                else:
                    connection.execute(step.text.encode(), step.parameters or None)


def test_the_configuration_is_valid_and_every_password_is_in_the_environment(
    tmp_path: Path,
) -> None:
    path = tmp_path / "gatepost.yml"
    sample.write_configuration(path, 5433, 1026)
    read_document(path.read_bytes(), str(path))
    written = yaml.safe_load(path.read_text())
    wanted = {
        entry["password_env"]
        for holder in (*written["identities"], *written["targets"])
        for entry in (*holder.get("credentials", ()), *holder.get("roles", ()))
    }
    assert wanted == set(sample.Sample().environment())
    assert written["targets"][0]["port"] == 5433
    assert written["settings"]["smtp"]["port"] == 1026
    assert {entry["name"] for entry in written["identities"]} == {
        *sample.PEOPLE,
        *sample.MACHINES,
    }


def test_no_two_demos_share_a_password() -> None:
    one, other = sample.Sample(), sample.Sample()
    assert not {*one.environment().values(), one.admin} & {
        *other.environment().values(),
        other.admin,
    }


def test_the_history_is_in_order_ends_before_now_and_is_the_same_each_time() -> None:
    visits = history.plan(NOW)
    assert visits == history.plan(NOW)
    assert [visit.at for visit in visits] == sorted(visit.at for visit in visits)
    assert visits[0].at >= NOW - timedelta(days=history.DAYS + 1)
    for visit in visits:
        assert visit.at + timedelta(seconds=sum(s.after_s for s in visit.steps)) < NOW


def test_the_history_has_what_reviews_look_for() -> None:
    visits = history.plan(NOW)
    last = {visit.identity: visit.at for visit in visits}
    assert "inventory-sync" not in last, "one credential was never used"
    assert last["legacy-export"] < NOW - timedelta(days=30), "one is stale"
    assert last["ci-nightly"] > NOW - timedelta(days=2)
    refused = [s.text for visit in visits for s in visit.steps if "ALTER TABLE" in s.text]
    assert refused, "and one was refused"
