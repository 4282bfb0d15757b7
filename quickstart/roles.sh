#!/bin/sh
# Give the quick start's database the two roles that the gateway logs in as.
set -eu
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username=postgres --dbname=shop \
    --set=ro="$SHOP_RO_PASSWORD" --set=rw="$SHOP_RW_PASSWORD" <<'SQL'
ALTER ROLE app_ro LOGIN PASSWORD :'ro';
ALTER ROLE app_rw LOGIN PASSWORD :'rw';
SQL
