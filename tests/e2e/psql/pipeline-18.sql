\startpipeline
select 1 \bind \sendpipeline
select $1::text \bind two \sendpipeline
\flushrequest
\getresults
select 3 \bind \sendpipeline
\endpipeline
\startpipeline
insert into customers (name) values ('piped') \bind \sendpipeline
select 1/0 \bind \sendpipeline
select 'skipped' \bind \sendpipeline
\syncpipeline
select 'after the sync' \bind \sendpipeline
\endpipeline
select name from customers order by id;
select name from customers where id = $1 \parse by_id
\bind_named by_id 1 \g
\bind_named by_id 2 \g
\close_prepared by_id
\bind_named by_id 1 \g
