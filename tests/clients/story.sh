# The story of scripts/test-clients.sh, told with redis-cli.
#
# Its arguments are three addresses, the protocol and a prefix for keys. `cli NODE COMMAND…` is
# one redis-cli, a session is one that is given its commands line by line. Answers are compared
# as redis-cli shows them, with types.
set -euo pipefail

readonly SOON=20 # seconds; what takes a moment on an idle machine
addresses=("$1" "$2" "$3")
protocol=$4 prefix=$5 checks=0
readonly A=0 B=1 C=2 # the nodes

work=$(mktemp -d "${TMPDIR:-/tmp}/netdb-story.XXXXXX")
started=()
cleanup() {
    for pid in "${started[@]}"; do { kill "$pid" && wait "$pid"; } 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT

node() { # the arguments that lead to one
    local address=${addresses[$1]}
    node=("-$protocol" -h "${address%:*}" -p "${address##*:}")
}

cli() {
    local node
    node "$1"
    redis-cli "${node[@]}" --no-raw "${@:2}" </dev/null
}

check() { # what, actual, expected
    if [ "$2" != "$3" ]; then
        printf '%s: %s, not %s\n' "$1" "${2:0:500}" "${3:0:500}" >&2
        exit 1
    fi
    checks=$((checks + 1))
}

# Checks what a node answers: what is expected, the node and the command.
answers() { check "${*:3}" "$(cli "${@:2}")" "$1"; }

# The same, given some time: other nodes learn of things when these reach them.
soon() {
    local until=$((SECONDS + SOON))
    while [ "$(cli "${@:2}")" != "$1" ] && [ "$SECONDS" -lt "$until" ]; do sleep 0.05; done
    answers "$@"
}

# Checks that a node answers with a number within two: those, the node and the command.
within() {
    local shown number
    shown=$(cli "${@:3}")
    number=${shown#(integer) }
    case $number in
        '' | *[!0-9]*) check "${*:4}" "$shown" "$1 to $2" ;;
        *) check "${*:4}: $number" "$((number >= $1 && number <= $2))" 1 ;;
    esac
}

which_protocol() {
    local node proto='^ *6) (integer) 2$'
    # Only RESP3 has maps.
    [ "$protocol" = 2 ] || proto='^ *[0-9]*# "proto" => (integer) 3$'
    for node in $A $B $C; do
        check HELLO "$(cli "$node" HELLO | grep -c "$proto")" 1
        answers PONG "$node" PING
    done
}

strings() {
    local k=$prefix:string now end node
    answers OK $A SET "$k" one
    for node in $A $B $C; do soon '"one"' "$node" GET "$k"; done
    answers '(nil)' $A GET "$prefix:nothing"
    answers '(nil)' $A SET "$k" two NX
    answers OK $A SET "$k" two XX
    answers '(nil)' $A SET "$prefix:none" x XX
    answers OK $A SET "$prefix:none" x NX
    answers '"two"' $A SET "$k" three GET
    answers '(nil)' $A SET "$prefix:new" x GET
    answers '"three"' $A SET "$k" four NX GET
    answers '"three"' $A GET "$k"
    answers '(integer) -1' $A TTL "$k"
    now=$(date +%s) end=$((($(date +%s) + 400) * 1000 + 7))
    answers OK $A SET "$k" v EX 100
    within 90 100 $A TTL "$k"
    answers OK $A SET "$k" v PX 200000
    within 190000 200000 $A PTTL "$k"
    answers OK $A SET "$k" v EXAT $((now + 300))
    answers "(integer) $((now + 300))" $A EXPIRETIME "$k"
    answers OK $A SET "$k" v PXAT "$end"
    answers "(integer) $end" $A PEXPIRETIME "$k"
    soon "(integer) $end" $B PEXPIRETIME "$k"
    answers OK $A SET "$k" w KEEPTTL
    answers "(integer) $end" $A PEXPIRETIME "$k"
    answers OK $A SET "$k" w
    answers '(integer) -1' $A TTL "$k"
    answers OK $A SET "$k" ''
    answers '""' $A GET "$k"
    answers '(integer) 11' $A APPEND "$k" 'hello world'
    answers '"world"' $A GETRANGE "$k" -5 -1
    answers '(integer) 11' $A SETRANGE "$k" 6 there
    answers '"hello there"' $A GETEX "$k" EX 50
    within 40 50 $A TTL "$k"
    answers '"hello there"' $A GETDEL "$k"
    answers '(integer) 0' $A EXISTS "$k"
}

many() {
    answers OK $A MSET "$prefix:a" 1 "$prefix:b" 2
    soon $'1) "1"\n2) "2"\n3) (nil)' $B MGET "$prefix:a" "$prefix:b" "$prefix:c"
    answers '(integer) 0' $A MSETNX "$prefix:a" x "$prefix:c" x
    answers '(integer) 0' $A EXISTS "$prefix:c"
    answers OK $A RENAME "$prefix:a" "$prefix:c"
    soon '"1"' $C GET "$prefix:c"
}

# Adds to a number and a fraction a hundred times.
add() { # node, number, fraction
    cli "$1" -r 100 INCRBY "$prefix:number" "$2" >/dev/null
    cli "$1" -r 100 INCRBYFLOAT "$prefix:float" "$3" >/dev/null
}

numbers() {
    local one two node
    add $A 1 0.1 &
    one=$!
    add $B 2 0.2 &
    two=$!
    wait $one
    wait $two
    for node in $A $B $C; do
        soon '"300"' "$node" GET "$prefix:number"
        soon '"30"' "$node" GET "$prefix:float"
    done
    answers '(integer) 1' $C DECRBY "$prefix:number" 299
    answers '"29.75"' $C INCRBYFLOAT "$prefix:float" -0.25
}

# In RESP3 there are sets and maps.
sets_and_hashes() {
    local set=$prefix:set other=$prefix:other hash=$prefix:hash one='1) "b"' all node
    all=$'1) "f"\n2) "7"'
    if [ "$protocol" = 3 ]; then one='1~ "b"' all='1# "f" => "7"'; fi
    answers '(integer) 2' $A SADD "$set" a b
    soon '(integer) 2' $B SCARD "$set"
    answers '(integer) 1' $B SADD "$set" b c
    answers '(integer) 2' $B SREM "$set" a c
    for node in $A $B $C; do soon "$one" "$node" SMEMBERS "$set"; done
    answers '(integer) 1' $C SISMEMBER "$set" b
    answers '(integer) 2' $C SADD "$other" b d
    answers "$one" $C SINTER "$set" "$other"
    answers '(integer) 2' $C SUNIONSTORE "$other" "$set" "$other"
    answers '(integer) 1' $C SMOVE "$other" "$set" d
    soon '(integer) 2' $A SCARD "$set"
    answers '(integer) 2' $A HSET "$hash" f 1 g 2
    soon $'1) "1"\n2) "2"\n3) (nil)' $B HMGET "$hash" f g h
    answers '(integer) 3' $A HINCRBY "$hash" f 2
    soon '"3"' $B HGET "$hash" f
    answers '(integer) 7' $B HINCRBY "$hash" f 4
    answers '(integer) 1' $B HDEL "$hash" g
    for node in $A $B $C; do soon "$all" "$node" HGETALL "$hash"; done
    answers $'1) "0"\n2) 1) "f"\n   2) "7"' $C HSCAN "$hash" 0
    answers '(error) WRONGTYPE Operation against a key holding the wrong kind of value' \
        $C GET "$hash"
    answers '"b"' $C SPOP "$other"
    answers '(integer) 0' $C EXISTS "$other"
}

ends() {
    local k=$prefix:short
    answers OK $A SET "$k" v PX 1500
    soon '"v"' $B GET "$k"
    soon '(nil)' $B GET "$k"
    soon '(integer) -2' $C TTL "$k"
    answers OK $A SET "$k" v
    answers '(integer) 1' $A EXPIRE "$k" 100
    answers '(integer) 0' $A EXPIRE "$k" 50 NX
    answers '(integer) 1' $A EXPIRE "$k" 200 GT
    within 190 200 $A TTL "$k"
    answers '(integer) 1' $A PERSIST "$k"
    answers '(integer) -1' $A TTL "$k"
}

scan_and_pipelines() {
    local node n k until keys
    node $A
    for n in {1..1000}; do
        k=$prefix:scan:$n
        printf '*3\r\n$3\r\nSET\r\n$%s\r\n%s\r\n$%s\r\n%s\r\n' ${#k} "$k" ${#n} "$n"
    done >"$work/commands"
    check '1,000 commands' "$(redis-cli "${node[@]}" --pipe <"$work/commands" | tail -n 1)" \
        'errors: 0, replies: 1000'
    keys=$(for n in {1..1000}; do printf '%s\n' "$prefix:scan:$n"; done | sort)
    until=$((SECONDS + SOON))
    while ! scan; do [ "$SECONDS" -lt "$until" ] || break; done
    check SCAN "$found" "$keys"
    check 'their values' "$(cli $C MGET $(seq -f "$prefix:scan:%.0f" 1 1000) | grep -c '^ *[0-9]*) "[0-9]*"$')" 1000
    answers '(integer) 1000' $A UNLINK $(seq -f "$prefix:scan:%.0f" 1 1000)
}

# All keys of the chapter, as another node has them, are in $found.
scan() {
    local node
    node $B
    found=$(redis-cli "${node[@]}" --scan --pattern "$prefix:scan:*" </dev/null | sort)
    [ "$found" = "$keys" ]
}

# A redis-cli on node $2 that is called $1 and reads its commands from here.
session() {
    local node to from
    node "$2"
    mkfifo "$work/$1.in" "$work/$1.out"
    redis-cli "${node[@]}" --no-raw <"$work/$1.in" >"$work/$1.out" 2>&1 &
    started+=($!)
    exec {to}>"$work/$1.in" {from}<"$work/$1.out"
    printf -v "$1_to" %s "$to"
    printf -v "$1_from" %s "$from"
}

# Sends a command in a session; the line that is answered is in $line.
say() {
    local to=$1_to from=$1_from
    printf '%s\n' "${*:2}" >&"${!to}"
    IFS= read -r -t "$SOON" -u "${!from}" line || line='no answer'
}

# Checks what the next line of a session is.
hears() {
    local from=$2_from line
    IFS= read -r -t "$SOON" -u "${!from}" line || line='no answer'
    check 'the next line' "$line" "$1"
}

says() { # what is expected, the session and the command
    say "${@:2}"
    check "${*:3}" "$line" "$1"
}

transactions() {
    local k=$prefix:transaction line other first
    session one $A
    session two $A
    says OK one MULTI
    says QUEUED one SET "$k" 1
    says QUEUED one INCR "$k"
    says QUEUED one APPEND "$k" x
    says QUEUED one INCR "$k"
    says '1) OK' one EXEC
    for line in '2) (integer) 2' '3) (integer) 2' \
        '4) (error) ERR value is not an integer or out of range'; do
        hears "$line" one
    done
    soon '"2x"' $B GET "$k"
    says OK one MULTI
    says QUEUED one SET "$k" y
    says OK one DISCARD
    says '"2x"' one GET "$k"
    says OK one MULTI
    says "(error) ERR unknown command 'NOSUCH', with args beginning with: " one NOSUCH
    says '(error) EXECABORT Transaction discarded because of previous errors.' one EXEC

    # WATCH: somebody else is faster, on this node or another.
    for other in $A $B; do
        says OK one WATCH "$k"
        answers OK "$other" SET "$k" "other$other"
        soon "\"other$other\"" $A GET "$k"
        says OK one MULTI
        says QUEUED one SET "$k" mine
        says '(nil)' one EXEC
        says "\"other$other\"" one GET "$k"
    done

    count_up one 30 &
    first=$!
    count_up two 30 &
    wait "$!"
    wait "$first"
    answers '"60"' $A GET "$prefix:counter"
}

# Adds one to the number at $prefix:counter as often as told, each time if nobody else did meanwhile.
count_up() { # session, times
    local times=0 before
    while [ "$times" -lt "$2" ]; do
        says OK "$1" WATCH "$prefix:counter"
        say "$1" GET "$prefix:counter"
        before=${line//[!0-9]/}
        says OK "$1" MULTI
        says QUEUED "$1" SET "$prefix:counter" $((${before:-0} + 1))
        say "$1" EXEC
        case $line in
            '1) OK') times=$((times + 1)) ;;
            *) check EXEC "$line" '(nil)' ;;
        esac
    done
}

# Subscribes on node $1, with a command whose answers are kept in the file $work/$2.
listen() {
    local node
    node "$1"
    redis-cli "${node[@]}" "${@:3}" >"$work/$2" 2>&1 </dev/null &
    started+=($!)
}

heard() { grep -c "$2" "$work/$1" || true; }

subscriptions() {
    local channel=$prefix:news n until=$((SECONDS + SOON)) node
    listen $A name SUBSCRIBE "$channel"
    listen $B pattern PSUBSCRIBE "$prefix:n?ws"
    # Before nodes know who listens nobody is told.
    until [ "$(heard name there)" -gt 0 ] && [ "$(heard pattern there)" -gt 0 ]; do
        [ "$SECONDS" -lt "$until" ] || break
        cli $C PUBLISH "$channel" 'are you there?' >/dev/null
        sleep 0.1
    done
    node $C
    for n in {1..100}; do printf 'PUBLISH %s message-%s\n' "$channel" "$n"; done |
        redis-cli "${node[@]}" >/dev/null
    until [ "$(heard name message-100)" -gt 0 ] && [ "$(heard pattern message-100)" -gt 0 ]; do
        [ "$SECONDS" -lt "$until" ] || break
        sleep 0.05
    done
    check 'messages in order' "$(grep -o 'message-[0-9]*' "$work/name")" \
        "$(seq -f 'message-%.0f' 1 100)"
    check 'by pattern' "$(grep -o 'message-[0-9]*' "$work/pattern")" \
        "$(seq -f 'message-%.0f' 1 100)"
    check 'its pattern' "$(grep -A1 '^pmessage$' "$work/pattern" | grep -cxF "$prefix:n?ws")" \
        "$(grep -c '^pmessage$' "$work/pattern")"
    answers "1) \"$channel\"" $A PUBSUB CHANNELS "$prefix:*"
}

binary() {
    local k=$prefix:binary node n
    for n in {0..255}; do printf "\\x$(printf %x "$n")"; done >"$work/every"
    printf '\r\n$3\r\nfoo\r\n' >>"$work/every"
    node $A
    check 'SET of every byte' "$(redis-cli "${node[@]}" -x SET "$k" <"$work/every")" OK
    soon "(integer) $(wc -c <"$work/every")" $B STRLEN "$k"
    node $B
    redis-cli "${node[@]}" --raw GET "$k" >"$work/again" </dev/null
    printf '\n' >>"$work/every" # as redis-cli ends an answer
    check 'every byte' "$(cmp "$work/every" "$work/again" && echo same)" same
}

errors() {
    local k=$prefix:text
    answers OK $A SET "$k" text
    answers '(error) ERR value is not an integer or out of range' $A INCR "$k"
    answers '(error) ERR value is not a valid float' $A INCRBYFLOAT "$k" 1
    answers "(error) ERR wrong number of arguments for 'get' command" $A GET
    answers '(error) ERR syntax error' $A SET "$k" v EX 1 PX 1
    answers "(error) ERR unknown command 'NOSUCH', with args beginning with: 'x' " $A NOSUCH x
    answers '(error) ERR no such key' $A RENAME "$prefix:nothing" "$k"
    answers '"text"' $A GET "$k"
}

# Has the script do something to a server.
ask() {
    local answer
    printf '%s\n' "$1"
    read -r answer
    check "$1" "$answer" 'done'
}

# The node of a session dies and comes back: the same redis-cli goes on.
again() {
    local k=$prefix:again until=$((SECONDS + SOON))
    session lasting $B
    says OK lasting SET "$k" before
    ask 'kill 2'
    ask 'start 2'
    # It connects again for a command that fails, and says that with lines of its own.
    say lasting GET "$k"
    while [ "$line" != '"before"' ] && [ "$SECONDS" -lt "$until" ]; do
        sleep 0.1
        say lasting GET "$k"
    done
    check 'GET again' "$line" '"before"'
    answers OK $C SET "$k" after
    until=$((SECONDS + SOON))
    while [ "$line" != '"after"' ] && [ "$SECONDS" -lt "$until" ]; do say lasting GET "$k"; done
    check 'GET of what is new' "$line" '"after"'
}

which_protocol
strings
many
numbers
sets_and_hashes
ends
scan_and_pipelines
transactions
subscriptions
binary
errors
again
printf 'checks %s\n' "$checks"
