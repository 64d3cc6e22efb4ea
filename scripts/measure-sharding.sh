#!/usr/bin/env bash
# Five nodes under constant writes by sixteen clients (NETDB_KEYS keys each, 10,000, of
# NETDB_VALUE_BYTES bytes): two join, one leaves, one is killed with -9 and replaced. How long
# clients pause, how much moves, how even it is; then what a request costs at a node that has to
# ask an owner. Prints tables in Markdown on standard output, progress on standard error. Builds
# the release binary if needed; ends what it starts.
set -euo pipefail

case ${1:-} in
    '') ;;
    -h | --help)
        printf 'usage: scripts/measure-sharding.sh\n\n'
        sed -n '2,/^set/s/^# //p' "$0"
        exit 0
        ;;
    *)
        printf 'measure-sharding.sh: takes no argument, not `%s`; see --help\n' "$1" >&2
        exit 2
        ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec cargo bench --quiet --bench sharding
