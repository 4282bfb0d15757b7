-- What a dump has to carry over besides psql_schema.sql.
SET search_path = play;
INSERT INTO customers (name, note) SELECT 'customer ' || i, jsonb_build_object('i', i)
    FROM generate_series(1, 3000) i;
CREATE MATERIALIZED VIEW best AS SELECT * FROM big_spenders WITH DATA;
CREATE RULE no_delete AS ON DELETE TO events DO INSTEAD NOTHING;
CREATE DOMAIN percent AS numeric CHECK (VALUE BETWEEN 0 AND 100);
CREATE AGGREGATE product(int) (sfunc = int4mul, stype = int, initcond = '1');
CREATE TABLE "Odd ""name""" (id int, "a b" percent, blob bytea, g int GENERATED ALWAYS AS (id * 2)
    STORED, EXCLUDE USING btree (id WITH =));
INSERT INTO "Odd ""name""" VALUES (1, 99.5, '\x00ff5c0a');
ALTER TABLE customers ENABLE ROW LEVEL SECURITY;
CREATE POLICY everything ON customers USING (true);
CREATE FUNCTION touched() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touched();
