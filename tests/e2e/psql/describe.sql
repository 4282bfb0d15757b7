\d
\d customers
\d+ customers
\d orders
\d big_spenders
\d+ events
\dt
\dt *.customers
\dv
\di
\ds
\df
\dT+ mood
\dn
\dp customers
\du
\dg
\l
\db
\dx
\drds
\dconfig work_mem
\dC mood
\sf full_note
\sv big_spenders
\ef nothing_like_this
\d nothing_like_this
\encoding
\dy
\dF
