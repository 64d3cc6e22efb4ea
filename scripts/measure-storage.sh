#!/usr/bin/env bash
# Fills a node with NETDB_KEYS keys (10,000,000) of NETDB_VALUE_BYTES (100) and a memory budget
# of NETDB_BUDGET_MB (512), and prints, for a tenth of them and for all: how long that took, the
# memory and the disk that it takes, how long it takes to start again after `kill -9`, and how
# fast it serves what is in memory and what is not.
# Prints a table in Markdown on standard output. Builds the release binary if needed; ends
# what it starts and leaves nothing behind. Takes about a quarter of an hour and 4 GB of disk.
set -euo pipefail

case ${1:-} in
    '') ;;
    -h | --help)
        printf 'usage: scripts/measure-storage.sh\n\n'
        sed -n '2,/^set/s/^# //p' "$0"
        exit 0
        ;;
    *)
        printf 'measure-storage.sh: takes no argument, not `%s`; see --help\n' "$1" >&2
        exit 2
        ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec cargo bench --quiet --bench storage
