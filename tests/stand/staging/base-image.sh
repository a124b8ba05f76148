#!/bin/sh
# Build the base of the staging stand, `base-image.sh TAG EXAMPLE`: Debian's packages, and the application's node_modules
# beside npm, pnpm and pm2. Needs root, debootstrap, npm, pip (of PYTHON) and a running Docker engine; reaches Debian's
# mirror, the npm registry and PyPI, nothing else.
set -eu

TAG=$1
EXAMPLE=$2
SUITE=bookworm
MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
PRISMA=$(sed -n 's/.*"prisma": "\([^"]*\)".*/\1/p' "$EXAMPLE/package.json")

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
trap 'exit 1' INT TERM

debootstrap --variant=minbase --include=\
openssh-server,postgresql-15,postgresql-contrib,procps,iproute2,curl,ca-certificates,tini,nodejs,python3 \
    "$SUITE" "$root" "$MIRROR"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* "$root"/usr/share/man/*

# Debian's nodejs is 18: these are the last lines of npm and pnpm for it.
npm install --global --prefix "$root/usr/local" --ignore-scripts --no-audit --no-fund --loglevel=error \
    npm@10.9.4 pnpm@9.15.9 pm2@5.4.3
# adapter-pg 7: the one of line 6 cannot read the type `name`. The native engines are on no registry; see prisma.config.ts.
mkdir -p "$root/var/www/edfinance/apps/api"
npm install --prefix "$root/var/www/edfinance/apps/api" --ignore-scripts --no-audit --no-fund --loglevel=error \
    --no-save --no-package-lock "prisma@$PRISMA" @prisma/adapter-pg@7.0.0 dotenv@16.6.1
# The API's needs, for the Python of the image rather than the one that runs pip.
"${PYTHON:-python3}" -m pip install --quiet --target "$root/usr/local/lib/python3.11/dist-packages" --only-binary :all: \
    --python-version 3.11 'starlette>=0.41' 'uvicorn>=0.32' 'psycopg[binary]>=3.2'

chroot "$root" useradd --create-home --shell /bin/bash deploy
# No host keys and no cluster in an image: the stand makes its own.
rm -f "$root"/etc/ssh/ssh_host_*
[ ! -d "$root/etc/postgresql/15/main" ] || chroot "$root" pg_dropcluster --stop 15 main

tar -C "$root" -c . | docker import --change 'ENV LANG=C.UTF-8' --change 'EXPOSE 22' - "$TAG"
