"""What tests of a masked session's other channels share: people with secrets, and a gateway."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from appliance.embedded import PostgresServer
from appliance.entities import MaskingRule, MaskMode, PermissionRole
from appliance.masking.values import Method
from appliance.store import identities, masking_rules
from tests.e2e.held import BO
from tests.harness.gateway import ADMIN, CI, Gateway, running_gateway
from tests.harness.postgres import fresh_database

SSN, OTHER_SSN, CARD = "078-05-1120", "219-09-9961", "4929813726507418"
PAY, BORN = 51834, "1986-02-13"
SECRETS = (SSN, SSN.replace("-", "")[1:], "078-0", "07805", OTHER_SSN, CARD, str(PAY), BORN)

_SCHEMA = f"""
CREATE TABLE people (id int PRIMARY KEY, name text NOT NULL, card text, ssn text UNIQUE,
                     pay int CHECK (pay > 0), born date);
INSERT INTO people VALUES (1, 'Ann', '{CARD}', '{SSN}', {PAY}, '{BORN}'),
                          (2, 'Bert', NULL, '{OTHER_SSN}', NULL, NULL);
CREATE TABLE plain (id int PRIMARY KEY, note text);
INSERT INTO plain VALUES (1, 'a'), (2, 'b');
CREATE TABLE large (id int, filler text);
INSERT INTO large VALUES (1, repeat('y', 3000000));
CREATE TABLE watched (id int);
CREATE TABLE late (id int);
CREATE FUNCTION say(x text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
  RAISE NOTICE 'seen %', x; RAISE WARNING 'w' USING DETAIL = x, HINT = x; RETURN x; END $$;
CREATE FUNCTION fail(x text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION 'no %', x USING DETAIL = x, HINT = x, COLUMN = x, TABLE = x, SCHEMA = x,
    CONSTRAINT = x, DATATYPE = x, ERRCODE = substr(replace(x, '-', ''), 1, 5); END $$;
CREATE FUNCTION run(x text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
  EXECUTE 'select ' || x || ' from'; RETURN x; END $$;
CREATE FUNCTION tell(x text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
  PERFORM pg_notify('news', x); PERFORM set_config('application_name', x, false);
  PERFORM set_config('search_path', x, false); RETURN x; END $$;
CREATE FUNCTION peek() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION 'late %', (SELECT ssn FROM public.people WHERE id = 1); END $$;
CREATE TRIGGER watched BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION peek();
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION peek();
"""
_RULES = (
    ("cards", "public.people.card", Method.PARTIAL, MaskMode.LENIENT),
    ("ids", "public.people.ssn", Method.HASH, MaskMode.LENIENT),
    ("pay", "public.people.pay", Method.REDACT, MaskMode.LENIENT),
    ("birthdays", "public.people.born", Method.ZERO_DATE, MaskMode.STRICT),
)


@pytest.fixture(scope="session")
def people(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway that masks columns of ``people`` for all but ci-nightly; bo approves deletes."""
    directory = tmp_path_factory.mktemp("people")
    with fresh_database(postgres) as database, running_gateway(database, directory) as gateway:
        database.run(_SCHEMA)
        for name, column, method, mode in _RULES:
            rule = MaskingRule(0, name, "shop", (column,), method, None, mode, (f"identity:{CI}",))
            masking_rules.create(gateway.store, ADMIN, datetime.now(UTC), rule)
        gateway.add_identity(BO, "human")
        identities.set_permission_roles(
            gateway.store, ADMIN, datetime.now(UTC), BO, frozenset({PermissionRole.APPROVER})
        )
        gateway.rule("deletes", "approve", commands=("delete",), tables=("public.people",))
        yield gateway


def secrets_in(received: Any) -> list[str]:
    """Return the secrets that can be seen in what a client got."""
    shown = received if isinstance(received, bytes) else str(received).encode()
    return [secret for secret in SECRETS if secret.encode() in shown]
