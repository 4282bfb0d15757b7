"""Make where attacks are tried: a target with the shop, and a gateway that hides its values."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.embedded import (
    Installation,
    PostgresServer,
    ServerOptions,
    temporary_directory,
)
from appliance.store import masking_rules, targets
from tests.e2e.masked.attack import FOLDER
from tests.e2e.masked.lab import VALUES, Lab, rule_of
from tests.harness.gateway import ADMIN, ANA, CI, Gateway, running_gateway
from tests.harness.postgres import fresh_database

SCHEMA = (FOLDER / "schema.sql").read_text()
_SETTINGS = {
    "max_prepared_transactions": "4",
    "max_connections": "60",
    "wal_level": "logical",
    "autovacuum": "off",
}
_BUILTIN = frozenset({"server-files", "programs", "set-role", "role-powers", "foreign-servers"})


@contextlib.contextmanager
def running_lab(
    directory: Path,
    programs: Installation,
    *,
    with_gateway: bool = True,
    contributed: Installation | None = None,
) -> Iterator[Lab]:
    """Run a target of its own and, unless it is to be tried without, a gateway that masks.

    ``contributed``: another PostgreSQL to run, with the extensions of contrib.sql.
    """
    settings = _SETTINGS
    if contributed is not None:
        settings = settings | {"shared_preload_libraries": "pg_stat_statements"}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(
            PostgresServer(contributed or programs, temporary_directory(), ServerOptions(settings))
        )
        database = stack.enter_context(fresh_database(server))
        database.run(SCHEMA)
        if contributed is not None:
            with server.connect(database.name) as admin:
                admin.execute((FOLDER / "contrib.sql").read_bytes())
        gateway = None
        if with_gateway:
            gateway = stack.enter_context(running_gateway(database, directory))
            _configure(gateway)
        lab = Lab(database, gateway, programs)
        stack.callback(lab.close)
        lab.open()
        yield lab


@pytest.fixture(scope="session")
def masking_lab(tmp_path_factory: pytest.TempPathFactory, programs: Installation) -> Iterator[Lab]:
    """A shop whose values are canaries, and a gateway that hides them; made once."""
    with running_lab(tmp_path_factory.mktemp("lab"), programs) as running:
        yield running


def _configure(gateway: Gateway) -> None:
    """Let the attacker be both the owner and the superuser; hide what canaries.yaml says."""
    store, now = gateway.store, datetime.now(UTC)
    targets.put_role(
        store,
        ADMIN,
        now,
        "shop",
        "postgres",
        sealer=gateway.sealer,
        secret=gateway.database.server.password,
    )
    gateway.drop_grants()
    for role in (gateway.database.owner.name, "postgres"):
        gateway.grant(
            f"identity:{ANA}", role, fastpath=True, replication=True, allow_builtin=_BUILTIN
        )
        gateway.grant(f"identity:{CI}", role)
    for rule in VALUES["masked"]:
        masking_rules.create(
            store,
            ADMIN,
            now,
            rule_of(rule["name"], rule["method"], rule["columns"], rule.get("mode", "lenient")),
        )
    gateway.settle()
