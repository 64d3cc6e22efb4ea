#!/usr/bin/env bash
# The story of netdb, unattended: three nodes find each other from one seed, a value put on
# one is read on all, one is killed, the others go on, it comes back and catches up, and
# what was deleted meanwhile stays deleted. Every step is checked; the exit status says
# whether the story is true. It takes under a minute once the binary is built, uses a
# directory of its own, and ends what it started.
set -euo pipefail

case ${1:-} in
    '') ;;
    -h | --help)
        printf 'usage: scripts/demo.sh\n\n'
        sed -n '2,6s/^# //p' "$0"
        printf '\nEnvironment: NETDB_BIN is the binary to use instead of a release build of this tree.\n'
        exit 0
        ;;
    *)
        printf 'demo.sh: takes no argument, not `%s`; see --help\n' "$1" >&2
        exit 2
        ;;
esac

readonly STEP_WAIT=20 # seconds; failure detection takes about 4, the rest is a busy machine
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
work=$(mktemp -d "${TMPDIR:-/tmp}/netdb-demo.XXXXXX")
dir=$work/cluster

cluster() { "$here/cluster.sh" --dir "$dir" "$@"; }

cleanup() {
    status=$?
    trap - EXIT INT TERM
    if [ "$status" -ne 0 ]; then
        printf '\nthe demo FAILED; what the nodes said:\n' >&2
        tail -n 20 "$dir"/n*/log >&2 2>/dev/null || true
    fi
    cluster down >/dev/null 2>&1 || true
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

bold='' plain=''
if [ -t 1 ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); fi
tell() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
wrong() {
    printf 'wrong: %s\n' "$*" >&2
    exit 1
}

# Runs one command on node $1 and keeps what it says in $answer.
ask() {
    local node=$1
    shift
    answer=$("$bin" exec --node "$(address "$node")" "$@" 2>&1) || true
}
address() { awk '{ print "127.0.0.1:" $2 }' "$dir/n$1/ports"; }
show() {
    printf '  n%s> %s\n' "$1" "${*:2}"
    printf '%s\n' "$answer" | sed 's/^/  /'
}

# Runs a command on node $1 and shows it; $2 is the answer that makes the story true.
must() {
    local node=$1 wanted=$2
    shift 2
    ask "$node" "$@"
    show "$node" "$@"
    [ "$answer" = "$wanted" ] || wrong "expected \`$wanted\`"
}

# The same, given some time: other nodes learn a moment later.
soon() {
    local node=$1 wanted=$2 until=$((SECONDS + STEP_WAIT))
    shift 2
    ask "$node" "$@"
    while [ "$answer" != "$wanted" ] && [ "$SECONDS" -lt "$until" ]; do
        sleep 0.05
        ask "$node" "$@"
    done
    show "$node" "$@"
    [ "$answer" = "$wanted" ] || wrong "expected \`$wanted\` within $STEP_WAIT s"
}

# Waits until node $1 shows member $2 in state $3.
sees() {
    local until=$((SECONDS + STEP_WAIT))
    while ask "$1" members && ! state_is "$2" "$3"; do
        [ "$SECONDS" -lt "$until" ] || {
            show "$1" members
            wrong "n$1 does not show $2 as $3 within $STEP_WAIT s"
        }
        sleep 0.1
    done
    show "$1" members
}
state_is() {
    printf '%s\n' "$answer" |
        awk -v name="$1" -v state="$2" '
            { mine = 0; right = 0
              for (i = 1; i <= NF; i++) { if ($i == name) mine = 1; if ($i == state) right = 1 } }
            mine && right { found = 1 }
            END { exit !found }'
}

tell 'Three nodes start; each knows one seed address, and they find each other.'
cluster up 3 | sed 's/^/  /'
bin=${NETDB_BIN:-}
case $bin in
    '') bin=$(cd "$here/.." && cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/release/netdb ;;
    /*) ;;
    *) bin=$PWD/$bin ;;
esac
sees 1 n3 alive

tell 'A value put on one node is read on the others.'
must 1 'Value stored.' put greeting "hello world"
soon 2 'Value: hello world' get greeting
soon 3 'Value: hello world' get greeting
must 2 'Value stored.' put doomed "soon gone"
soon 3 'Value: soon gone' get doomed

tell 'Node 3 is killed without warning (kill -9).'
cluster kill 3 | sed 's/^/  /'

tell 'The others go on, at once: they write, overwrite and delete while it is down.'
must 1 'Value stored.' put news "written while n3 was down"
must 2 'Value stored.' put greeting "hello again"
must 1 'Key deleted.' delete doomed
soon 2 'Value: written while n3 was down' get news

tell 'They notice by themselves that it failed.'
sees 1 n3 failed
sees 2 n3 failed

tell 'Node 3 starts again. It still has its old data, and catches up by itself.'
cluster start 3 | sed 's/^/  /'
soon 3 'Value: written while n3 was down' get news
soon 3 'Value: hello again' get greeting

tell 'What was deleted meanwhile stays deleted, on the node that missed it too.'
soon 3 'Key not found.' get doomed
for node in 1 2 3; do must "$node" 'Key not found.' get doomed; done
for node in 1 2; do must "$node" 'Value: hello again' get greeting; done
sees 3 n1 alive

tell 'Node 2 is asked to stop: it leaves, and nobody takes that for a failure.'
cluster stop 2 | sed 's/^/  /'
sees 1 n2 left

tell "The story is true. It took $SECONDS s."
