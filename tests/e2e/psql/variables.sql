\set who 'O''Hara'
select :'who' as literal, 'x' as :"who";
select count(*) as n, min(name) as first, count(*) > 0 as some from customers \gset
\echo :n :first
\if :some
select 'there are some';
\else
select 'there are none';
\endif
select format('select %s as made', i) from generate_series(1, 3) i \gexec
select 1 as a, 'x'::text as b, null::numeric(10,2) as c \gdesc
select * from customers \gdesc
insert into customers (name) values ('x') returning id, name \gdesc
create table made (n int) \gdesc
select name from customers where id = :n \gdesc
\echo :ROW_COUNT :SQLSTATE
prepare by_id (int) as select name from customers where id = $1;
execute by_id(1);
execute by_id(2);
deallocate by_id;
execute by_id(1);
\set FETCH_COUNT 2
select i, i * i as square from generate_series(1, 7) i;
select i / (i - 5) from generate_series(1, 7) i;
\unset FETCH_COUNT
select 1\; select 2\; select 3;
select 1\; select 1/0\; select 3;
\set SHOW_ALL_RESULTS off
select 1\; select 2\; select 3;
\set SHOW_ALL_RESULTS on
