"""Columns that triggers, rules and defaults fill from masked ones count as computed from them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance.embedded import PostgresServer
from appliance.entities import MaskingRule
from appliance.masking.resolving import Columns, resolve
from appliance.masking.values import Method
from appliance.sql.catalog import CATALOG_SQL, Catalog
from tests.harness.postgres import fresh_database

RULE = MaskingRule(0, "cards", "shop", ("*.*.card",), Method.PARTIAL)

SCHEMA = """
CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  part text := right(NEW.card, 4);
  who text := current_user;
BEGIN
  NEW.last4 := part;
  NEW.by := who;
  NEW.changed := now();
  NEW.version := OLD.version + 1;
  NEW.slug := slug(NEW.title);
  SELECT NEW.card INTO NEW.copied;
  NEW.known := lookup(NEW.id);
  SELECT count(*) INTO NEW.total FROM orders o WHERE o.id = NEW.id;
  RETURN NEW;
END $$;
CREATE FUNCTION slug(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
  $$ BEGIN RETURN lower(t); END $$;
CREATE TABLE filled (id int, card text, title text, last4 text, "by" text, changed timestamptz,
  version int, slug text, copied text, known text, total int);
CREATE FUNCTION lookup(i int) RETURNS text LANGUAGE plpgsql AS
  $$ DECLARE c text; BEGIN SELECT card INTO c FROM filled WHERE id = i; RETURN c; END $$;
CREATE TRIGGER t BEFORE INSERT OR UPDATE ON filled FOR EACH ROW EXECUTE FUNCTION fill();

CREATE TABLE audited (id int, card text);
CREATE TABLE log (at timestamptz, op text, id int, was text, whole jsonb, day date);
CREATE TABLE counts (day date PRIMARY KEY, n int, latest text);
CREATE FUNCTION write_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO log VALUES (now(), TG_OP, NEW.id, OLD.card, to_jsonb(NEW));
  INSERT INTO counts (day, n, latest) VALUES (current_date, 1, NEW.card)
    ON CONFLICT (day) DO UPDATE SET n = counts.n + 1, latest = excluded.latest;
  PERFORM remember(NEW.card);
  RETURN NULL;
END $$;
CREATE TABLE remembered (n int DEFAULT 0, what text);
CREATE FUNCTION remember(c text) RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO remembered (what) VALUES (c); UPDATE remembered SET n = n + 1; END $$;
CREATE TRIGGER t AFTER UPDATE ON audited FOR EACH ROW EXECUTE FUNCTION write_log();

CREATE TABLE opaque (id int, card text, note text);
CREATE FUNCTION row_back() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE r record; BEGIN r := NEW; r.note := r.card; RETURN r; END $$;
CREATE TRIGGER t BEFORE INSERT ON opaque FOR EACH ROW EXECUTE FUNCTION row_back();

CREATE TABLE searched (id int, card text, title text, words tsvector, others tsvector);
CREATE TRIGGER t BEFORE INSERT ON searched FOR EACH ROW EXECUTE FUNCTION
  tsvector_update_trigger(words, 'pg_catalog.english', title, card);
CREATE TRIGGER u BEFORE INSERT ON searched FOR EACH ROW EXECUTE FUNCTION
  tsvector_update_trigger(others, 'pg_catalog.english', title);

CREATE TABLE orders (id int, customer_card text, total int);
CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.customer_card := (SELECT a.card FROM public.audited a WHERE a.id = NEW.id);
  NEW.total := NEW.total * 2;
  RETURN NEW;
END $$;
CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION look();

CREATE TABLE ruled (id int, card text);
CREATE TABLE ruled_log (what text);
CREATE RULE r AS ON UPDATE TO ruled DO ALSO INSERT INTO ruled_log VALUES (OLD.card);

CREATE FUNCTION first_card() RETURNS text LANGUAGE sql AS 'SELECT card FROM audited LIMIT 1';
CREATE FUNCTION harmless() RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$;
CREATE TABLE defaulted (id int, a text DEFAULT first_card(), b text DEFAULT harmless());

CREATE TABLE rows (id int, card text);
CREATE TABLE row_log (a jsonb, b jsonb, n int, fetched text, said text, failed text);
CREATE FUNCTION log_rows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE v record; cards CURSOR FOR SELECT card FROM rows; c text; e text;
BEGIN
  OPEN cards; FETCH NEXT FROM cards INTO c; CLOSE cards;
  INSERT INTO row_log (fetched, said) VALUES (c, e);
  PERFORM 1 / 0;
  INSERT INTO row_log (a, n) SELECT to_jsonb(r), count(*) FROM rows r GROUP BY r.id, r;
  SELECT s INTO v FROM (SELECT card FROM rows) s;
  UPDATE row_log SET b = to_jsonb(v), n = row_log.n + 1;
  RETURN NULL;
EXCEPTION WHEN others THEN
  INSERT INTO row_log (failed) VALUES (SQLERRM);
  RETURN NULL;
END $$;
CREATE TRIGGER t AFTER INSERT ON rows FOR EACH STATEMENT EXECUTE FUNCTION log_rows();

CREATE TABLE harmless_trigger (id int, card text, changed timestamptz, n int);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.changed = clock_timestamp();
  IF NEW.card IS NULL THEN NEW.n := nextval('s'); END IF;
  RAISE NOTICE 'card %', NEW.card;
  RETURN NEW;
END $$;
CREATE TRIGGER t BEFORE UPDATE ON harmless_trigger FOR EACH ROW EXECUTE FUNCTION touch();

CREATE TABLE said (id int, card text);
CREATE TABLE queries (q text, at timestamptz);
CREATE FUNCTION note_query() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN INSERT INTO queries VALUES (current_query(), now()); RETURN NULL; END $$;
CREATE TRIGGER t AFTER INSERT ON said FOR EACH STATEMENT EXECUTE FUNCTION note_query();
"""


@pytest.fixture(scope="module")
def shop(postgres: PostgresServer) -> Iterator[Catalog]:
    with fresh_database(postgres) as database:
        database.run(SCHEMA)
        ((data,),) = database.run(CATALOG_SQL)
        yield Catalog.from_json(str(data).encode())


def computed(catalog: Catalog, *safe: str) -> dict[str, set[str]]:
    """Return the columns that are computed from a masked one, by table."""
    found: dict[str, set[str]] = {}
    for one in resolve(RULE, (), Columns(catalog, safe)):
        if one.is_computed:
            found.setdefault(one.relation, set()).add(one.column)
    return found


def test_what_code_fills_from_a_masked_column_is_computed_from_it(shop: Catalog) -> None:
    assert computed(shop) == {
        "filled": {"last4", "copied", "known"},
        "log": {"was", "whole"},
        "counts": {"latest"},
        "remembered": {"what"},
        "opaque": {"id", "note"},
        "searched": {"words"},
        "orders": {"customer_card"},
        "ruled_log": {"what"},
        "defaulted": {"a"},
        "queries": {"q"},
        "row_log": {"a", "b", "fetched", "failed"},
    }


def test_a_function_that_an_admin_trusts_passes_nothing_on(shop: Catalog) -> None:
    found = computed(shop, "public.write_log", "*.row_back", "public.first_card", "public.lookup")
    assert found.keys() == {"filled", "searched", "orders", "ruled_log", "queries", "row_log"}
    assert found["filled"] == {"last4", "copied"}
