select $1::int + $2::int as total \bind 3 4 \g
select $1 as text \bind 'it''s' \g
select * from customers where id = $1 \bind 1 \gx
select 1/$1::int \bind 0 \g
select $1 \bind \g
select 1; select 2 \bind \g
insert into customers (name) values ($1) returning name \bind 'bound' \g
begin \bind \g
select 1/$1::int \bind 0 \g
select 1 \bind \g
rollback \bind \g
