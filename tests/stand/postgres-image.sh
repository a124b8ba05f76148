#!/bin/sh
# Build the image dryrun/postgres:15 from Debian packages, for machines that reach no image registry.
# It understands what the tests need of the official image: POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB and
# `postgres -c name=value ...` as the command. Needs root, debootstrap and a running Docker engine; does nothing
# where the image is there already.
set -eu

TAG=dryrun/postgres:15
SUITE=bookworm
MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}

if docker image inspect "$TAG" >/dev/null 2>&1; then
    echo "$TAG is there already"
    exit 0
fi

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT INT TERM

debootstrap --variant=minbase --include=postgresql-15,postgresql-contrib "$SUITE" "$root" "$MIRROR"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/lib/postgresql/15

cat >"$root/usr/local/bin/entrypoint" <<'ENTRYPOINT'
#!/bin/sh
# As the official image does: first a cluster, initialised over a socket alone, then the command as user postgres.
set -eu
PGDATA=/var/lib/postgresql/data
: "${POSTGRES_USER:=postgres}" "${POSTGRES_DB:=$POSTGRES_USER}"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    if [ -z "${POSTGRES_PASSWORD:-}" ]; then
        echo 'Error: POSTGRES_PASSWORD is not set.' >&2
        exit 1
    fi
    install -d -o postgres -g postgres -m 0700 "$PGDATA"
    install -d -o postgres -g postgres -m 0775 /var/run/postgresql
    secret=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" >"$secret"
    chown postgres "$secret"
    setpriv --reuid=postgres --regid=postgres --init-groups initdb -D "$PGDATA" -U "$POSTGRES_USER" \
        --pwfile="$secret" -A scram-sha-256 --auth-local=trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
    rm -f "$secret"
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    if [ "$POSTGRES_DB" != postgres ]; then
        setpriv --reuid=postgres --regid=postgres --init-groups pg_ctl -D "$PGDATA" -w -o "-c listen_addresses=''" start
        setpriv --reuid=postgres --regid=postgres --init-groups psql -U "$POSTGRES_USER" -d postgres -v ON_ERROR_STOP=1 \
            -v name="$POSTGRES_DB" <<'SQL'
CREATE DATABASE :"name";
SQL
        setpriv --reuid=postgres --regid=postgres --init-groups pg_ctl -D "$PGDATA" -w -m fast stop
    fi
fi
cd /
exec setpriv --reuid=postgres --regid=postgres --init-groups "$@"
ENTRYPOINT
chmod 0755 "$root/usr/local/bin/entrypoint"

tar -C "$root" -c . | docker import \
    --change 'ENV PATH=/usr/lib/postgresql/15/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'ENV LANG=C.UTF-8' \
    --change 'ENTRYPOINT ["/usr/local/bin/entrypoint"]' \
    --change 'CMD ["postgres", "-D", "/var/lib/postgresql/data"]' \
    --change 'ENV PGDATA=/var/lib/postgresql/data' \
    --change 'VOLUME /var/lib/postgresql/data' \
    --change 'EXPOSE 5432' \
    - "$TAG"
