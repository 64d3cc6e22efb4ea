"""The story of scripts/test-clients.sh, told with redis-py.

Its arguments are three addresses, the protocol and a prefix for keys. Each chapter takes
clients of the nodes `a`, `b` and `c`, and says through `check` what must hold.
"""

import sys
import threading
import time

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

SOON = 20  # seconds; what takes a moment on an idle machine
addresses, protocol, prefix = sys.argv[1:4], int(sys.argv[4]), sys.argv[5]
checks = 0


def connect(address):
    host, port = address.rsplit(":", 1)
    return redis.Redis(
        host=host,
        port=int(port),
        protocol=protocol,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 20),
        socket_timeout=10,
    )


def key(name):
    return f"{prefix}:{name}"


def check(what, actual, expected):
    global checks
    if type(actual) is not type(expected) or actual != expected:
        raise AssertionError(f"{what}: {actual!r}, not {expected!r}")
    checks += 1


def check_within(what, actual, low, high):
    global checks
    if not low <= actual <= high:
        raise AssertionError(f"{what}: {actual!r}, not {low} to {high}")
    checks += 1


def fails(what, text, action):
    """Checks that the server answers with this error."""
    try:
        answer = action()
    except redis.ResponseError as error:
        check(what, str(error), text)
    else:
        raise AssertionError(f"{what}: {answer!r}, not the error {text!r}")


def eventually(what, expected, action):
    """Checks what is so after a moment: other nodes learn of things when these reach them."""
    end = time.monotonic() + SOON
    while (actual := action()) != expected and time.monotonic() < end:
        time.sleep(0.02)
    check(what, actual, expected)


def together(*actions):
    """Runs each in a thread of its own, and fails if one of them does."""
    errors = []

    def run(action):
        try:
            action()
        except BaseException as error:  # told to the main thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def which_protocol(a, b, c):
    for client in (a, b, c):
        hello = client.execute_command("HELLO")
        if isinstance(hello, list):
            hello = dict(zip(hello[::2], hello[1::2]))
        check("HELLO", hello[b"proto"], protocol)
    check("PING", a.ping(), True)
    check("ECHO", a.echo("hello"), b"hello")
    check("CLIENT SETNAME", a.client_setname("story"), True)
    check("maxmemory-policy", list(a.config_get("maxmemory-policy")), ["maxmemory-policy"])


def strings(a, b, c):
    k = key("string")
    check("SET", a.set(k, "one"), True)
    for client in (a, b, c):
        eventually("GET", b"one", lambda: client.get(k))
    check("GET nothing", a.get(key("nothing")), None)
    check("NX of a value", a.set(k, "two", nx=True), None)
    check("XX of a value", a.set(k, "two", xx=True), True)
    check("XX of none", a.set(key("none"), "x", xx=True), None)
    check("NX of none", a.set(key("none"), "x", nx=True), True)
    check("GET option", a.set(k, "three", get=True), b"two")
    check("GET option of none", a.set(key("new"), "x", get=True), None)
    check("NX GET", a.set(k, "four", nx=True, get=True), b"three")
    check("after NX GET", a.get(k), b"three")
    check("no end", a.ttl(k), -1)
    now = int(time.time())
    check("EX", a.set(k, "v", ex=100), True)
    check_within("TTL", a.ttl(k), 90, 100)
    check("PX", a.set(k, "v", px=200_000), True)
    check_within("PTTL", a.pttl(k), 190_000, 200_000)
    check("EXAT", a.set(k, "v", exat=now + 300), True)
    check("EXPIRETIME", a.expiretime(k), now + 300)
    check("PXAT", a.set(k, "v", pxat=(now + 400) * 1000 + 7), True)
    check("PEXPIRETIME", a.pexpiretime(k), (now + 400) * 1000 + 7)
    eventually("PEXPIRETIME elsewhere", (now + 400) * 1000 + 7, lambda: b.pexpiretime(k))
    check("KEEPTTL", a.set(k, "w", keepttl=True), True)
    check("after KEEPTTL", a.pexpiretime(k), (now + 400) * 1000 + 7)
    check("PERSIST by SET", a.set(k, "w"), True)
    check("no end again", a.ttl(k), -1)
    check("empty", a.set(k, ""), True)
    check("GET empty", a.get(k), b"")
    check("APPEND", a.append(k, "hello world"), 11)
    check("STRLEN", a.strlen(k), 11)
    check("GETRANGE", a.getrange(k, -5, -1), b"world")
    check("SETRANGE", a.setrange(k, 6, "there"), 11)
    check("GETEX", a.getex(k, ex=50), b"hello there")
    check_within("end by GETEX", a.ttl(k), 40, 50)
    check("GETDEL", a.getdel(k), b"hello there")
    check("EXISTS", a.exists(k, key("new"), key("new")), 2)
    check("DEL", a.delete(k, key("new")), 1)
    check("TYPE", a.type(key("none")), b"string")


def many(a, b, c):
    values = {key(f"many:{n}"): str(n).encode() for n in range(50)}
    check("MSET", a.mset(values), True)
    keys = [*values, key("many:missing")]
    eventually("MGET", [*values.values(), None], lambda: b.mget(keys))
    check("MSETNX", a.msetnx({key("many:0"): "x", key("many:50"): "x"}), False)
    check("after MSETNX", a.exists(key("many:50")), 0)
    check("RENAME", a.rename(key("many:0"), key("many:renamed")), True)
    eventually("renamed", b"0", lambda: c.get(key("many:renamed")))


def numbers(a, b, c):
    k, f = key("number"), key("float")
    check("INCR", a.incr(k), 1)

    def add(client, step):
        for _ in range(100):
            client.incrby(k, step)
            client.incrbyfloat(f, 0.1 * step)

    together(lambda: add(a, 1), lambda: add(b, 2))
    for client in (a, b, c):
        eventually("sum of two nodes", b"301", lambda: client.get(k))
        eventually("sum of fractions", b"30", lambda: client.get(f))
    check("DECRBY", c.decrby(k, 300), 1)
    check("INCRBYFLOAT", c.incrbyfloat(f, "-0.25"), 29.75)


def sets_and_hashes(a, b, c):
    s, other, h = key("set"), key("other set"), key("hash")
    check("SADD", a.sadd(s, "a", "b"), 2)
    eventually("SCARD", 2, lambda: b.scard(s))
    check("SADD elsewhere", b.sadd(s, "b", "c"), 1)
    for client in (a, b, c):
        eventually("SMEMBERS", {b"a", b"b", b"c"}, lambda: set(client.smembers(s)))
    check("SREM", c.srem(s, "a", "x"), 1)
    for client in (a, b, c):
        eventually("without it", {b"b", b"c"}, lambda: set(client.smembers(s)))
    check("SMISMEMBER", list(map(int, c.smismember(s, ["a", "b"]))), [0, 1])
    check("SADD", c.sadd(other, "c", "d"), 2)
    check("SINTER", set(c.sinter(s, other)), {b"c"})
    check("SDIFFSTORE", c.sdiffstore(other, [s, other]), 1)
    check("SPOP", c.spop(other), b"b")
    check("EXISTS", c.exists(other), 0)
    # What nodes add to one set at once is all there.
    members = [str(n) for n in range(100)]
    half = len(members) // 2
    together(lambda: a.sadd(other, *members[:half]), lambda: b.sadd(other, *members[half:]))
    for client in (a, b, c):
        eventually("all of both", len(members), lambda: client.scard(other))
    check("SSCAN", sorted(c.sscan_iter(other)), sorted(m.encode() for m in members))

    check("HSET", a.hset(h, mapping={"f": "1", "g": "two"}), 2)
    eventually("HMGET", [b"1", b"two", None], lambda: b.hmget(h, "f", "g", "x"))

    def add(client, step):
        for _ in range(50):
            client.hincrby(h, "f", step)

    together(lambda: add(a, 1), lambda: add(b, 2))
    for client in (a, b, c):
        eventually("sum of a field", b"151", lambda: client.hget(h, "f"))
    check("HSETNX", c.hsetnx(h, "f", "0"), 0)
    check("HDEL", b.hdel(h, "g", "x"), 1)
    for client in (a, b, c):
        eventually("HGETALL", {b"f": b"151"}, lambda: client.hgetall(h))
    check("HSCAN", c.hscan(h), (0, {b"f": b"151"}))
    check("EXPIRE", c.expire(h, 100), True)
    check_within("TTL", c.ttl(h), 90, 100)
    wrong = "WRONGTYPE Operation against a key holding the wrong kind of value"
    fails("GET of a hash", wrong, lambda: c.get(h))


def ends(a, b, c):
    k = key("short")
    check("SET PX", a.set(k, "v", px=700), True)
    eventually("before its end", b"v", lambda: b.get(k))
    eventually("after its end", None, lambda: b.get(k))
    eventually("after its end", -2, lambda: c.ttl(k))
    check("SET", a.set(k, "v"), True)
    check("EXPIRE", a.expire(k, 100), True)
    check("EXPIRE NX", a.expire(k, 50, nx=True), False)
    check("EXPIRE GT", a.expire(k, 200, gt=True), True)
    check_within("TTL", a.ttl(k), 190, 200)
    check("PERSIST", a.persist(k), True)
    check("TTL", a.ttl(k), -1)
    check("EXPIRE of none", a.expire(key("nothing"), 10), False)


def scan_and_pipelines(a, b, c):
    keys = [key(f"scan:{n}").encode() for n in range(1000)]
    with a.pipeline(transaction=False) as pipe:
        for k in keys:
            pipe.set(k, k)
        check("1,000 commands", pipe.execute(), [True] * 1000)
    eventually("SCAN", keys, lambda: in_order(b.scan_iter(match=key("scan:*"), count=100)))
    eventually("KEYS", 1000, lambda: len(c.keys(key("scan:*"))))
    with c.pipeline(transaction=False) as pipe:
        for k in keys:
            pipe.get(k)
        check("their answers", pipe.execute(), keys)
    with a.pipeline(transaction=False) as pipe:
        pipe.set(key("text"), "x").incr(key("text")).get(key("text"))
        answers = pipe.execute(raise_on_error=False)
        check("an error among answers", isinstance(answers[1], redis.ResponseError), True)
        check("answers around it", answers[::2], [True, b"x"])
    check("UNLINK", a.unlink(*keys), 1000)
    eventually("none is left", [], lambda: list(b.scan_iter(match=key("scan:*"))))


def in_order(keys):
    return sorted(keys, key=lambda k: int(k.rsplit(b":", 1)[1]))


def transactions(a, b, c):
    k, text = key("transaction"), key("text")
    with a.pipeline() as pipe:
        pipe.set(k, 1).incr(k).get(k).mget(k, key("nothing"))
        check("EXEC", pipe.execute(), [True, 2, b"2", [b"2", None]])
        pipe.set(text, "x").incr(text).incr(k)
        answers = pipe.execute(raise_on_error=False)
        check("one that fails", str(answers[1]), "value is not an integer or out of range")
        check("no rollback", answers[::2], [True, 3])
    eventually("elsewhere", b"3", lambda: b.get(k))
    with a.pipeline() as pipe:
        pipe.set(k, "x").execute_command("NOSUCH")
        try:
            pipe.execute()
            refused = "nothing"
        except redis.exceptions.ResponseError as error:
            refused = str(error)
        check("a command that does not exist", refused.count("unknown command"), 1)
    check("nothing was done", a.get(k), b"3")

    # WATCH: somebody else is faster, on this node or another.
    for other in (a, b):
        with a.pipeline() as pipe:
            pipe.watch(k)
            other.set(k, "other")
            eventually("other", b"other", lambda: a.get(k))
            pipe.multi()
            pipe.set(k, "mine")
            try:
                pipe.execute()
                lost = False
            except redis.WatchError:
                lost = True
            check("EXEC after a change", lost, True)
            check("the other's", a.get(k), b"other")
            pipe.watch(k)
            pipe.multi()
            pipe.set(k, "mine")
            check("EXEC without a change", pipe.execute(), [True])

    counter = key("counter")

    def count_up():
        for _ in range(50):
            a.transaction(
                lambda pipe: add_one(pipe, int(pipe.get(counter) or 0)), counter
            )

    def add_one(pipe, before):
        pipe.multi()
        pipe.set(counter, before + 1)

    together(count_up, count_up)
    check("no update is lost", a.get(counter), b"100")


def next_message(listener, within=SOON):
    end = time.monotonic() + within
    while time.monotonic() < end:
        message = listener.get_message(timeout=0.1)
        if message is not None:
            return message
    return None


def await_links(listeners, client, channel):
    """Publishes until all hear it: before nodes know who listens, nobody is told."""
    end = time.monotonic() + SOON
    for listener in listeners:
        while time.monotonic() < end:
            client.publish(channel, "are you there?")
            message = next_message(listener, 0.2)
            if message is not None and message["type"].endswith("message"):
                break
    for listener in listeners:
        while next_message(listener, 0.3) is not None:
            pass


def subscriptions(a, b, c):
    news = key("news")
    by_name, by_pattern = a.pubsub(), b.pubsub()
    by_name.subscribe(news)
    by_pattern.psubscribe(key("n?ws"))
    check("SUBSCRIBE", next_message(by_name)["type"], "subscribe")
    check("PSUBSCRIBE", next_message(by_pattern)["type"], "psubscribe")
    await_links([by_name, by_pattern], c, news)
    for n in range(100):
        c.publish(news, n)
    heard = [next_message(by_name) for _ in range(100)]
    check("messages in order", [m and m["data"] for m in heard], [b"%d" % n for n in range(100)])
    heard = [next_message(by_pattern) for _ in range(100)]
    check("by pattern", [m and m["data"] for m in heard], [b"%d" % n for n in range(100)])
    check("its channel", heard[0]["channel"], news.encode())
    check("its pattern", heard[0]["pattern"], key("n?ws").encode())
    check("CHANNELS", a.pubsub_channels(key("*")), [news.encode()])
    by_name.unsubscribe()
    check("UNSUBSCRIBE", next_message(by_name)["type"], "unsubscribe")
    eventually("nobody listens", [], lambda: a.pubsub_channels(key("*")))
    by_name.close()
    by_pattern.close()


def binary(a, b, c):
    every = bytes(range(256)) * 4 + b"\r\n$3\r\nfoo\r\n"
    k = key("binary:").encode() + every
    check("SET", a.set(k, every), True)
    eventually("GET", every, lambda: b.get(k))
    large = every * 58000
    check("SET of 60 MB", a.set(k, large), True)
    eventually("GET of 60 MB", large, lambda: c.get(k))
    check("its key", list(a.scan_iter(match=key("binary:*"), count=1000)), [k])
    check("DEL", b.delete(k), 1)


def errors(a, b, c):
    k = key("text")
    check("SET", a.set(k, "text"), True)
    fails("INCR of text", "value is not an integer or out of range", lambda: a.incr(k))
    fails("INCRBYFLOAT of text", "value is not a valid float", lambda: a.incrbyfloat(k, 1))
    fails(
        "too few arguments",
        "wrong number of arguments for 'get' command",
        lambda: a.execute_command("GET"),
    )
    fails("options", "syntax error", lambda: a.execute_command("SET", k, "v", "EX", "1", "PX", "1"))
    fails(
        "unknown",
        "unknown command 'NOSUCH', with args beginning with: 'x' ",
        lambda: a.execute_command("NOSUCH", "x"),
    )
    fails("RENAME", "no such key", lambda: a.rename(key("nothing"), k))
    check("still there", a.get(k), b"text")


def ask(line):
    """Has the script do something to a server."""
    print(line, flush=True)
    assert sys.stdin.readline() == "done\n", "the script does not answer"


def again(a, b, c):
    """The node of `b` dies and comes back: the same object goes on."""
    k, news = key("again"), key("news again")
    listener = b.pubsub()
    listener.subscribe(news)
    await_links([listener], c, news)
    check("SET", b.set(k, "before"), True)
    ask("kill 2")
    ask("start 2")
    eventually("GET", b"before", lambda: b.get(k))
    check("SET", b.set(k, "after"), True)
    eventually("elsewhere", b"after", lambda: c.get(k))
    await_links([listener], c, news)
    c.publish(news, "hello again")
    check("it listens again", next_message(listener)["data"], b"hello again")
    listener.close()


def main():
    a, b, c = (connect(address) for address in addresses)
    for chapter in (
        which_protocol,
        strings,
        many,
        numbers,
        sets_and_hashes,
        ends,
        scan_and_pipelines,
        transactions,
        subscriptions,
        binary,
        errors,
        again,
    ):
        chapter(a, b, c)
    print(f"checks {checks}", flush=True)


main()
