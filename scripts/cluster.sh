#!/usr/bin/env bash
# A cluster of netdb nodes on this machine, for development. See --help.
#
# What it keeps, below DIR:
#   cluster          the cluster's name: two directories never become one cluster
#   nI/ports         "CLUSTERPORT CLIENTPORT" of node I; a restart uses the same
#   nI/process       "PID START" of node I: PID alone could be somebody else's by now
#   nI/log           what node I said; appended to over restarts
#   nI/data          its data; it survives kill, stop and down
set -euo pipefail
export LC_ALL=C

readonly WAIT_DEFAULT=30      # seconds; ten nodes on two busy cores need a few
readonly STOP_WAIT=10         # seconds between asking a node to leave and ending it
readonly PORT_TRIES=20        # other port pairs to try when somebody holds the first
readonly PORT_LOW=17000       # below the range that systems hand out by themselves, so
readonly PORT_SPAN=12000      # that no outgoing connection sits on a stopped node's port

usage() {
    cat <<'TEXT'
usage: scripts/cluster.sh [--dir DIR] [--base-port PORT] [--wait SECONDS] COMMAND

  up [N]       start nodes 1..N (default 3) from one seed, wait until every one sees
               all of them alive, say how to connect; starts only what does not run
  status       every member as each running node sees it
  repl [I]     a REPL on node I (default: the first that runs)
  kill I       end node I without warning (kill -9); its data stays
  stop I       ask node I to leave the cluster; its data stays
  start I      start node I again, on the same ports and data
  down         stop every node; the data stays
  wipe         stop every node and remove their data
  logs [I] [-f]  the last lines of node I's log (default: of every node); -f follows

  --dir DIR          where the cluster lives (default: .cluster in the project)
  --base-port PORT   first port to try (default: depends on DIR)
  --wait SECONDS     how long to wait for the members (default: 30)

Environment: NETDB_BIN is the binary to use instead of a release build of this tree;
NETDB_LOG is handed on to the nodes. Clusters under different --dirs do not meet.
TEXT
}

say() { printf '%s\n' "$*"; }
die() {
    printf 'cluster.sh: %s\n' "$*" >&2
    exit 1
}
misuse() {
    printf 'cluster.sh: %s; see scripts/cluster.sh --help\n' "$*" >&2
    exit 2
}

# --- processes: a pid and when it started name one process for ever -------------------

# When process $1 started; empty if it does not run (a zombie does not).
started_at() {
    local stat fields
    if [ -r "/proc/$1/stat" ]; then
        stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
        # The name, in parentheses, may hold anything; what follows is fields 3 and on.
        read -r -a fields <<<"${stat##*) }"
        case ${fields[0]} in Z | X) return 0 ;; esac
        printf '%s-%s' "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)" "${fields[19]}"
    elif [ ! -d /proc/self ]; then
        case $(ps -o stat= -p "$1" 2>/dev/null) in '' | Z*) return 0 ;; esac
        ps -o lstart= -p "$1" 2>/dev/null | tr -s ' ' '-'
    fi
}

# The pid of node $1 if the process that was started for it still runs.
pid_of() {
    local pid='' start=''
    [ -r "$dir/n$1/process" ] || return 0
    read -r pid start <"$dir/n$1/process" || true
    [ -n "$pid" ] && [ -n "$start" ] || return 0
    [ "$(started_at "$pid")" != "$start" ] || printf '%s' "$pid"
}

runs() { [ -n "$(pid_of "$1")" ]; }

# Sends signal $2 to node $1, if it is the process that was started for it.
signal() {
    local pid
    pid=$(pid_of "$1")
    [ -z "$pid" ] || kill "-$2" "$pid" 2>/dev/null || true
}

# Waits at most $2 seconds until node $1 has ended.
ended_within() {
    local until=$((SECONDS + $2))
    while runs "$1"; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.05
    done
}

# Ends the nodes given: asks, waits, insists. All of them are asked first.
end_nodes() {
    local i
    for i in "$@"; do signal "$i" TERM; done
    for i in "$@"; do
        if ! ended_within "$i" "$STOP_WAIT"; then
            say "node $i did not leave within $STOP_WAIT s; ending it"
            signal "$i" KILL
            ended_within "$i" "$STOP_WAIT" || die "node $i does not end"
        fi
        rm -f "$dir/n$i/process"
    done
}

# --- nodes ------------------------------------------------------------------------------

# The numbers of all nodes of this directory, in order.
all_nodes() {
    local path
    for path in "$dir"/n[0-9]*; do
        [ -d "$path" ] && printf '%s\n' "${path##*/n}"
    done | sort -n
}

running_nodes() {
    local i
    for i in $(all_nodes); do
        if runs "$i"; then printf '%s\n' "$i"; fi
    done
}

cluster_addr() { awk '{ print "127.0.0.1:" $1 }' "$dir/n$1/ports"; }
client_addr() { awk '{ print "127.0.0.1:" $2 }' "$dir/n$1/ports"; }

# Whether something accepts connections on port $1 of this machine.
answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Whether another node of this directory owns port $1, running or not.
reserved() {
    local path
    for path in "$dir"/n[0-9]*/ports; do
        if [ -r "$path" ] && grep -qw "$1" "$path"; then return 0; fi
    done
    return 1
}

free_port() {
    local port=$1
    while reserved "$port" || answers "$port"; do port=$((port + 1)); done
    printf '%s' "$port"
}

# Where the search for ports begins: apart for different directories, and the same each
# time for one of them.
first_port() {
    if [ -n "$base_port" ]; then
        printf '%s' "$base_port"
    else
        printf '%s' "$((PORT_LOW + $(printf '%s' "$dir" | cksum | cut -d' ' -f1) % PORT_SPAN))"
    fi
}

# Starts the process of node $1 on its ports. Says nothing about whether it gets ready.
launch() {
    local i=$1 name seed variable pid
    name=$(cat "$dir/cluster")
    seed=$(cluster_addr 1)
    printf '\n--- node %s starts\n' "$i" >>"$dir/n$i/log"
    # In a process group of its own (set -m) Ctrl-C here does not reach it; with nohup it
    # outlives the terminal. Settings of the caller's environment are not for this node.
    pid=$(
        for variable in ${!NETDB_@}; do
            case $variable in (NETDB_LOG*) ;; (*) unset "$variable" ;; esac
        done
        set -m
        nohup "$bin" start --name "n$i" --cluster "$name" --seed "$seed" \
            --listen "$(cluster_addr "$i")" --client "$(client_addr "$i")" \
            --data "$dir/n$i/data" --no-repl >>"$dir/n$i/log" 2>&1 </dev/null &
        printf '%s' "$!"
    )
    printf '%s %s\n' "$pid" "$(started_at "$pid")" >"$dir/n$i/process"
}

# What node $1 said since its last start.
last_run() { awk '/^--- node [0-9]+ starts$/ { text = ""; next } { text = text $0 "\n" } END { printf "%s", text }' "$dir/n$1/log"; }

# Waits until node $1 is ready: 0, it ended: 1, or too long: 2.
await_ready() {
    local until=$((SECONDS + wait_s))
    until last_run "$1" | grep -q ' is ready: '; do
        runs "$1" || return 1
        [ "$SECONDS" -lt "$until" ] || return 2
        sleep 0.05
    done
}

show_failure() {
    say "node $1 did not get ready; the end of $dir/n$1/log:" >&2
    last_run "$1" | tail -n 15 | sed 's/^/    /' >&2
}

# Starts node $1 for the first time. Somebody else may take a port between our look and
# the node's bind, or hold it for UDP only: then the node ends and the next ports are tried.
create() {
    local i=$1 try port
    mkdir -p "$dir/n$i"
    port=$(($(first_port) + 2 * (i - 1)))
    for try in $(seq "$PORT_TRIES"); do
        rm -f "$dir/n$i/ports"
        port=$(free_port "$port")
        printf '%s %s\n' "$port" "$(free_port $((port + 1)))" >"$dir/n$i/ports"
        launch "$i"
        if await_ready "$i"; then return; fi
        if runs "$i" || ! last_run "$i" | grep -qiE 'taken|in use'; then break; fi
        port=$((port + 2 + RANDOM % 50))
    done
    show_failure "$i"
    signal "$i" KILL
    rm -f "$dir/n$i/ports" "$dir/n$i/process"
    return 1
}

# Starts node $1, new or known.
start_node() {
    if [ ! -r "$dir/n$1/ports" ]; then
        create "$1"
    else
        launch "$1"
        await_ready "$1" || { show_failure "$1"; return 1; }
    fi
}

# How many members node $1 sees alive; 0 if it does not answer.
alive_seen_by() {
    { "$bin" exec --node "$(client_addr "$1")" members 2>/dev/null || true; } |
        awk '/:[0-9]/ { for (i = 2; i <= NF; i++) if ($i == "alive") { n++; break } } END { print n + 0 }'
}

# Waits until every running node sees all running nodes, and no other, alive.
await_members() {
    local nodes wanted until i seen
    nodes=$(running_nodes)
    wanted=$(printf '%s\n' "$nodes" | grep -c .)
    until=$((SECONDS + wait_s))
    for i in $nodes; do
        while seen=$(alive_seen_by "$i") && [ "$seen" -ne "$wanted" ]; do
            [ "$SECONDS" -lt "$until" ] || {
                say "node $i sees $seen members alive after $wait_s s, not $wanted" >&2
                return 1
            }
            sleep 0.1
        done
    done
}

# --- the binary --------------------------------------------------------------------------

target_dir() {
    (cd "$root" && cargo metadata --format-version 1 --no-deps) |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

# Sets bin. With "build" the release build is brought up to date, else one must be there.
find_bin() {
    if [ -n "${NETDB_BIN:-}" ]; then
        bin=$(absolute "$NETDB_BIN")
        [ -x "$bin" ] || die "NETDB_BIN is $bin, which is not a program"
        return
    fi
    command -v cargo >/dev/null || die "cargo is not there: install Rust from https://rustup.rs"
    bin=$(target_dir)/release/netdb
    if [ "${1:-}" = build ] || [ ! -x "$bin" ]; then
        (cd "$root" && cargo build --release --bin netdb) || die "the build failed"
    fi
}

absolute() {
    case $1 in /*) printf '%s' "$1" ;; *) printf '%s/%s' "$PWD" "$1" ;; esac
}

# --- commands ----------------------------------------------------------------------------

started=''
undo() {
    trap - EXIT INT TERM
    [ -z "$started" ] || { say "ending what was started" >&2; end_nodes $started; }
    unlock
}

# One cluster.sh at a time changes a directory.
lock() {
    local until=$((SECONDS + wait_s)) pid start
    mkdir -p "$dir"
    until mkdir "$dir/lock" 2>/dev/null; do
        pid='' start=''
        read -r pid start <"$dir/lock/owner" 2>/dev/null || true
        if [ -n "$pid" ] && [ "$(started_at "$pid")" != "$start" ]; then
            unlock # Its owner ended without a chance to.
        else
            [ "$SECONDS" -lt "$until" ] || die "$dir is in use by process ${pid:-?} (remove $dir/lock if not)"
            sleep 0.1
        fi
    done
    printf '%s %s\n' "$$" "$(started_at $$)" >"$dir/lock/owner"
    trap unlock EXIT
}
unlock() { rm -rf "$dir/lock"; }

need_known() {
    case ${1:-} in
        '') misuse "which node? give its number" ;;
        *[!0-9]*) misuse "\`$1\` is not the number of a node" ;;
    esac
    [ -r "$dir/n$1/ports" ] || die "there is no node $1 in $dir; it has: $(all_nodes | tr '\n' ' ')"
}

need_running() {
    need_known "$1"
    runs "$1" || die "node $1 does not run; scripts/cluster.sh start $1"
}

how_to_connect() {
    local i self="${BASH_SOURCE[0]}" options=''
    [ "$dir" = "$root/.cluster" ] || options=" --dir $dir"
    say "$(running_nodes | grep -c .) nodes run, and each sees all of them alive:"
    for i in $(running_nodes); do
        say "  n$i   clients $(client_addr "$i")   cluster $(cluster_addr "$i")   pid $(pid_of "$i")"
    done
    say "connect:   $self$options repl"
    say "      or   $bin repl $(client_addr "$(running_nodes | sed -n 1p)")"
    say "      or   redis-cli -p $(client_addr "$(running_nodes | sed -n 1p)" | cut -d: -f2)"
    say "stop:      $self$options down"
}

up() {
    local n=${1:-3} i fresh=''
    case $n in '' | *[!0-9]* | 0*) misuse "\`$n\` is not a number of nodes" ;; esac
    for i in $(running_nodes); do
        [ "$i" -le "$n" ] || die "node $i runs too: stop it, or ask for up $i"
    done
    for i in $(seq "$n"); do runs "$i" || fresh="$fresh $i"; done
    if [ -z "$fresh" ]; then
        find_bin
        await_members || exit 1
        say "already up"
        how_to_connect
        return
    fi
    find_bin build
    [ -s "$dir/cluster" ] || printf 'dev-%s-%s\n' "$(printf '%s' "$dir" | cksum | cut -d' ' -f1)" "$$" >"$dir/cluster"
    trap undo EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    for i in $fresh; do
        started="$started $i"
        start_node "$i"
    done
    await_members
    started=''
    how_to_connect
}

status() {
    local i
    [ -n "$(all_nodes)" ] || { say "no cluster in $dir"; return; }
    for i in $(all_nodes); do
        if runs "$i"; then
            say "n$i (pid $(pid_of "$i"), clients $(client_addr "$i")) sees:"
            "$bin" exec --node "$(client_addr "$i")" members | sed 's/^/  /' || true
        else
            say "n$i does not run"
        fi
    done
}

logs() {
    local i='' follow='' argument
    for argument in "$@"; do
        case $argument in -f) follow=-f ;; *) i=$argument ;; esac
    done
    if [ -n "$i" ]; then
        need_known "$i"
        exec tail -n 100 $follow "$dir/n$i/log"
    fi
    [ -n "$(all_nodes)" ] || die "no cluster in $dir"
    exec tail -n 20 $follow "$dir"/n[0-9]*/log
}

wipe() {
    local i
    end_nodes $(running_nodes)
    for i in $(all_nodes); do
        rm -rf "$dir/n$i/data"
        rm -f "$dir/n$i/ports" "$dir/n$i/process" "$dir/n$i/log"
        rmdir "$dir/n$i"
    done
    rm -f "$dir/cluster"
    unlock
    trap - EXIT
    rmdir "$dir" 2>/dev/null || say "$dir is not empty and stays"
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
dir=$root/.cluster
base_port=''
wait_s=$WAIT_DEFAULT
bin=''
while [ $# -gt 0 ]; do
    case $1 in
        --dir) dir=$(absolute "${2:?--dir needs a directory}") ;;
        --base-port) base_port=${2:?--base-port needs a port} ;;
        --wait) wait_s=${2:?--wait needs seconds} ;;
        -h | --help)
            usage
            exit 0
            ;;
        -*) misuse "there is no option $1" ;;
        *) break ;;
    esac
    shift 2
done
case $wait_s$base_port in *[!0-9]*) misuse "--wait and --base-port take whole numbers" ;; esac
command=${1:-}
[ $# -eq 0 ] || shift

case $command in
    up)
        lock
        up "$@"
        ;;
    status)
        find_bin
        status
        ;;
    repl)
        i=${1:-$(running_nodes | sed -n 1p)}
        [ -n "$i" ] || die "no node runs; scripts/cluster.sh up"
        need_running "$i"
        find_bin
        exec "$bin" repl "$(client_addr "$i")"
        ;;
    kill)
        need_running "${1:-}"
        lock
        signal "$1" KILL
        ended_within "$1" "$STOP_WAIT" || die "node $1 does not end"
        rm -f "$dir/n$1/process"
        say "node $1 is killed; its data stays in $dir/n$1/data"
        ;;
    stop)
        need_running "${1:-}"
        lock
        end_nodes "$1"
        say "node $1 has left; its data stays in $dir/n$1/data"
        ;;
    start)
        need_known "${1:-}"
        if runs "$1"; then
            say "node $1 runs already: clients $(client_addr "$1")"
            exit 0
        fi
        lock
        find_bin
        trap undo EXIT
        trap 'exit 130' INT
        trap 'exit 143' TERM
        started=$1
        start_node "$1"
        await_members
        started=''
        say "node $1 runs: clients $(client_addr "$1")"
        ;;
    down)
        if [ -z "$(running_nodes)" ]; then
            say "nothing runs in $dir"
            exit 0
        fi
        lock
        end_nodes $(running_nodes)
        say "all nodes have left; their data stays in $dir"
        ;;
    wipe)
        [ -n "$(all_nodes)" ] || { say "no cluster in $dir"; exit 0; }
        lock
        wipe
        ;;
    logs) logs "$@" ;;
    '')
        usage >&2
        exit 2
        ;;
    *) misuse "there is no command \`$command\`" ;;
esac
