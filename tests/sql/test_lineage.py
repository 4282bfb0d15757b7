"""Where outputs come from: every row of the corpus, and real values on a real server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import psycopg
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

FIXTURES = Path(__file__).parents[1] / "fixtures" / "masking"
CORPORA = {
    name: yaml.safe_load((FIXTURES / f"{name}.yaml").read_text())
    for name in ("lineage", "lineage_attacks")
}
CASES = [
    (name, mode, sql)
    for name, c in CORPORA.items()
    for mode in ("strict", "lenient")
    for sql in c[mode]
]
SESSION = NameContext(("pg_catalog", "public"), "app_ro", frozenset())
RUN = ("select", "with", "values", "table", "insert", "update", "delete", "merge")
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
def masked(postgres: PostgresServer) -> Iterator[dict[str, Database]]:
    with ExitStack() as stack:
        databases = {name: stack.enter_context(fresh_database(postgres)) for name in CORPORA}
        for name, database in databases.items():
            database.run(CORPORA[name]["schema"])
        yield databases


@pytest.fixture(scope="module")
def known(masked: dict[str, Database]) -> dict[str, Catalog]:
    return {name: read_catalog(database) for name, database in masked.items()}


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


@pytest.mark.parametrize(("name", "mode", "sql"), CASES)
def test_a_statement_shows_what_the_corpus_says(
    known: dict[str, Catalog], name: str, mode: str, sql: str
) -> None:
    found = said(planned(sql, known[name], strict=mode == "strict"))
    assert found == str(CORPORA[name][mode][sql] or "")


@pytest.mark.parametrize("name", list(CORPORA))
def test_what_is_called_clean_holds_no_masked_value(
    known: dict[str, Catalog], masked: dict[str, Database], name: str
) -> None:
    ran = 0
    with masked[name].connect() as connection:
        for sql in CORPORA[name]["lenient"]:
            result = planned(sql, known[name])
            if result.refusal or result.outputs is None or not sql.lower().startswith(RUN):
                continue
            with connection.transaction(force_rollback=True):
                try:
                    with connection.transaction():
                        cursor = connection.execute(sql.encode())
                except psycopg.Error:  # what the server does not run shows nothing
                    continue
                ran += 1
                if cursor.description is None:
                    continue
                assert len(cursor.description) == len(result.outputs), sql
                for row in cursor.fetchall():
                    for output, value in zip(result.outputs, row, strict=True):
                        if not output.masks:
                            assert not any(c in str(value).upper() for c in CANARIES), (sql, output)
    assert ran > 70
