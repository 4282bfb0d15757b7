select nope from customers;
select * frm customers;
select * from nowhere;
insert into customers (name) values (null);
insert into customers (name, balance) values ('poor', -1);
insert into customers (name, email) values ('twin', 'ada@example.com');
insert into orders (customer_id) values (999);
select 1/0;
select 'x'::int;
select
  a,
  b
from customers;
\set VERBOSITY verbose
select nope from customers;
do $$ begin raise exception 'by hand' using errcode = 'GP001', detail = 'a detail', hint = 'a hint', column = 'c', table = 't'; end $$;
\set VERBOSITY terse
select nope from customers;
\set VERBOSITY sqlstate
select nope from customers;
\set VERBOSITY default
\set SHOW_CONTEXT always
do $$ begin perform 1/0; end $$;
select 'unfinished
;
' ;
select $1;
;
-- only a comment
/* another */;
select 1; selec 2; select 3;
\echo :SQLSTATE :ERROR :LAST_ERROR_MESSAGE
\nonsense
