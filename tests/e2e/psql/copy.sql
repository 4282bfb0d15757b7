\copy customers (id, name, email) to 'customers.txt'
\copy customers (id, name, note) to 'customers.csv' with (format csv, header)
\copy (select id, born from customers order by id) to 'customers.bin' with (format binary)
\copy (select * from customers order by id) to stdout
\copy (select * from customers order by id) to pstdout with (format csv, header, delimiter ';', force_quote *)
create table taken (id int, name text, email text);
\copy taken from 'customers.txt'
select * from taken order by id;
create table born (id int, born date);
\copy born from 'customers.bin' with (format binary)
select * from born order by id;
copy taken from stdin;
100	inline	\N
101	tab\there	x@y
\.
copy taken (id, name) from stdin with (format csv);
102,"quoted, comma"
103,"two
lines"
\.
select * from taken where id >= 100 order by id;
copy taken from stdin;
not a number	x	y
\.
select count(*) from taken;
begin;
copy taken (id) from stdin;
200
\.
copy taken (id) from stdin;
x
\.
select 'skipped';
rollback;
select count(*) from taken;
copy nowhere from stdin;
copy nowhere to stdout;
copy (select 1 union all select 2) to stdout\; select 'and a query'\; copy (values ('x')) to stdout;
\copy taken from 'no such file'
copy taken from stdin where id > 300;
299	no	no
301	yes	yes
\.
select id from taken where id > 200;
