// How ioredis does what the chapters of story.mjs ask for.

import { Redis } from 'ioredis'
import { protocol, tell } from './story.mjs'

class Client {
    constructor(redis) {
        this.redis = redis
        for (const name of [
            'get', 'getBuffer', 'ttl', 'pttl', 'append', 'strLen', 'getRange', 'setRange', 'getDel',
            'exists', 'del', 'unlink', 'type', 'mSet', 'mGet', 'mSetNX', 'rename', 'incrBy',
            'incrByFloat', 'decrBy', 'expireTime', 'pExpireTime', 'persist', 'keys', 'publish',
            'watch', 'call', 'unsubscribe', 'sAdd', 'sCard', 'sMembers', 'sRem', 'sInter', 'sDiffStore',
            'sPop', 'hSet', 'hGetAll', 'hIncrBy', 'hGet', 'hSetNX',
        ]) {
            const method = name === 'getBuffer' ? name : name.toLowerCase()
            this[name] = (...args) => redis[method](...args)
        }
    }

    set(k, v, options = {}) {
        const words = Object.entries(options).flatMap(([name, value]) =>
            value === true ? [name] : [name, value],
        )
        return this.redis.set(k, v, ...words)
    }

    getEx(k, seconds) {
        return this.redis.getex(k, 'EX', seconds)
    }

    hDel(k, names) {
        return this.redis.hdel(k, ...names)
    }

    expire(k, seconds, ...condition) {
        return this.redis.expire(k, seconds, ...condition)
    }

    async scan(pattern) {
        const found = new Set()
        for await (const page of this.redis.scanStream({ match: pattern, count: 100 })) {
            for (const k of page) found.add(k)
        }
        return [...found]
    }

    // Errors are told among the answers.
    async pipeline(commands) {
        return answers(await this.redis.pipeline(commands).exec())
    }

    // Nothing if a watched key has changed.
    async exec(commands) {
        return answers(await this.redis.multi(commands).exec())
    }

    subscribe(channel, tell) {
        this.redis.on('message', tell)
        return this.redis.subscribe(channel)
    }

    psubscribe(pattern, tell) {
        this.redis.on('pmessage', (_, channel, message) => tell(channel, message))
        return this.redis.psubscribe(pattern)
    }

    async another() {
        return new Client(opened(this.redis.duplicate()))
    }

    close() {
        this.redis.disconnect()
    }
}

const answers = (pairs) => pairs && pairs.map(([error, answer]) => error ?? answer)

function opened(redis) {
    // Without a listener each lost connection would be printed; it reconnects by itself.
    redis.on('error', () => {})
    return redis
}

await tell(async (host, port) => new Client(opened(new Redis({ host, port, protocol }))))
