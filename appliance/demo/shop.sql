-- A small web shop: the sample target of `gatepost demo` and of the compose quick start.
-- Every person, card and address is generated here; none is real. Takes about a second.

SELECT setseed(0.42);

CREATE TABLE customers (
    id           int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL,
    email        text NOT NULL UNIQUE,
    phone        text,
    city         text NOT NULL,
    country      char(2) NOT NULL,
    card_number  text,
    ssn          text,
    created_at   timestamptz NOT NULL
);
COMMENT ON TABLE customers IS 'people who have bought something';
COMMENT ON COLUMN customers.card_number IS 'kept for refunds until the payment provider takes over';

INSERT INTO customers (name, email, phone, city, country, card_number, ssn, created_at)
SELECT first || ' ' || last,
       lower(first || '.' || last) || n || '@example.net',
       '+47 400 ' || lpad((n * 7919 % 100000)::text, 5, '0'),
       city, country,
       regexp_replace(body || check_digit, '(....)(....)(....)', '\1 \2 \3 '),
       '900-' || lpad((n % 99 + 1)::text, 2, '0') || '-' || lpad((n * 31 % 10000)::text, 4, '0'),
       now() - random() * interval '720 days'
FROM generate_series(1, 1200) AS n,
     LATERAL (SELECT
         (ARRAY['Ada','Bjorn','Chidi','Dana','Elif','Farid','Greta','Hana','Ivo','Jun','Kofi',
                'Lena','Mateo','Nadia','Oskar','Priya'])[1 + n * 5 % 16] AS first,
         (ARRAY['Abara','Berg','Costa','Dahl','Eriksen','Farah','Gruber','Haddad','Ito','Jansen',
                'Kaya','Lopez','Moreau'])[1 + n * 7 % 13] AS last) AS names,
     LATERAL (SELECT
         (ARRAY['Oslo','Berlin','Lyon','Porto','Gdansk','Turin'])[1 + n % 6] AS city,
         (ARRAY['NO','DE','FR','PT','PL','IT'])[1 + n % 6] AS country) AS places,
     LATERAL (SELECT '400000' || lpad((n % 100)::text, 2, '0') || lpad((n * 104729 % 10000)::text, 4, '0')
         || lpad((n * 15485863::bigint % 1000)::text, 3, '0') AS body) AS cards,
     LATERAL (SELECT (10 - sum(digit * 2 / 10 + digit * 2 % 10) FILTER (WHERE place % 2 = 1) % 10
             + 10 - sum(digit) FILTER (WHERE place % 2 = 0) % 10) % 10 AS check_digit
         FROM (SELECT place, substr(body, place, 1)::int AS digit
               FROM generate_series(1, 15) AS place) AS digits) AS luhn;

CREATE TABLE products (
    id           int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sku          text NOT NULL UNIQUE,
    name         text NOT NULL,
    category     text NOT NULL,
    price        numeric(10, 2) NOT NULL CHECK (price > 0),
    stock        int NOT NULL DEFAULT 0,
    active       boolean NOT NULL DEFAULT true
);
INSERT INTO products (sku, name, category, price, stock, active)
SELECT upper(left(category, 3)) || '-' || lpad(n::text, 4, '0'),
       adjective || ' ' || noun, category,
       round((4 + random() * 240)::numeric, 2), (random() * 400)::int, n % 17 <> 0
FROM generate_series(1, 180) AS n,
     LATERAL (SELECT
         (ARRAY['Folding','Compact','Oak','Steel','Linen','Quiet','Northern','Everyday'])
             [1 + n * 3 % 8] AS adjective,
         (ARRAY['lamp','chair','kettle','shelf','blanket','clock','basket','notebook','bottle'])
             [1 + n * 5 % 9] AS noun,
         (ARRAY['home','kitchen','office','garden'])[1 + n % 4] AS category) AS words;

CREATE TABLE orders (
    id           int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id  int NOT NULL REFERENCES customers,
    status       text NOT NULL CHECK (status IN ('new', 'paid', 'shipped', 'returned', 'cancelled')),
    ordered_at   timestamptz NOT NULL,
    shipped_at   timestamptz
);
INSERT INTO orders (customer_id, status, ordered_at, shipped_at)
SELECT 1 + (random() * 1199)::int, status, ordered_at,
       CASE WHEN status IN ('shipped', 'returned') THEN ordered_at + random() * interval '4 days' END
FROM generate_series(1, 6000) AS n,
     LATERAL (SELECT now() - random() * interval '365 days' + n * interval '0' AS ordered_at,
         (ARRAY['shipped','shipped','shipped','paid','paid','new','returned','cancelled'])
             [1 + n * 11 % 8] AS status) AS drawn;
CREATE INDEX orders_by_customer ON orders (customer_id);
CREATE INDEX orders_by_time ON orders (ordered_at);

CREATE TABLE order_items (
    order_id     int NOT NULL REFERENCES orders ON DELETE CASCADE,
    line         int NOT NULL,
    product_id   int NOT NULL REFERENCES products,
    quantity     int NOT NULL CHECK (quantity > 0),
    unit_price   numeric(10, 2) NOT NULL,
    PRIMARY KEY (order_id, line)
);
INSERT INTO order_items
SELECT o.id, line, p.id, 1 + (o.id + line) % 3, p.price
FROM orders o
CROSS JOIN LATERAL generate_series(1, 1 + o.id % 4) AS line
JOIN products p ON p.id = 1 + (o.id * 13 + line * 29) % 180;

-- One partition a quarter, as a table that only grows would have.
CREATE TABLE payments (
    id           bigint GENERATED ALWAYS AS IDENTITY,
    order_id     int NOT NULL REFERENCES orders,
    amount       numeric(12, 2) NOT NULL,
    method       text NOT NULL,
    paid_at      timestamptz NOT NULL,
    PRIMARY KEY (id, paid_at)
) PARTITION BY RANGE (paid_at);
DO $$
DECLARE
    quarter timestamptz;
BEGIN
    FOR quarter IN
        SELECT generate_series(date_trunc('quarter', now() - interval '15 months'),
                               date_trunc('quarter', now() + interval '3 months'),
                               interval '3 months')
    LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF payments FOR VALUES FROM (%L) TO (%L)',
                       'payments_' || to_char(quarter, 'YYYY"q"Q'),
                       quarter, quarter + interval '3 months');
    END LOOP;
END $$;
INSERT INTO payments (order_id, amount, method, paid_at)
SELECT o.id, sum(i.quantity * i.unit_price),
       (ARRAY['card', 'card', 'invoice', 'transfer'])[1 + o.id % 4], o.ordered_at + interval '5 min'
FROM orders o JOIN order_items i ON i.order_id = o.id
WHERE o.status IN ('paid', 'shipped', 'returned')
GROUP BY o.id;

CREATE VIEW customer_overview AS
SELECT c.id, c.name, c.city, c.country, count(o.id) AS orders, max(o.ordered_at) AS last_order
FROM customers c LEFT JOIN orders o ON o.customer_id = c.id
GROUP BY c.id;

CREATE VIEW revenue_by_day AS
SELECT paid_at::date AS day, count(*) AS payments, sum(amount) AS revenue
FROM payments GROUP BY 1;

CREATE FUNCTION customer_revenue(customer int) RETURNS numeric
LANGUAGE sql STABLE
RETURN (SELECT coalesce(sum(p.amount), 0) FROM public.payments p
        JOIN public.orders o ON o.id = p.order_id WHERE o.customer_id = customer);

CREATE SCHEMA reporting;
CREATE TABLE reporting.nightly_revenue (
    day          date PRIMARY KEY,
    revenue      numeric(14, 2) NOT NULL,
    computed_at  timestamptz NOT NULL DEFAULT now()
);

-- The two roles that the gateway logs in as; their passwords are set by whoever runs this file.
CREATE ROLE app_ro NOLOGIN;
CREATE ROLE app_rw NOLOGIN;
GRANT USAGE ON SCHEMA public, reporting TO app_ro, app_rw;
GRANT SELECT ON ALL TABLES IN SCHEMA public, reporting TO app_ro, app_rw;
GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, reporting TO app_rw;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public, reporting TO app_rw;
ANALYZE;
