#!/usr/bin/env bash
# Real nodes on loopback under kill -9, SIGSTOP, leaving, and cut links, while clients put,
# get and delete; then everything is healed, all nodes must agree, and a checker judges what
# the clients saw. Exit status 0 if it finds nothing: no acknowledged write lost, no replaced
# or deleted value back, no node that forgot what it had, all nodes equal at the end.
# Prints a table in Markdown on standard output. Ends what it starts. After a failure the
# history and the logs stay, and it says where.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/chaos.sh [--seconds N] [--nodes N] [--clients N] [--seed S]
       scripts/chaos.sh --check HISTORY

  --seconds N     how long faults and clients go on (default 120); starting, healing and
                  reading everything takes some 15 s more
  --nodes N       how many nodes (default 5)
  --clients N     how many clients, spread over the nodes (default 8)
  --seed S        what faults and load are drawn from (default: another one each time)
  --check FILE    judge a history of an earlier run again

Environment: NETDB_BIN is the program to attack instead of a build of this tree. It must
have been built with --features chaos, because links are cut by a switch that no other
build has.

TEXT
    sed -n '2,/^set/s/^# //p' "$0"
}

case " $* " in
    *' --help '* | *' -h '*)
        usage
        exit 0
        ;;
esac

here=$PWD
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target_dir() {
    cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

case ${1:-} in
    --check)
        case ${2:-} in /*) history=$2 ;; *) history=$here/${2:-} ;; esac
        exec cargo bench --quiet --profile test --bench chaos -- --check "$history"
        ;;
esac

if [ -z "${NETDB_BIN:-}" ]; then
    # Under a name of its own: the real binary is not replaced.
    cargo build --quiet --release --features chaos --bin netdb-chaos
    NETDB_BIN=$(target_dir)/release/netdb-chaos
fi
export NETDB_BIN
cargo bench --quiet --profile test --bench chaos --no-run

work=$(mktemp -d "${TMPDIR:-/tmp}/netdb-chaos.XXXXXX")
driver=''
cleanup() {
    status=$?
    trap - EXIT INT TERM
    # The driver leads a process group in which all nodes are; none outlives this script.
    if [ -n "$driver" ]; then kill -KILL -- "-$driver" 2>/dev/null || true; fi
    case $status in
        0 | 130 | 143) rm -rf "$work" ;;
        *) printf 'chaos.sh: FAILED; history and logs are in %s\n' "$work" >&2 ;;
    esac
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

set -m
cargo bench --quiet --profile test --bench chaos -- --dir "$work" "$@" &
driver=$!
set +m
wait "$driver"
