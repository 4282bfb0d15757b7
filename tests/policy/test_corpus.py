"""Rules against statements: evasions that must be stopped, harmless ones that must not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance.entities import PolicyRule, Snapshot, SslMode, UpstreamRole
from appliance.policy.trial import Session, imagine, try_statement
from appliance.sql.catalog import Catalog
from appliance.sql.parser import Parser
from appliance.targets import load_catalog
from tests.harness.postgres import fresh_database
from tests.policy.world import grant, machine, snapshot, target

FIXTURES = Path(__file__).parent.parent / "fixtures" / "policy"
FILES = sorted(
    path.name for path in FIXTURES.glob("*.yaml") if path.name.startswith(("evasion", "harmless"))
)


@dataclass(frozen=True, slots=True)
class Row:
    """One statement and what must come of it. ``rule`` "": whichever."""

    policy: str
    sql: str
    verdict: str
    rule: str


def rows(name: str) -> Iterator[Row]:
    document = yaml.safe_load((FIXTURES / name).read_text())
    for entry in document["rows"]:
        entry = {"sql": entry} if isinstance(entry, str) else entry
        verdict = entry.get("verdict", document["verdict"])
        rule = entry.get("rule", document.get("rule", ""))
        yield Row(document["policy"], entry["sql"], verdict, rule)


def policy_rule(entry: dict[str, Any]) -> PolicyRule:
    return PolicyRule(
        **{key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
    )


@pytest.fixture(scope="session")
def catalog(postgres: Any) -> Catalog:
    """The catalog of the shop, as PostgreSQL itself tells it."""
    with fresh_database(postgres) as database:
        database.run((FIXTURES / "schema.sql").read_text())
        role = database.ro
        shop = target(
            host=database.server.host,
            port=database.server.port,
            database=database.name,
            sslmode=SslMode.DISABLE,
            roles=(UpstreamRole(role.name),),
            catalog_role=role.name,
        )
        return load_catalog(shop, database.name, role.password)


@pytest.fixture(scope="session")
def worlds() -> dict[str, Snapshot]:
    """A snapshot for each policy of the corpora."""
    policies = yaml.safe_load((FIXTURES / "policies.yaml").read_text())
    return {
        name: snapshot(
            (machine(),),
            (grant("kind:ci", role="app_rw"), grant("kind:ci", role="app_ro")),
            tuple(policy_rule(entry) for entry in policy["rules"]),
            default_action=policy["default_action"],
        )
        for name, policy in policies.items()
    }


@pytest.fixture(scope="session")
def parser() -> Parser:
    return Parser()


def session(world: Snapshot) -> Session:
    return imagine(world, "ci-nightly", "shop", role="app_rw")


@pytest.mark.parametrize("name", FILES)
def test_every_statement_gets_the_verdict_it_must(
    name: str, worlds: dict[str, Snapshot], catalog: Catalog, parser: Parser
) -> None:
    wrong = []
    for row in rows(name):
        world = worlds[row.policy]
        verdict = try_statement(world, session(world), row.sql, catalog, parser).verdict
        expected = (row.verdict, row.rule or verdict.rule)
        if (verdict.action.value, verdict.rule) != expected:
            wrong.append(f"{row.sql}\n    {verdict.action} by {verdict.rule}, not {expected}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("evasion")])
def test_an_evasion_hides_in_a_script_no_better_than_alone(
    name: str, worlds: dict[str, Snapshot], catalog: Catalog, parser: Parser
) -> None:
    for row in rows(name):
        world = worlds[row.policy]
        for text in (f"SELECT id FROM public.orders;\n{row.sql}", f"BEGIN;;{row.sql}\n;COMMIT"):
            verdict = try_statement(world, session(world), text, catalog, parser).verdict
            assert not verdict.is_allow, text


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith("evasion")])
def test_without_a_catalog_nothing_becomes_more_lenient(
    name: str, worlds: dict[str, Snapshot], parser: Parser
) -> None:
    for row in rows(name):
        world = worlds[row.policy]
        verdict = try_statement(world, session(world), row.sql, None, parser).verdict
        assert not verdict.is_allow, row.sql


def test_the_corpora_are_large_enough_and_say_nothing_twice() -> None:
    evasions = [row for name in FILES if name.startswith("evasion") for row in rows(name)]
    harmless = [row for name in FILES if name.startswith("harmless") for row in rows(name)]
    assert len(evasions) >= 300
    assert len(harmless) >= 150
    for found in (evasions, harmless):
        texts = [(row.policy, row.sql) for row in found]
        assert len(set(texts)) == len(texts)
