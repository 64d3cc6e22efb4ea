#!/usr/bin/env bash
# Fills a node to its memory budget (NETDB_BUDGET_MB, 64) and to eight times that, with
# values of NETDB_VALUE_BYTES (1000), and prints for both: the memory that it takes, how long
# it takes to start again after `kill -9`, and how fast it serves what is in memory and what
# is not. NETDB_DATA_MB sets the first size apart from the budget.
# Prints a table in Markdown on standard output. Builds the release binary if needed; ends
# what it starts and leaves nothing behind.
set -euo pipefail

case ${1:-} in
    '') ;;
    -h | --help)
        printf 'usage: scripts/bench-memory.sh\n\n'
        sed -n '2,/^set/s/^# //p' "$0"
        exit 0
        ;;
    *)
        printf 'bench-memory.sh: takes no argument, not `%s`; see --help\n' "$1" >&2
        exit 2
        ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec cargo bench --quiet --bench memory
