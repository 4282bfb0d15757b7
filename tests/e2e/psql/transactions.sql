begin;
insert into customers (name) values ('in a transaction');
select count(*) from customers;
savepoint one;
insert into customers (name) values (null);
select 'ignored';
rollback to savepoint one;
select count(*) from customers;
release savepoint one;
commit;
begin isolation level serializable read only;
insert into customers (name) values ('read only');
rollback;
select count(*) from customers;
\set AUTOCOMMIT off
insert into customers (name) values ('not committed');
rollback;
select count(*) from customers;
commit;
\set AUTOCOMMIT on
\set ON_ERROR_ROLLBACK on
begin;
insert into customers (name) values (null);
insert into customers (name) values ('after an error');
commit;
select name from customers order by id;
begin;
select 1/0;
commit;
start transaction;
savepoint a;
savepoint a;
release a;
rollback to a;
end;
commit;
abort;
