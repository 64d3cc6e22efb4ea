// The story of scripts/test-clients.sh for clients of Node.js. `node-redis.mjs` and
// `ioredis.mjs` each say how their client does what the chapters ask of it.
//
// Its arguments are three addresses, the protocol and a prefix for keys. Each chapter takes
// clients of the nodes `a`, `b` and `c`, and says through `check` what must hold.

import { deepStrictEqual } from 'node:assert'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

const SOON = 20_000 // ms; what takes a moment on an idle machine
const A_MOMENT = 200 // ms; how long a message may be on its way
const [prefix] = process.argv.slice(6)
export const protocol = Number(process.argv[5])
let checks = 0

const key = (name) => `${prefix}:${name}`

function check(what, actual, expected) {
    deepStrictEqual({ [what]: actual }, { [what]: expected })
    checks += 1
}

function checkWithin(what, actual, low, high) {
    check(`${what}: ${actual} is from ${low} to ${high}`, low <= actual && actual <= high, true)
}

// Checks that the server answers with this error.
async function fails(what, message, action) {
    let answer
    try {
        answer = await action()
    } catch (error) {
        check(what, error.message, message)
        return
    }
    check(what, answer, `the error ${message}`)
}

// Checks what is so after a moment: other nodes learn of things when these reach them.
async function eventually(what, expected, action) {
    const end = Date.now() + SOON
    for (;;) {
        const actual = await action()
        try {
            deepStrictEqual(actual, expected)
        } catch {
            if (Date.now() < end) {
                await sleep(20)
                continue
            }
        }
        check(what, actual, expected)
        return
    }
}

// What a command that answers with a map answers in either protocol, as an object.
function fields(answer) {
    if (answer instanceof Map) return Object.fromEntries(answer)
    if (!Array.isArray(answer)) return answer
    const pairs = answer.flatMap((name, at) => (at % 2 ? [] : [[name, answer[at + 1]]]))
    return Object.fromEntries(pairs)
}

async function whichProtocol(a, b, c) {
    for (const client of [a, b, c]) {
        check('HELLO', fields(await client.call('HELLO')).proto, protocol)
    }
    check('PING', await a.call('PING'), 'PONG')
    check('ECHO', await a.call('ECHO', 'hello'), 'hello')
}

async function strings(a, b, c) {
    const k = key('string')
    check('SET', await a.set(k, 'one'), 'OK')
    for (const client of [a, b, c]) await eventually('GET', 'one', () => client.get(k))
    check('GET nothing', await a.get(key('nothing')), null)
    check('NX of a value', await a.set(k, 'two', { NX: true }), null)
    check('XX of a value', await a.set(k, 'two', { XX: true }), 'OK')
    check('XX of none', await a.set(key('none'), 'x', { XX: true }), null)
    check('NX of none', await a.set(key('none'), 'x', { NX: true }), 'OK')
    check('GET option', await a.set(k, 'three', { GET: true }), 'two')
    check('GET option of none', await a.set(key('new'), 'x', { GET: true }), null)
    check('NX GET', await a.set(k, 'four', { NX: true, GET: true }), 'three')
    check('after NX GET', await a.get(k), 'three')
    check('no end', await a.ttl(k), -1)
    const now = Math.floor(Date.now() / 1000)
    check('EX', await a.set(k, 'v', { EX: 100 }), 'OK')
    checkWithin('TTL', await a.ttl(k), 90, 100)
    check('PX', await a.set(k, 'v', { PX: 200_000 }), 'OK')
    checkWithin('PTTL', await a.pttl(k), 190_000, 200_000)
    check('EXAT', await a.set(k, 'v', { EXAT: now + 300 }), 'OK')
    check('EXPIRETIME', await a.expireTime(k), now + 300)
    const end = (now + 400) * 1000 + 7
    check('PXAT', await a.set(k, 'v', { PXAT: end }), 'OK')
    check('PEXPIRETIME', await a.pExpireTime(k), end)
    await eventually('PEXPIRETIME elsewhere', end, () => b.pExpireTime(k))
    check('KEEPTTL', await a.set(k, 'w', { KEEPTTL: true }), 'OK')
    check('after KEEPTTL', await a.pExpireTime(k), end)
    check('PERSIST by SET', await a.set(k, 'w'), 'OK')
    check('no end again', await a.ttl(k), -1)
    check('empty', await a.set(k, ''), 'OK')
    check('GET empty', await a.get(k), '')
    check('APPEND', await a.append(k, 'hello world'), 11)
    check('STRLEN', await a.strLen(k), 11)
    check('GETRANGE', await a.getRange(k, -5, -1), 'world')
    check('SETRANGE', await a.setRange(k, 6, 'there'), 11)
    check('GETEX', await a.getEx(k, 50), 'hello there')
    checkWithin('end by GETEX', await a.ttl(k), 40, 50)
    check('GETDEL', await a.getDel(k), 'hello there')
    check('EXISTS', await a.exists([k, key('new'), key('new')]), 2)
    check('DEL', await a.del([k, key('new')]), 1)
    check('TYPE', await a.type(key('none')), 'string')
}

async function many(a, b, c) {
    const values = Object.fromEntries(range(50).map((n) => [key(`many:${n}`), String(n)]))
    check('MSET', await a.mSet(values), 'OK')
    const keys = [...Object.keys(values), key('many:missing')]
    await eventually('MGET', [...Object.values(values), null], () => b.mGet(keys))
    const refused = { [key('many:0')]: 'x', [key('many:50')]: 'x' }
    check('MSETNX', await a.mSetNX(refused), 0)
    check('after MSETNX', await a.exists([key('many:50')]), 0)
    check('RENAME', await a.rename(key('many:0'), key('many:renamed')), 'OK')
    await eventually('renamed', '0', () => c.get(key('many:renamed')))
}

const range = (count) => [...Array(count).keys()]

async function numbers(a, b, c) {
    const [k, f] = [key('number'), key('float')]
    check('INCRBY', await a.incrBy(k, 1), 1)
    const add = async (client, step) => {
        for (let n = 0; n < 100; n += 1) {
            await client.incrBy(k, step)
            await client.incrByFloat(f, 0.1 * step)
        }
    }
    await Promise.all([add(a, 1), add(b, 2)])
    for (const client of [a, b, c]) {
        await eventually('sum of two nodes', '301', () => client.get(k))
        await eventually('sum of fractions', '30', () => client.get(f))
    }
    check('DECRBY', await c.decrBy(k, 300), 1)
    check('INCRBYFLOAT', Number(await c.incrByFloat(f, -0.25)), 29.75)
}

async function setsAndHashes(a, b, c) {
    const [s, other, h] = [key('set'), key('other set'), key('hash')]
    const members = async (client, k) => [...(await client.sMembers(k))].sort()
    check('SADD', await a.sAdd(s, ['a', 'b']), 2)
    await eventually('SCARD', 2, () => b.sCard(s))
    check('SADD elsewhere', await b.sAdd(s, ['b', 'c']), 1)
    for (const client of [a, b, c]) {
        await eventually('SMEMBERS', ['a', 'b', 'c'], () => members(client, s))
    }
    check('SREM', await c.sRem(s, ['a', 'x']), 1)
    for (const client of [a, b, c]) {
        await eventually('without it', ['b', 'c'], () => members(client, s))
    }
    check('SADD', await c.sAdd(other, ['c', 'd']), 2)
    check('SINTER', [...(await c.sInter([s, other]))], ['c'])
    check('SDIFFSTORE', await c.sDiffStore(other, [s, other]), 1)
    check('SPOP', await c.sPop(other), 'b')
    check('EXISTS', await c.exists([other]), 0)
    // What nodes add to one set at once is all there.
    const names = range(100).map(String)
    await Promise.all([a.sAdd(other, names.slice(0, 50)), b.sAdd(other, names.slice(50))])
    for (const client of [a, b, c]) {
        await eventually('all of both', [...names].sort(), () => members(client, other))
    }

    check('HSET', await a.hSet(h, { f: '1', g: 'two' }), 2)
    const all = async (client) => ({ ...(await client.hGetAll(h)) })
    await eventually('HGETALL', { f: '1', g: 'two' }, () => all(b))
    const add = async (client, step) => {
        for (let n = 0; n < 50; n += 1) await client.hIncrBy(h, 'f', step)
    }
    await Promise.all([add(a, 1), add(b, 2)])
    for (const client of [a, b, c]) {
        await eventually('sum of a field', '151', () => client.hGet(h, 'f'))
    }
    check('HSETNX', Number(await c.hSetNX(h, 'f', '0')), 0)
    check('HDEL', await b.hDel(h, ['g', 'x']), 1)
    for (const client of [a, b, c]) await eventually('HGETALL', { f: '151' }, () => all(client))
    check('EXPIRE', await c.expire(h, 100), 1)
    checkWithin('TTL', await c.ttl(h), 90, 100)
    const wrong = 'WRONGTYPE Operation against a key holding the wrong kind of value'
    await fails('GET of a hash', wrong, () => c.get(h))
}

async function ends(a, b, c) {
    const k = key('short')
    check('SET PX', await a.set(k, 'v', { PX: 700 }), 'OK')
    await eventually('before its end', 'v', () => b.get(k))
    await eventually('after its end', null, () => b.get(k))
    await eventually('after its end', -2, () => c.ttl(k))
    check('SET', await a.set(k, 'v'), 'OK')
    check('EXPIRE', await a.expire(k, 100), 1)
    check('EXPIRE NX', await a.expire(k, 50, 'NX'), 0)
    check('EXPIRE GT', await a.expire(k, 200, 'GT'), 1)
    checkWithin('TTL', await a.ttl(k), 190, 200)
    check('PERSIST', await a.persist(k), 1)
    check('TTL', await a.ttl(k), -1)
    check('EXPIRE of none', await a.expire(key('nothing'), 10), 0)
}

async function scanAndPipelines(a, b, c) {
    const keys = range(1000).map((n) => key(`scan:${n}`))
    const sets = await a.pipeline(keys.map((k) => ['set', k, k]))
    check('1,000 commands', sets, keys.map(() => 'OK'))
    const scanned = async () => (await b.scan(key('scan:*'))).sort()
    await eventually('SCAN', [...keys].sort(), scanned)
    await eventually('KEYS', 1000, async () => (await c.keys(key('scan:*'))).length)
    check('their answers', await c.pipeline(keys.map((k) => ['get', k])), keys)
    const text = key('text')
    const answers = await a.pipeline([['set', text, 'x'], ['incr', text], ['get', text]])
    check('an error among answers', answers[1] instanceof Error, true)
    check('answers around it', [answers[0], answers[2]], ['OK', 'x'])
    check('UNLINK', await a.unlink(keys), 1000)
    await eventually('none is left', [], scanned)
}

const NOT_AN_INTEGER = 'ERR value is not an integer or out of range'

async function transactions(a, b) {
    const [k, text] = [key('transaction'), key('text')]
    const done = await a.exec([['set', k, '1'], ['incr', k], ['get', k], ['mget', [k, key('nothing')]]])
    check('EXEC', done, ['OK', 2, '2', ['2', null]])
    const answers = await a.exec([['set', text, 'x'], ['incr', text], ['incr', k]])
    check('one that fails', answers[1].message, NOT_AN_INTEGER)
    check('no rollback', [answers[0], answers[2]], ['OK', 3])
    await eventually('elsewhere', '3', () => b.get(k))

    // WATCH: somebody else is faster, on this node or another.
    const fast = await a.another()
    for (const other of [fast, b]) {
        await a.watch(k)
        await other.set(k, 'other')
        await eventually('other', 'other', () => fast.get(k))
        check('EXEC after a change', await a.exec([['set', k, 'mine']]), null)
        check("the other's", await a.get(k), 'other')
        await a.watch(k)
        check('EXEC without a change', await a.exec([['set', k, 'mine']]), ['OK'])
    }

    const counter = key('counter')
    const countUp = async (client) => {
        for (let times = 0; times < 50; ) {
            await client.watch(counter)
            const next = Number((await client.get(counter)) ?? 0) + 1
            if (await client.exec([['set', counter, String(next)]])) times += 1
        }
    }
    await Promise.all([countUp(a), countUp(fast)])
    check('no update is lost', await a.get(counter), '100')
    await fast.close()
}

// Publishes until all hear it, before which nodes do not know who listens and nobody is told;
// then forgets what was heard.
async function awaitLinks(heard, client, channel) {
    const end = Date.now() + SOON
    while (heard.some((messages) => messages.length === 0) && Date.now() < end) {
        await client.publish(channel, 'are you there?')
        await sleep(A_MOMENT)
    }
    await sleep(2 * A_MOMENT)
    for (const messages of heard) messages.length = 0
}

async function subscriptions(a, b, c) {
    const [news, pattern] = [key('news'), key('n?ws')]
    const [listener, other] = [await a.another(), await b.another()]
    const [byName, byPattern] = [[], []]
    await listener.subscribe(news, (channel, message) => byName.push([channel, message]))
    await other.psubscribe(pattern, (channel, message) => byPattern.push([channel, message]))
    await awaitLinks([byName, byPattern], c, news)
    const sent = range(100).map((n) => [news, String(n)])
    for (const [channel, message] of sent) await c.publish(channel, message)
    await eventually('messages in order', sent, () => byName)
    await eventually('by pattern', sent, () => byPattern)
    check('CHANNELS', await a.call('PUBSUB', 'CHANNELS', key('*')), [news])
    await listener.unsubscribe(news)
    await eventually('nobody listens', [], () => a.call('PUBSUB', 'CHANNELS', key('*')))
    await listener.close()
    await other.close()
}

async function binary(a, b, c) {
    const every = Buffer.from([...range(256), ...Buffer.from('\r\n$3\r\nfoo\r\n')])
    const k = Buffer.concat([Buffer.from(key('binary:')), every])
    check('SET', await a.set(k, every), 'OK')
    await eventually('GET', every, () => b.getBuffer(k))
    const large = Buffer.concat(Array(225000).fill(every))
    check('SET of 60 MB', await a.set(k, large), 'OK')
    await eventually('GET of 60 MB', large, () => c.getBuffer(k))
    check('DEL', await b.del([k]), 1)
}

async function errors(a) {
    const k = key('text')
    check('SET', await a.set(k, 'text'), 'OK')
    await fails('INCR of text', NOT_AN_INTEGER, () => a.incrBy(k, 1))
    await fails('INCRBYFLOAT of text', 'ERR value is not a valid float', () => a.incrByFloat(k, 1))
    await fails('too few arguments', "ERR wrong number of arguments for 'get' command", () =>
        a.call('GET'),
    )
    await fails('options', 'ERR syntax error', () =>
        a.call('SET', k, 'v', 'EX', '1', 'PX', '1'),
    )
    await fails('unknown', "ERR unknown command 'NOSUCH', with args beginning with: 'x' ", () =>
        a.call('NOSUCH', 'x'),
    )
    await fails('RENAME', 'ERR no such key', () => a.rename(key('nothing'), k))
    check('still there', await a.get(k), 'text')
}

const script = createInterface({ input: process.stdin })[Symbol.asyncIterator]()

// Has the script do something to a server.
async function ask(line) {
    console.log(line)
    const answer = await script.next()
    if (answer.value !== 'done') throw new Error('the script does not answer')
}

// The node of `b` dies and comes back: the same objects go on.
async function again(a, b, c) {
    const [k, news] = [key('again'), key('news again')]
    const heard = []
    const listener = await b.another()
    await listener.subscribe(news, (channel, message) => heard.push([channel, message]))
    await awaitLinks([heard], c, news)
    check('SET', await b.set(k, 'before'), 'OK')
    await ask('kill 2')
    // It waits for the connection that there will be.
    const waiting = b.get(k)
    await ask('start 2')
    check('GET while it was away', await waiting, 'before')
    check('SET', await b.set(k, 'after'), 'OK')
    await eventually('elsewhere', 'after', () => c.get(k))
    await awaitLinks([heard], c, news)
    await c.publish(news, 'hello again')
    await eventually('it listens again', [[news, 'hello again']], () => heard)
    await listener.close()
}

// Tells the story with clients that `connect` makes of a host and a port.
export async function tell(connect) {
    const clients = []
    for (const address of process.argv.slice(2, 5)) {
        const [host, port] = address.split(':')
        clients.push(await connect(host, Number(port)))
    }
    for (const chapter of [
        whichProtocol,
        strings,
        many,
        numbers,
        setsAndHashes,
        ends,
        scanAndPipelines,
        transactions,
        subscriptions,
        binary,
        errors,
        again,
    ]) {
        await chapter(...clients)
    }
    console.log(`checks ${checks}`)
    process.exit(0)
}
