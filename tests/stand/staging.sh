#!/usr/bin/env bash
# A small staging host in a container: sshd on 127.0.0.1:2222, PostgreSQL 15 on its own loopback, the example application.
#
#   staging.sh up     builds what is missing, starts it, writes .staging/ (key, known_hosts); does nothing where it is up
#   staging.sh down   takes it away, with .staging/; the images stay
#   staging.sh reset  puts its database and files back to what they were after `up`
#
# Needs root, a running Docker engine, debootstrap, npm and pip; reaches Debian's mirror, the npm registry and PyPI.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Another name, port and folder give a second stand beside the first.
NAME=${DRYRUN_STAGING_NAME:-dryrun-staging}
PORT=${DRYRUN_STAGING_PORT:-2222}
STATE=${DRYRUN_STAGING_STATE:-.staging}
HERE=tests/stand/staging
EXAMPLE=examples/edfinance

fail() { printf '%s\n%s\n%s\n' "$@" >&2; exit 1; }

digest() { sha256sum | cut -c1-12; }

content() { find "$@" -type f -not -path '*/__pycache__/*' | LC_ALL=C sort | xargs sha256sum; }

through() { # the local target's baseline: both targets have the same migrations pending
    sed -n '/^\[targets\.local\.baseline\]/,/^\[targets\.local\.migrations\]/s/^through = "\(.*\)".*/\1/p' dryrun.toml
}

base_image() { echo "dryrun/staging-base:$(cat "$HERE/base-image.sh" "$EXAMPLE/package.json" | digest)"; }

image() {
    echo "dryrun/staging:$({ base_image; through; content "$HERE" "$EXAMPLE"/{prisma,seed.sql,package.json} "$EXAMPLE"/*.py; } | digest)"
}

build() {
    local base tag built
    base=$(base_image) tag=$(image)
    if ! docker image inspect "$base" >/dev/null 2>&1; then
        export PYTHON=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
        "$PYTHON" -m pip --version >/dev/null 2>&1 || fail "$PYTHON has no pip." \
            "The staging stand's image cannot be built." "Run make staging-up, which makes .venv first."
        for program in debootstrap npm; do
            command -v "$program" >/dev/null || fail "$program is not installed." \
                "The staging stand's image cannot be built." "Install it: apt-get install debootstrap npm."
        done
        echo "building $base, some minutes"
        sh "$HERE/base-image.sh" "$base" "$EXAMPLE" >"$STATE/build.log" 2>&1 || { tail -20 "$STATE/build.log" >&2; fail \
            "The image $base could not be built." "There is no staging stand." "Read $STATE/build.log."; }
    fi
    if ! docker image inspect "$tag" >/dev/null 2>&1; then
        echo "building $tag, half a minute"
        built=$NAME-build
        docker rm --force "$built" >/dev/null 2>&1 || true
        docker run --detach --name "$built" --network none "$base" sleep infinity >/dev/null
        tar -C "$HERE" -c --owner=0 --group=0 . | docker exec -i "$built" sh -c \
            'mkdir -p /usr/local/lib/staging && tar -C /usr/local/lib/staging -x'
        tar -C "$EXAMPLE" -c --owner=0 --group=0 --exclude=__pycache__ --exclude=node_modules --exclude=reports . |
            docker exec -i "$built" tar -C /var/www/edfinance/apps/api -x
        docker exec "$built" mv /var/www/edfinance/apps/api/seed.sql /usr/local/lib/staging/
        docker exec "$built" sh /usr/local/lib/staging/install.sh "$(through)" >"$STATE/build.log" 2>&1 || {
            docker rm --force "$built" >/dev/null
            tail -20 "$STATE/build.log" >&2
            fail "The image $tag could not be built." "There is no staging stand." "Read $STATE/build.log."; }
        docker commit --change 'ENTRYPOINT ["/usr/bin/tini", "--"]' --change 'CMD ["/usr/local/sbin/start-staging"]' \
            "$built" "$tag" >/dev/null
        docker rm --force "$built" >/dev/null
    fi
}

healthy() {
    for _ in $(seq 150); do
        docker exec "$NAME" curl -fs -o /dev/null http://127.0.0.1:3001/api/health 2>/dev/null && return
        [ "$(docker inspect --format '{{.State.Running}}' "$NAME")" = true ] || break
        sleep 0.2
    done
    docker logs --tail 20 "$NAME" >&2
    fail "The staging stand's API does not answer." "The stand is not usable." "See: docker logs $NAME"
}

reached() {
    ssh -F none -i "$STATE/id_ed25519" -p "$PORT" -o UserKnownHostsFile="$STATE/known_hosts" -o IdentitiesOnly=yes \
        -o BatchMode=yes -o ConnectTimeout=5 deploy@127.0.0.1 true
}

up() {
    docker info >/dev/null 2>&1 || fail "No Docker engine answers." "There is no staging stand." "Start Docker, as root."
    build
    if [ "$(docker inspect --format '{{.Config.Image}} {{.State.Running}}' "$NAME" 2>/dev/null)" = "$(image) true" ] &&
        reached 2>/dev/null; then
        echo "the staging stand is up already"
        return
    fi
    docker rm --force "$NAME" >/dev/null 2>&1 || true
    rm -f "$STATE"/{id_ed25519,id_ed25519.pub,known_hosts}
    ssh-keygen -q -t ed25519 -N '' -C staging-stand -f "$STATE/id_ed25519"
    docker run --detach --name "$NAME" --hostname staging --shm-size 256m --publish "127.0.0.1:$PORT:22" "$(image)" \
        >/dev/null || fail "The container $NAME did not start." "There is no staging stand." \
        "Docker's message is above; where port $PORT is taken, free it."
    docker exec -i -u deploy "$NAME" sh -c 'umask 077; mkdir -p ~/.ssh && cat >~/.ssh/authorized_keys' \
        <"$STATE/id_ed25519.pub"
    healthy
    # From the host itself, not over the network; as OpenSSH's client would, only the key type that it prefers.
    echo "[127.0.0.1]:$PORT $(docker exec "$NAME" cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub)" >"$STATE/known_hosts"
    tidy
    for _ in $(seq 50); do reached 2>/dev/null && break; sleep 0.1; done
    reached
    echo "ssh -i $STATE/id_ed25519 -p $PORT -o UserKnownHostsFile=$STATE/known_hosts deploy@127.0.0.1"
}

tidy() { # images of earlier contents; what is in use stays
    docker image ls --format '{{.Repository}}:{{.Tag}}' | grep '^dryrun/staging' | grep -vxF -e "$(base_image)" -e "$(image)" |
        xargs -r docker image rm >/dev/null 2>&1 || true
}

reset() {
    [ "$(docker inspect --format '{{.State.Running}}' "$NAME" 2>/dev/null)" = true ] ||
        fail "The staging stand is not up." "Nothing was put back." "make staging-up"
    docker exec "$NAME" reset-staging
    healthy
}

down() {
    docker rm --force "$NAME" >/dev/null 2>&1 || true
    rm -rf "$STATE"
}

install -d -m 0700 "$STATE"
# The locks of tests/staging.py, whose own calls hold them already: a test has the stand to itself; a process uses it.
if [ -z "${DRYRUN_STAGING_LOCKED:-}" ]; then
    if [ "${1:-}" = down ]; then
        exec 7<"$HERE/start"
        flock --nonblock 7 || fail "Tests are using the staging stand." "Taken away now, they would fail; it stays." \
            "Wait for them to end, then run it again."
    fi
    exec 8<"$HERE/reset"
    flock --nonblock 8 || { echo "waiting for the test that has the staging stand to itself" >&2; flock 8; }
fi
exec 9<tests/stand/staging.sh
flock 9
case ${1:-} in
up | down | reset) "$1" 7<&- 8<&- 9<&- ;;
*) fail "Usage: $0 up | down | reset" "" "" ;;
esac
