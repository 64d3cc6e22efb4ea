#!/usr/bin/env bash
# Drives three real nodes, each partition on two of them, with the Redis clients that people
# use: redis-cli, redis-py, node-redis, ioredis and redis-rs. Each does the same story, in RESP2
# and in RESP3 if it speaks both: values, numbers, sets, hashes, ends, SCAN, pipelines,
# transactions, subscriptions, bytes and errors, through different nodes; then its node is killed
# with -9 and started again, and the client that it has must go on.
# Prints a line for each client and a Markdown table on standard output. Fetches the clients,
# of the versions below, from their package registries into a directory of its own; ends what it
# starts and leaves nothing behind.
set -euo pipefail
export LC_ALL=C RUST_BACKTRACE=0

# What a client is, is part of what is tested: newer ones are a change of this file.
readonly REDIS_PY=8.1.0 NODE_REDIS=6.3.1 IOREDIS=6.0.0
readonly START_WAIT=60 # seconds until a node is ready; a busy machine needs some
readonly STORY_WAIT=120 # seconds for one story; it takes about ten

usage() {
    cat <<'TEXT'
usage: scripts/test-clients.sh [--all] [--only LIST] [--redis] [--keep DIR]

  --all         a client that cannot be had here is a failure; without it, it is skipped
  --only LIST   of redis-cli, redis-py, node-redis, ioredis and redis-rs these, divided by commas
  --redis       the same stories on one redis-server: what is expected of netdb is what it does
  --keep DIR    install the clients there and leave them for the next time

Environment: NETDB_BIN is the program to test instead of a release build of this tree.

TEXT
    sed -n '2,/^set/s/^# //p' "$0"
}

die() {
    printf 'test-clients.sh: %s\n' "$1" >&2
    exit "${2:-1}"
}

readonly CLIENTS=(redis-cli redis-py node-redis ioredis redis-rs)
all='' redis='' keep='' only=''
while [ $# -gt 0 ]; do
    case $1 in
        -h | --help)
            usage
            exit 0
            ;;
        --all) all=yes ;;
        --redis) redis=yes ;;
        --only | --keep)
            [ $# -gt 1 ] || die "$1 needs a value; see --help" 2
            declare "${1#--}=$2"
            shift
            ;;
        *) die "no argument is called \`$1\`; see --help" 2 ;;
    esac
    shift
done
chosen=("${CLIENTS[@]}")
if [ -n "$only" ]; then
    IFS=, read -r -a chosen <<<"$only"
    for name in "${chosen[@]}"; do
        case " ${CLIENTS[*]} " in
            *" $name "*) ;;
            *) die "there is no client \`$name\`; see --help" 2 ;;
        esac
    done
fi
absolute() { case $1 in /*) printf '%s' "$1" ;; *) printf '%s/%s' "$PWD" "$1" ;; esac; }
[ -z "$keep" ] || keep=$(absolute "$keep")
bin=${NETDB_BIN:+$(absolute "$NETDB_BIN")}

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -n "$redis" ]; then
    command -v redis-server >/dev/null || die 'redis-server is missing'
elif [ -z "$bin" ]; then
    cargo build --quiet --release --bin netdb
    bin=$(cargo metadata --format-version 1 --no-deps |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/release/netdb
fi
# What the environment says of other nodes is not for these.
for variable in ${!NETDB_@}; do unset "$variable"; done

work=$(mktemp -d "${TMPDIR:-/tmp}/netdb-clients.XXXXXX")
installed=${keep:-$work/installed}
mkdir -p "$installed"
pids=() # of each server by its number, and of the story
# Ends a process at once. The shell that waits for it would tell how it ended.
end_process() {
    if [ -n "$1" ]; then { kill -KILL "$1" && wait "$1"; } 2>/dev/null || true; fi
}
cleanup() {
    status=$?
    trap - EXIT INT TERM
    # Nothing that they hold is worth keeping.
    for pid in "${pids[@]}"; do end_process "$pid"; done
    rm -rf "$work"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# --- the servers ---------------------------------------------------------------------------

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Below the range that the system hands out by itself: nobody sits on a killed node's port.
next_port=$((10000 + $$ % 6000))
free_port() { # sets $port
    while answers "$next_port"; do next_port=$((next_port + 1)); done
    port=$next_port
    next_port=$((next_port + 1))
}

is_ready() {
    if [ -n "$redis" ]; then answers "${ports[$1]}"; else grep -qs ' is ready: ' "$work/out.$1"; fi
}

# Starts server $1 on its ports and waits until it is ready.
start() {
    local i=$1 until=$((SECONDS + START_WAIT))
    if [ -n "$redis" ]; then
        # Its clients find their values again, as those of a cluster do.
        mkdir -p "$work/redis"
        redis-server --bind 127.0.0.1 --port "${ports[$i]}" --dir "$work/redis" --save '' \
            --appendonly yes --appendfsync always >"$work/out.$i" 2>>"$work/log.$i" &
    else
        "$bin" start --no-repl --memory --replicas 2 --name "n$i" --cluster "clients-$$" \
            --listen "127.0.0.1:${peers[$i]}" --client "127.0.0.1:${ports[$i]}" \
            --seed "127.0.0.1:${peers[1]}" >"$work/out.$i" 2>>"$work/log.$i" &
    fi
    pids[i]=$!
    until is_ready "$i"; do
        if ! kill -0 "${pids[$i]}" 2>/dev/null || [ "$SECONDS" -ge "$until" ]; then
            tail -n 20 "$work/out.$i" "$work/log.$i" >&2
            die "server $i does not start"
        fi
        sleep 0.05
    done
}

# Which process is the server $1 of a story.
server() { if [ -n "$redis" ]; then printf 1; else printf '%s' "$1"; fi; }

kill_server() {
    end_process "${pids[$1]}"
    pids[$1]=''
    if answers "${ports[$1]}"; then die "server $1 does not end"; fi
}

alive_seen_by() {
    "$bin" exec --node "127.0.0.1:${ports[$1]}" members 2>/dev/null | grep -c ' alive ' || true
}

await_members() {
    local i until=$((SECONDS + START_WAIT))
    for i in 1 2 3; do
        while [ "$(alive_seen_by "$i")" -ne 3 ]; do
            [ "$SECONDS" -lt "$until" ] || die "n$i does not see three members alive"
            sleep 0.1
        done
    done
}

ports=() peers=()
if [ -n "$redis" ]; then
    free_port
    ports=('' "$port" "$port" "$port")
    start 1
else
    for i in 1 2 3; do
        free_port && ports[i]=$port
        free_port && peers[i]=$port
    done
    for i in 1 2 3; do start "$i"; done
    await_members
fi

# --- the clients ---------------------------------------------------------------------------

# Each `have_NAME` (whose caller's `if` turns off `set -e`) installs a client, and sets $version, $protocols and the command $story. It
# fails, with $lacking set, if what it needs is not on this machine.

needs() {
    for lacking in "$@"; do command -v "$lacking" >/dev/null || return 1; done
    lacking=''
}

have_redis_cli() {
    needs redis-cli || return 1
    version=$(redis-cli --version | cut -d' ' -f2) protocols='2 3'
    story=(bash tests/clients/story.sh)
}

have_redis_py() {
    needs python3 || return 1
    version=$REDIS_PY protocols='2 3'
    local venv=$installed/redis-py-$REDIS_PY
    if [ ! -e "$venv/done" ]; then
        python3 -m venv "$venv" &&
            "$venv/bin/pip" install --quiet --disable-pip-version-check "redis==$REDIS_PY" &&
            touch "$venv/done" || return 1
    fi
    story=("$venv/bin/python" -B tests/clients/story.py)
}

# Installs $2 of version $3 for the story $1, which runs beside it: that is where node looks.
npm_install() {
    local directory=$installed/$2-$3
    if [ ! -e "$directory/done" ]; then
        mkdir -p "$directory"
        printf '{ "private": true }\n' >"$directory/package.json"
        npm install --prefix "$directory" --silent --no-audit --no-fund --save-exact "$2@$3" &&
            touch "$directory/done" || return 1
    fi
    cp tests/clients/story.mjs "tests/clients/$1.mjs" "$directory"
    story=(node "$directory/$1.mjs")
}

have_node_redis() {
    needs node npm || return 1
    version=$NODE_REDIS protocols='2 3'
    npm_install node-redis redis "$NODE_REDIS"
}

have_ioredis() {
    needs node npm || return 1
    version=$IOREDIS protocols='2 3'
    npm_install ioredis ioredis "$IOREDIS"
}

have_redis_rs() {
    needs cargo cc || return 1
    protocols='2 3'
    # Away from this tree: what it depends on is no part of netdb.
    local project=$installed/redis-rs
    mkdir -p "$project"
    cp -R tests/clients/redis-rs/. "$project"
    version=$(sed -n 's/^redis = .*version = "=\([^"]*\)".*/\1/p' "$project/Cargo.toml")
    CARGO_TARGET_DIR=$project/target cargo build --quiet --manifest-path "$project/Cargo.toml" ||
        return 1
    story=("$project/target/debug/story")
}

# --- the stories ---------------------------------------------------------------------------

# Runs the story of client $1 in protocol $2. A story is told the three addresses, the protocol
# and the prefix of its keys. It says `kill N` and `start N` when that is to happen to a server
# and waits for a line that it has; and at the end, how many things it has checked.
tell() {
    local name=$1 protocol=$2 line status=0 from to
    checks=''
    coproc teller { exec timeout --signal=KILL "$STORY_WAIT" "${story[@]}" \
        "127.0.0.1:${ports[1]}" "127.0.0.1:${ports[2]}" "127.0.0.1:${ports[3]}" \
        "$protocol" "$name:$protocol" 2>"$work/story.log"; }
    pids[4]=$teller_PID
    exec {from}<&"${teller[0]}" {to}>&"${teller[1]}"
    while read -r -u "$from" line; do
        case $line in
            'kill '[123])
                kill_server "$(server "${line#kill }")"
                printf 'done\n' >&"$to"
                ;;
            'start '[123])
                start "$(server "${line#start }")"
                printf 'done\n' >&"$to"
                ;;
            'checks '*) checks=${line#checks } ;;
            *) printf '    %s\n' "$line" ;;
        esac
    done
    wait "${pids[4]}" || status=$?
    pids[4]=''
    exec {from}<&- {to}>&-
    if [ "$status" -ne 0 ] || [ -z "$checks" ]; then
        tail -n 40 "$work/story.log" | sed 's/^/    /' >&2
        return 1
    fi
}

rows=() skipped=0 failed=0
for name in "${chosen[@]}"; do
    lacking=''
    if ! "have_${name//-/_}" >"$work/install.log" 2>&1; then
        if [ -z "$lacking" ] || [ -n "$all" ]; then
            tail -n 20 "$work/install.log" >&2
            printf '%s FAILED: it cannot be installed%s\n' "$name" "${lacking:+: $lacking is missing}"
            rows+=("| $name | – | – | not installed | |")
            failed=$((failed + 1))
        else
            printf '%s skipped: %s is missing\n' "$name" "$lacking"
            rows+=("| $name | – | – | skipped | |")
            skipped=$((skipped + 1))
        fi
        continue
    fi
    for protocol in $protocols; do
        began=$SECONDS
        if tell "$name" "$protocol"; then
            printf '%s %s, RESP%s: %s checks\n' "$name" "$version" "$protocol" "$checks"
            rows+=("| $name | $version | RESP$protocol | $checks | $((SECONDS - began)) s |")
        else
            printf '%s %s, RESP%s: FAILED\n' "$name" "$version" "$protocol"
            rows+=("| $name | $version | RESP$protocol | failed | $((SECONDS - began)) s |")
            failed=$((failed + 1))
            # The next story finds all servers there, whatever this one left.
            for i in 1 2 3; do answers "${ports[$i]}" || start "$(server "$i")"; done
        fi
    done
done

printf '\n| client | version | protocol | checks | time |\n|---|---|---|--:|--:|\n'
printf '%s\n' "${rows[@]}"
printf '\n%s clients, %s skipped, %s stories failed\n' "${#chosen[@]}" "$skipped" "$failed"
[ "$failed" -eq 0 ]
