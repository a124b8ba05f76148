#!/bin/sh
# Inside a container of the base image, once: the server's settings, the application, and its database up to the
# migration named by the first argument, with the rows that Prisma would have left, and the seed.
set -eu

THROUGH=$1
API=/var/www/edfinance/apps/api
STAND=/usr/local/lib/staging

install -m 0644 "$STAND/environment" /etc/environment
install -m 0644 "$STAND/sshd.conf" /etc/ssh/sshd_config.d/staging.conf
install -m 0755 "$STAND/start" /usr/local/sbin/start-staging
install -m 0755 "$STAND/reset" /usr/local/sbin/reset-staging
install -m 0755 "$STAND/start-api" "$API"
install -m 0644 "$STAND/prisma.config.ts" "$STAND/smoke.test.mjs" "$API"
npm pkg --prefix "$API" set 'scripts.test:smoke=node --test smoke.test.mjs'
install -m 0644 "$STAND/ecosystem.config.js" "$STAND/pnpm-workspace.yaml" /var/www/edfinance
install -m 0644 "$STAND/workspace.json" /var/www/edfinance/package.json
install -m 0755 /dev/null /usr/local/lib/no-native-engine
install -d -o deploy -g deploy -m 0700 /var/backups/edfinance
chown -R deploy:deploy /var/www/edfinance

pg_createcluster --locale C.UTF-8 --encoding UTF8 15 main -- --auth-local=peer --auth-host=scram-sha-256 --no-sync
install -o postgres -g postgres -m 0644 "$STAND/postgresql.conf" /etc/postgresql/15/main/conf.d/staging.conf
pg_ctlcluster 15 main start

sql() { setpriv --reuid=postgres --regid=postgres --init-groups psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 "$@"; }
owner() { PGOPTIONS='-c role=edfinance' sql --dbname=edfinance "$@"; }
cd /

sql <<'SQL'
CREATE ROLE edfinance LOGIN CREATEDB;
GRANT pg_monitor TO edfinance;
CREATE DATABASE edfinance OWNER edfinance;
CREATE EXTENSION pg_stat_statements;
SQL
owner <<'SQL'
CREATE TABLE public._prisma_migrations (
    id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, finished_at TIMESTAMPTZ,
    migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ,
    started_at TIMESTAMPTZ NOT NULL DEFAULT now(), applied_steps_count INTEGER NOT NULL DEFAULT 0
);
SQL
found=
for folder in "$API"/prisma/migrations/*/; do
    name=$(basename "$folder")
    owner --set=name="$name" --set=checksum="$(sha256sum <"$folder/migration.sql" | cut -d' ' -f1)" <<'SQL'
INSERT INTO public._prisma_migrations (id, checksum, migration_name, started_at)
VALUES (gen_random_uuid()::text, :'checksum', :'name', clock_timestamp());
SQL
    owner --command="$(cat "$folder/migration.sql")" # one query for the whole file, as Prisma 6 sends it
    owner --set=name="$name" <<'SQL'
UPDATE public._prisma_migrations SET applied_steps_count = 1, finished_at = clock_timestamp()
WHERE migration_name = :'name';
SQL
    [ "$name" != "$THROUGH" ] || { found=yes; break; }
done
[ -n "$found" ] || { echo "no migration is called $THROUGH" >&2; exit 1; }
owner --output=/dev/null --file="$STAND/seed.sql"
sql --dbname=edfinance --command='VACUUM (ANALYZE)'
sql <<'SQL'
CREATE DATABASE edfinance_pristine TEMPLATE edfinance;
ALTER DATABASE edfinance_pristine ALLOW_CONNECTIONS false;
SQL
pg_ctlcluster 15 main stop
