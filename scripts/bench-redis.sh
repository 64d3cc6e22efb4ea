#!/usr/bin/env bash
# Requests per second of one netdb node and of a Redis, measured alternately with
# redis-benchmark on loopback: in memory, and with every write forced to disk before it is
# answered; one command in flight per connection, and 16. In memory a server that does as little
# as possible is measured too: what the machine allows beside the benchmark (benches/bare).
# Prints tables in Markdown on standard output, with the median of the rounds and the ratios to
# Redis. Builds the release binary if needed; ends what it starts and leaves nothing behind.
set -euo pipefail

usage() {
    cat <<'TEXT'
usage: scripts/bench-redis.sh [--requests N] [--rounds N] [--clients N] [--tests LIST]

  --requests N    requests of each test and round (default 100000); a tenth of it where writes
                  are forced to disk
  --rounds N      how often each test is done on either (default 3)
  --clients N     connections at once (default 50)
  --tests LIST    tests of redis-benchmark, divided by commas (default: those of ping_inline,
                  ping_mbulk, set, get, incr and mset that netdb has)

Environment: NETDB_BIN is the program to measure instead of a build of this tree.
Needs redis-server, redis-cli and redis-benchmark (Debian: redis-server, redis-tools).

TEXT
    sed -n '2,/^set/s/^# //p' "$0"
}

die() {
    printf 'bench-redis.sh: %s\n' "$1" >&2
    exit "${2:-1}"
}

requests=100000 rounds=3 clients=50 tests=''
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            usage
            exit 0
            ;;
        --requests | --rounds | --clients | --tests)
            [ $# -gt 1 ] || die "$1 needs a value; see --help" 2
            declare "${1#--}=$2"
            shift 2
            ;;
        *) die "no argument is called \`$1\`; see --help" 2 ;;
    esac
done
for number in "$requests" "$rounds" "$clients"; do
    case $number in
        '' | 0* | *[!0-9]*) die "\`$number\` is not a number above 0; see --help" 2 ;;
    esac
done
for tool in redis-server redis-cli redis-benchmark; do
    command -v "$tool" >/dev/null || die "$tool is missing; Debian has it in redis-server and redis-tools"
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -z "${NETDB_BIN:-}" ]; then
    cargo build --quiet --release --bin netdb
    target=$(cargo metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
    NETDB_BIN=$target/release/netdb
fi
bin=$NETDB_BIN
bare=$(cargo bench --bench replicas --no-run 2>&1 | sed -n 's/^ *Executable .*(\(.*\))$/\1/p')
[ -n "$bare" ] || die 'the bare server cannot be built: cargo bench --bench replicas --no-run'
# What the environment says of other nodes is not for this one.
for variable in ${!NETDB_@}; do unset "$variable"; done

work=$(mktemp -d "${TMPDIR:-/tmp}/netdb-bench.XXXXXX")
pids=()
end_servers() {
    # Both hold nothing that is worth keeping.
    for pid in "${pids[@]}"; do
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    pids=()
}
cleanup() {
    status=$?
    trap - EXIT INT TERM
    end_servers
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

answers() { [ "$(redis-cli -h 127.0.0.1 -p "$1" ping 2>/dev/null)" = PONG ]; }

# Starts a node with further arguments; its port is in $netdb_port.
start_netdb() {
    "$bin" start --no-repl --name bench --cluster "bench-$$" --listen 127.0.0.1:0 \
        --client 127.0.0.1:0 "$@" >"$work/netdb.out" 2>"$work/netdb.log" &
    pids+=($!)
    for _ in {1..300}; do
        netdb_port=$(sed -n 's/.* is ready: .*clients [^ ]*:\([0-9]*\).*/\1/p' "$work/netdb.out")
        if [ -n "$netdb_port" ]; then return; fi
        kill -0 "$!" 2>/dev/null || break
        sleep 0.1
    done
    cat "$work/netdb.log" >&2
    die 'netdb does not start'
}

# Starts a server on a port that nobody has, which is in $port then: the command with the port in
# the place of each {port}.
start_at_port() { # name, command...
    local name=$1
    shift
    for _ in {1..20}; do
        port=$((20000 + RANDOM % 20000))
        if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then continue; fi
        "${@//'{port}'/$port}" >"$work/$name.log" 2>&1 &
        pids+=($!)
        for _ in {1..50}; do
            if answers "$port"; then return; fi
            kill -0 "$!" 2>/dev/null || break
            sleep 0.1
        done
    done
    cat "$work/$name.log" >&2
    die "$name does not start"
}

# Starts a Redis with further arguments; its port is in $redis_port.
start_redis() {
    mkdir -p "$work/redis"
    start_at_port redis-server redis-server --bind 127.0.0.1 --port '{port}' \
        --dir "$work/redis" --save '' "$@"
    redis_port=$port
}

# Starts the bare server; its port is in $bare_port.
start_bare() {
    start_at_port 'the bare server' "$bare" bare '127.0.0.1:{port}'
    bare_port=$port
}

# `TEST<tab>REQUESTS PER SECOND` of one round.
measure() { # port, requests, pipeline, tests
    redis-benchmark -h 127.0.0.1 -p "$1" -n "$2" -P "$3" -c "$clients" -t "$4" --csv \
        2>/dev/null | awk -F'","' 'NR > 1 { sub(/^"/, "", $1); print $1 "\t" $2 }'
}

table() { # title, requests
    for pipeline in 1 16; do
        for ((round = 0; round < rounds; round++)); do
            measure "$netdb_port" "$2" "$pipeline" "$tests" | sed "s/^/netdb\t$pipeline\t/"
            measure "$redis_port" "$2" "$pipeline" "$tests" | sed "s/^/redis\t$pipeline\t/"
            [ -n "$bare_tests" ] || continue
            measure "$bare_port" "$2" "$pipeline" "$bare_tests" | sed "s/^/bare\t$pipeline\t/"
        done
    done >"$work/rounds"
    [ -s "$work/rounds" ] || die 'redis-benchmark measured nothing'
    printf '\n%s:\n\n| test | in flight | netdb, requests/s | Redis, requests/s | ratio | bare server | ratio to Redis |\n|---|--:|--:|--:|--:|--:|--:|\n' "$1"
    awk -F'\t' '
        function median(key, many, sorted, i, j, t) {
            many = split(values[key], sorted, " ")
            for (i = 2; i <= many; i++)
                for (j = i; j > 1 && sorted[j - 1] + 0 > sorted[j] + 0; j--) {
                    t = sorted[j]; sorted[j] = sorted[j - 1]; sorted[j - 1] = t
                }
            return sorted[int((many + 1) / 2)]
        }
        function ratio(one, other) {
            return one > 0 && other > 0 ? sprintf("%.2f", one / other) : "–"
        }
        {
            row = $2 FS $3
            if (!(row in seen)) { seen[row] = 1; rows[++count] = row }
            values[$1 FS row] = values[$1 FS row] " " $4
        }
        END {
            for (n = 1; n <= count; n++) {
                split(rows[n], part, FS)
                ours = median("netdb" FS rows[n]); theirs = median("redis" FS rows[n])
                key = "bare" FS rows[n]
                bare = key in values ? median(key) : ""
                printf "| %s | %d | %d | %d | %s | %s | %s |\n", part[2], part[1], ours, theirs,
                    ratio(ours, theirs), bare == "" ? "–" : int(bare), ratio(bare, theirs)
            }
        }' "$work/rounds"
}

start_netdb --memory
if [ -z "$tests" ]; then
    tests=ping_inline,ping_mbulk,set,get,mset
    # An unknown command has no row.
    if [ -n "$(redis-cli -p "$netdb_port" command info incr)" ]; then tests=$tests,incr; fi
fi
start_redis --appendonly no
# Those of the tests that the bare server knows.
bare_tests=$(tr , '\n' <<<"$tests" | grep -x 'ping_mbulk\|set\|get' | paste -sd , || true)
[ -z "$bare_tests" ] || start_bare
printf '%s; %s; %s connections, median of %s rounds.\n' \
    "$("$bin" --version)" "$(redis-server --version | cut -d' ' -f1-3)" "$clients" "$rounds"
table 'In memory' "$requests"
end_servers

bare_tests=''
start_netdb --data "$work/netdb" --durability always
start_redis --appendonly yes --appendfsync always
table 'Each write forced to disk before it is answered' $(((requests + 9) / 10))
