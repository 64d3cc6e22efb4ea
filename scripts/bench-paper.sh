#!/usr/bin/env bash
# Replays Table 1 of "Concise Server-Wide Causality Management" (Gonçalves et al. 2015):
# 16 nodes, 40,000 keys, 3 replicas each, 10,000 writes of which 10 % lose one push, then
# anti-entropy; real partitions, synchroniser and frames, no sockets.
# Prints tables in Markdown on standard output. Builds with the release profile if needed.
# Options are those of the benchmark; `scripts/bench-paper.sh -- --help` lists them.
set -euo pipefail

case ${1:-} in
    -h | --help)
        printf 'usage: scripts/bench-paper.sh [-- OPTIONS]\n\n'
        sed -n '2,/^set/s/^# //p' "$0"
        exit 0
        ;;
    '' | --) ;;
    *)
        printf 'bench-paper.sh: options of the benchmark come after `--`; see --help\n' >&2
        exit 2
        ;;
esac
shift $(($# > 0))

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec cargo bench --quiet --bench paper -- "$@"
