"""Where outputs come from: every row of the corpus, and real values on a real server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from appliance.embedded import PostgresServer
from appliance.masking.plan import plan
from appliance.masking.values import ColumnMask, MaskPlan, Method
from appliance.sql.catalog import Catalog
from appliance.sql.facts import NameContext
from appliance.sql.lineage import lineage
from appliance.sql.native import PgQuery
from tests.harness.postgres import Database, fresh_database
from tests.sql.conftest import read_catalog

FIXTURE = Path(__file__).parents[1] / "fixtures" / "masking" / "lineage.yaml"
CORPUS = yaml.safe_load(FIXTURE.read_text())
SESSION = NameContext(("pg_catalog", "public"), "app_ro", frozenset())
CANARIES = ("QZANNE", "QZBERT")


class Masks:
    """Masks of ssn and email of customers, as a rule would give them."""

    def __init__(self, catalog: Catalog, *, strict: bool = False) -> None:
        self._catalog = catalog
        self._strict = strict
        relation = catalog.relation("public", "customers")
        assert relation is not None and relation.columns is not None
        self._columns = {
            (relation.oid, column.number): self._mask(column.name)
            for column in relation.columns
            if column.name in ("ssn", "email")
        }
        self._oid = relation.oid

    def _mask(self, name: str) -> ColumnMask:
        column = f"public.customers.{name}"
        return ColumnMask(f"hide-{name}", Method.REDACT, column, is_strict=self._strict)

    @property
    def is_empty(self) -> bool:
        return False

    def column(self, oid: int, attnum: int) -> ColumnMask | None:
        return self._columns.get((oid, attnum))

    def relation(self, oid: int) -> Mapping[str, ColumnMask]:
        if oid != self._oid:
            return {}
        return {mask.column.rpartition(".")[2]: mask for mask in self._columns.values()}


@pytest.fixture(scope="module")
def masked(postgres: PostgresServer) -> Iterator[Database]:
    with fresh_database(postgres) as database:
        database.run(CORPUS["schema"])
        yield database


@pytest.fixture(scope="module")
def known(masked: Database) -> Catalog:
    return read_catalog(masked)


def planned(sql: str, catalog: Catalog, *, strict: bool = False) -> MaskPlan:
    found = lineage(sql, catalog, SESSION, PgQuery(holds_lock=True))
    return plan(found, Masks(catalog, strict=strict))


def said(result: MaskPlan) -> str:
    if result.refusal:
        return "refused"
    if result.outputs is None:
        return "all"
    words = []
    for output in result.outputs:
        if not output.masks:
            words.append("clean")
        elif output.is_plain:
            words.append(output.masks[0].column.rpartition(".")[2])
        else:
            words.append("computed")
    return " ".join(words)


@pytest.mark.parametrize("sql", list(CORPUS["lenient"]))
def test_a_statement_shows_what_the_corpus_says(known: Catalog, sql: str) -> None:
    assert said(planned(sql, known)) == str(CORPUS["lenient"][sql] or "")


@pytest.mark.parametrize("sql", list(CORPUS["strict"]))
def test_strict_masks_refuse_all_but_plain_outputs(known: Catalog, sql: str) -> None:
    assert said(planned(sql, known, strict=True)) == str(CORPUS["strict"][sql] or "")


@pytest.mark.parametrize("sql", list(CORPUS["lenient"]))
def test_what_is_called_clean_holds_no_masked_value(
    known: Catalog, masked: Database, sql: str
) -> None:
    result = planned(sql, known)
    if result.refusal or result.outputs is None:
        return
    with masked.connect() as connection, connection.transaction(force_rollback=True):
        if not sql.lower().startswith(
            ("select", "with", "values", "table", "insert", "update", "delete", "merge")
        ):
            return
        cursor = connection.execute(sql)
        if cursor.description is None:
            return
        assert len(cursor.description) == len(result.outputs)
        for row in cursor.fetchall():
            for output, value in zip(result.outputs, row, strict=True):
                if not output.masks:
                    assert not any(canary in str(value).upper() for canary in CANARIES), output
