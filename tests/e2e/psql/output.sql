\timing off
\x on
select * from customers order by id;
\x auto
select id, name from customers order by id \gx
\x off
\a
select id, name, balance from customers order by id;
\a
\t on
\pset null '(none)'
select note from customers order by id;
\t off
\pset format csv
select id, tags from customers order by id;
\pset format html
select id, born from customers order by id;
\pset format aligned
\pset border 2
select mood_of(id) as mood, count(*) from customers group by 1 order by 1;
select c.name, o.id, o.total from customers c join orders o on o.customer_id = c.id \crosstabview
select 1 as "Ünïcode ✓", '日本語' as "名前";
select 1 where false;
select;
table customers limit 1;
show server_version_num;
\g
