#!/usr/bin/env bash
# Opens 10,000 connections (NETDB_CONNECTIONS) to one node, which say nothing: the memory that
# the node takes without and with them, and how long a PING takes meanwhile on one more.
# Raises the number of files that a process may have open as far as it has to and may; where that
# is not far enough, it says so and opens as many connections as it can.
# Prints a table in Markdown on standard output. Builds the release binary if needed; ends
# what it starts.
set -euo pipefail

case ${1:-} in
    '') ;;
    -h | --help)
        printf 'usage: scripts/measure-connections.sh\n\n'
        sed -n '2,/^set/s/^# //p' "$0"
        exit 0
        ;;
    *)
        printf 'measure-connections.sh: takes no argument, not `%s`; see --help\n' "$1" >&2
        exit 2
        ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Before the limit is raised: a compiler needs none of it.
cargo bench --quiet --bench connections --no-run

# The node and the measurement each hold one end, beside what else they have open.
needed=$((${NETDB_CONNECTIONS:-10000} + 500))
limit=$(ulimit -n)
if [ "$limit" != unlimited ] && [ "$limit" -lt "$needed" ]; then
    if ! ulimit -n "$needed" 2>/dev/null; then
        ulimit -S -n "$(ulimit -H -n)"
        printf 'measure-connections.sh: ulimit -n %s is not allowed here, %s is\n' \
            "$needed" "$(ulimit -n)" >&2
    fi
    limit=$(ulimit -n)
fi
[ "$limit" = unlimited ] || export NETDB_FILES_MAX=$limit
exec cargo bench --quiet --bench connections
