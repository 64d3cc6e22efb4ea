#!/usr/bin/env bash
# Writes per second that two of three replicas have before they are answered: three netdb nodes
# at the default strength, beside a Redis with two replicas and WAIT 1, measured alternately on
# loopback with 1, 16 and 64 clients, in memory and with every replica forcing each write to disk.
# In memory three nodes that do as little as possible (benches/bare) show what the machine allows.
# Prints tables in Markdown on standard output, with the median of the rounds and the ratios to
# Redis. NETDB_BENCH_SECONDS (3) is the length of a round, NETDB_BENCH_ROUNDS (3) how many
# there are. Needs redis-server (Debian: redis-server). Builds what it measures; ends what it
# starts.
set -euo pipefail

case ${1:-} in
    '') ;;
    -h | --help)
        printf 'usage: scripts/bench-replicas.sh\n\n'
        sed -n '2,/^set/s/^# //p' "$0"
        exit 0
        ;;
    *)
        printf 'bench-replicas.sh: takes no argument, not `%s`; see --help\n' "$1" >&2
        exit 2
        ;;
esac
if ! command -v redis-server >/dev/null; then
    printf 'bench-replicas.sh: redis-server is missing; Debian has it in redis-server\n' >&2
    exit 1
fi

cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec cargo bench --quiet --bench replicas
