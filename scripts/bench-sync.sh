#!/usr/bin/env bash
# Bytes and time of the sync of two replicas of 1,000,000 keys with 0, 1,000 and 100,000
# differing, by deltas and by full syncs, against the size of the differing objects; and what
# an idle interval costs. Real nodes' data and frames, no sockets. Needs about 2 GiB of memory.
# Prints a table in Markdown on standard output. Builds with the release profile if needed.
# Options are those of the benchmark; `scripts/bench-sync.sh -- --help` lists them.
set -euo pipefail

case ${1:-} in
    -h | --help)
        printf 'usage: scripts/bench-sync.sh [-- OPTIONS]\n\n'
        sed -n '2,/^set/s/^# //p' "$0"
        exit 0
        ;;
    '' | --) ;;
    *)
        printf 'bench-sync.sh: options of the benchmark come after `--`; see --help\n' >&2
        exit 2
        ;;
esac
shift $(($# > 0))

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec cargo bench --quiet --bench sync -- "$@"
