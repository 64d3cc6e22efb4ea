#!/usr/bin/env bash
# Ten nodes from one seed on loopback: how soon all see all, how soon a killed node is
# shown as failed by all others (NETDB_KILLS, default 20), how soon one that leaves is shown
# as left (NETDB_LEAVES, default 5), and bytes per second of an idle node.
# Prints a table in Markdown on standard output, progress on standard error. Builds the
# release binary if needed; ends what it starts.
set -euo pipefail

case ${1:-} in
    '') ;;
    -h | --help)
        printf 'usage: scripts/measure-membership.sh\n\n'
        sed -n '2,/^set/s/^# //p' "$0"
        exit 0
        ;;
    *)
        printf 'measure-membership.sh: takes no argument, not `%s`; see --help\n' "$1" >&2
        exit 2
        ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec cargo bench --quiet --bench membership
