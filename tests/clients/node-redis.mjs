// How node-redis does what the chapters of story.mjs ask for.

import { createClient, RESP_TYPES, WatchError } from 'redis'
import { protocol, tell } from './story.mjs'

const METHODS = { mget: 'mGet' } // that are not called as the command is

class Client {
    constructor(redis) {
        this.redis = redis
        this.buffers = redis.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer })
        for (const name of [
            'get', 'ttl', 'append', 'strLen', 'getRange', 'setRange', 'getDel', 'exists', 'del',
            'unlink', 'type', 'mSet', 'mGet', 'mSetNX', 'rename', 'incrBy', 'incrByFloat', 'decrBy',
            'expireTime', 'pExpireTime', 'expire', 'persist', 'keys', 'publish', 'watch', 'sAdd',
            'sCard', 'sMembers', 'sRem', 'sInter', 'sDiffStore', 'sPop', 'hSet', 'hGetAll', 'hIncrBy',
            'hGet', 'hSetNX', 'hDel',
        ]) {
            this[name] = (...args) => redis[name](...args)
        }
    }

    call(...words) {
        return this.redis.sendCommand(words)
    }

    set(k, v, { NX, XX, GET, ...end } = {}) {
        const [type] = Object.keys(end)
        const options = { condition: NX ? 'NX' : XX ? 'XX' : undefined, GET }
        if (type === 'KEEPTTL') options.expiration = 'KEEPTTL'
        else if (type) options.expiration = { type, value: end[type] }
        return this.redis.set(k, v, options)
    }

    pttl(k) {
        return this.redis.pTTL(k)
    }

    getBuffer(k) {
        return this.buffers.get(k)
    }

    getEx(k, seconds) {
        return this.redis.getEx(k, { type: 'EX', value: seconds })
    }

    async scan(pattern) {
        const found = new Set()
        for await (const page of this.redis.scanIterator({ MATCH: pattern, COUNT: 100 })) {
            for (const k of page) found.add(k)
        }
        return [...found]
    }

    // What is sent in one go is a pipeline. Errors are told among the answers.
    pipeline(commands) {
        return Promise.all(
            commands.map(([name, ...args]) => this.redis[name](...args).catch((error) => error)),
        )
    }

    // Nothing if a watched key has changed.
    exec(commands) {
        const multi = this.redis.multi()
        for (const [name, ...args] of commands) multi[METHODS[name] ?? name](...args)
        return multi.exec().catch((error) => {
            if (error instanceof WatchError) return null
            if (error.replies) return error.replies
            throw error
        })
    }

    subscribe(channel, tell) {
        return this.redis.subscribe(channel, (message, from) => tell(from, message))
    }

    psubscribe(pattern, tell) {
        return this.redis.pSubscribe(pattern, (message, from) => tell(from, message))
    }

    unsubscribe(channel) {
        return this.redis.unsubscribe(channel)
    }

    async another() {
        return new Client(await opened(this.redis.duplicate()))
    }

    close() {
        this.redis.destroy()
    }
}

function opened(redis) {
    // Without a listener a lost connection would end the program; it reconnects by itself.
    redis.on('error', () => {})
    return redis.connect()
}

await tell(async (host, port) => {
    return new Client(await opened(createClient({ RESP: protocol, socket: { host, port } })))
})
