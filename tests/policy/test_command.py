"""``gatepost policy test`` as a shell user sees it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.config import config_from_environment
from appliance.entities import MaskingRule, PolicyRule
from appliance.masking.values import Method
from appliance.sealing import Sealer, load_master_key
from appliance.store import catalogs, grants, identities, masking_rules, rules, targets
from appliance.store.actors import Actor
from appliance.store.database import Store
from appliance.store.grants import GrantSpec
from appliance.store.identities import IdentitySpec
from appliance.store.targets import TargetSpec
from tests.harness.postgres import Database
from tests.harness.shell import Done, gatepost
from tests.harness.store import migrated

Run = Callable[..., Done]
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BY = Actor("ana@example.com", "shell")
DDL = PolicyRule(
    name="no-ddl-from-machines",
    action="block",
    who=("kind:ci",),
    commands=("ddl", "dcl"),
    message="schema changes go through the migration pipeline",
)


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("GATEPOST_")},
        "GATEPOST_DATA_DIR": str(tmp_path / "data"),
    }


@pytest.fixture
def store(environ: dict[str, str], database: Database) -> Store:
    """A store with one target (a real one), one identity of each sort, a grant and a rule."""
    config = config_from_environment(environ)
    (config.data_dir).mkdir(parents=True, exist_ok=True)
    opened = migrated(config.store_url)
    database.run("CREATE TABLE public.orders (id int); CREATE VIEW v AS SELECT * FROM orders")
    server = database.server
    spec = TargetSpec("shop", server.host, database.name, server.port, "disable", "production")
    targets.create(opened, BY, NOW, spec)
    sealer = Sealer(load_master_key(config))
    role, secret = database.ro.name, database.ro.password
    targets.put_role(opened, BY, NOW, "shop", role, sealer=sealer, secret=secret)
    identities.create(opened, BY, NOW, IdentitySpec("ci-nightly", "ci"))
    identities.create(opened, BY, NOW, IdentitySpec("ana@example.com", "human"))
    grants.create(opened, BY, NOW, GrantSpec("identity:ci-nightly", "shop", role))
    rules.create(opened, BY, NOW, DDL)
    return opened


@pytest.fixture
def policy_test(environ: dict[str, str], store: Store) -> Run:
    def run(*arguments: str, as_: str = "ci-nightly", text: str = "") -> Done:
        words = ("policy", "test", "--as", as_, "--target", "shop", *arguments)
        return gatepost(environ, *words, text=text)

    return run


def test_an_allowed_statement_exits_0_with_its_effects(policy_test: Run) -> None:
    done = policy_test("SELECT * FROM v", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["verdict"], document["rule"]) == ("allow", "default")
    assert [(one["class"], one["object"]) for one in document["effects"]] == [
        ("select", "public.v"),
        ("select", "public.orders"),
    ]
    assert document["unknown"] == ""
    assert document["masks"] == []


def test_a_blocked_statement_exits_1_and_shows_what_the_client_reads(policy_test: Run) -> None:
    done = policy_test("DROP TABLE orders")
    assert done.returncode == 1
    assert "block, by no-ddl-from-machines" in done.stdout
    assert (
        'ERROR:  gatepost: blocked by rule "no-ddl-from-machines": '
        "schema changes go through the migration pipeline"
    ) in done.stdout
    assert 'HINT:  Ask an admin of Gatepost about rule "no-ddl-from-machines".' in done.stdout
    document = json.loads(policy_test("DROP TABLE orders", "--json").stdout)
    assert (document["verdict"], document["rule"]) == ("block", "no-ddl-from-machines")


def test_a_slip_of_the_pen_reads_as_the_target_would_say_it(policy_test: Run, store: Store) -> None:
    for text, message in (
        ("selec 1", 'syntax error at or near "selec"'),
        ("SELECT * FROM ordrs", 'relation "ordrs" does not exist'),
    ):
        done = policy_test(text)
        assert done.returncode == 1
        assert f"ERROR:  {message}" in done.stdout, done.stdout
        hint = "HINT:  gatepost: what cannot be known is refused by no-ddl-from-machines."
        assert hint in done.stdout


def test_nothing_runs_on_the_target(policy_test: Run, database: Database) -> None:
    policy_test("DROP TABLE orders /* only a policy test */")
    policy_test("DELETE FROM orders")
    assert database.run("SELECT count(*) FROM orders") == [(0,)]
    assert "only a policy test" not in database.log()  # other tests share the server


def test_the_statement_may_come_from_stdin(policy_test: Run) -> None:
    assert policy_test("-", text="SELECT 1;\nCREATE TABLE t (a int)\n").returncode == 1
    assert policy_test("-", text="SELECT 1").returncode == 0


def test_the_stored_catalog_is_used_and_refreshed_when_it_is_too_old(
    policy_test: Run, store: Store, database: Database
) -> None:
    catalogs.put(store, NOW, "shop", database.name, b'{"version": 180000}')
    done = policy_test("SELECT * FROM v", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["unknown"] == ""


def test_a_target_that_is_away_exits_3_only_if_its_catalog_is_needed(
    policy_test: Run, store: Store, database: Database, environ: dict[str, str]
) -> None:
    spec = TargetSpec("shop", "127.0.0.1", database.name, 1, "disable", "production")
    targets.update(store, BY, NOW, "shop", spec)
    role = database.ro.name
    sealer = Sealer(load_master_key(config_from_environment(environ)))
    targets.put_role(store, BY, NOW, "shop", role, sealer=sealer, secret="x")
    done = policy_test("SELECT * FROM orders")
    assert done.returncode == 3
    assert "refused the connection" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert policy_test("SET work_mem = '1MB'").returncode == 0


@pytest.mark.parametrize(
    ("as_", "arguments", "says"),
    [
        ("nobody", (), "there is no identity nobody"),
        ("ana@example.com", (), "has no grant on shop"),
        ("ci-nightly", ("--role", "gone"), "has no upstream role gone"),
        ("ci-nightly", ("--target", "gone"), "there is no target gone"),
    ],
)
def test_a_wrong_name_exits_2_in_one_line(
    policy_test: Run, as_: str, arguments: tuple[str, ...], says: str
) -> None:
    done = policy_test("SELECT 1", *arguments, as_=as_)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_somebody_without_a_grant_can_be_imagined_in_a_role(
    policy_test: Run, database: Database
) -> None:
    done = policy_test("CREATE TABLE t (a int)", "--role", database.ro.name, as_="ana@example.com")
    assert done.returncode == 0, done.stderr


def test_masked_outputs_are_listed_with_their_lineage(policy_test: Run, store: Store) -> None:
    rule = MaskingRule(0, "ids", "shop", ("public.orders.id",), Method.HASH)
    masking_rules.create(store, BY, NOW, rule)
    done = policy_test("SELECT id AS number FROM v", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["masks"] == [
        {
            "output": "number",
            "columns": ["public.orders.id"],
            "rule": "ids",
            "method": "hash",
            "how": "public.orders.id through view public.v, masked by ids (hash)",
        }
    ]
    done = policy_test("SELECT id AS number, id + 1 AS next FROM v")
    assert (
        "output number: public.orders.id through view public.v, masked by ids (hash)\n"
        "output next: computed from public.orders.id through view public.v and operator +, "
        "replaced whole by ids\n"
        "errors and notices of it: PostgreSQL's own words, without values\n"
    ) in done.stdout
    done = policy_test("DO 'begin end'")
    assert done.returncode == 1
    assert done.stdout.startswith("block, by builtin:masking: ")
