#!/usr/bin/env bash
# 100,000 keys (NETDB_KEYS, of NETDB_VALUE_BYTES bytes) on two nodes, then a third joins
# empty: how long until it holds all of them, and what travels.
# Prints a table in Markdown on standard output, progress on standard error. Builds the
# release binary if needed; ends what it starts.
set -euo pipefail

case ${1:-} in
    '') ;;
    -h | --help)
        printf 'usage: scripts/measure-join.sh\n\n'
        sed -n '2,/^set/s/^# //p' "$0"
        exit 0
        ;;
    *)
        printf 'measure-join.sh: takes no argument, not `%s`; see --help\n' "$1" >&2
        exit 2
        ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec cargo bench --quiet --bench join
