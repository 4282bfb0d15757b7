\t on
select 'seen' \watch i=0.05 c=2
insert into customers (name) values ('watched') returning name \watch c=2 i=0.05
select count(*) from customers;
select 1/0 \watch i=0.05 c=2
