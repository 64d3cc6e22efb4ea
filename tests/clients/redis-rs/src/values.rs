//! What one connection to each node does with values.

use std::collections::HashMap;
use std::thread;
use std::time::SystemTime;

use redis::{
    Connection, ExistenceCheck, Expiry, IntegerReplyOrNoOp, RedisResult, SetExpiry, SetOptions,
    TypedCommands, Value, cmd,
};

use crate::{NOT_AN_INTEGER, Story, connection, some};

pub fn tell(story: &mut Story) {
    let [mut a, mut b, mut c] = story.connections();
    let nodes = [&mut a, &mut b, &mut c];
    which_protocol(story, nodes);
    strings(story, &mut a, &mut b);
    options_of_set(story, &mut a, &mut b);
    many(story, &mut a, &mut b, &mut c);
    numbers(story, &mut c);
    ends(story, &mut a, &mut b, &mut c);
    binary(story, &mut a, &mut b, &mut c);
    errors(story, &mut a);
}

fn which_protocol(story: &mut Story, nodes: [&mut Connection; 3]) {
    for node in nodes {
        let hello: HashMap<String, Value> = cmd("HELLO").query(node).expect("HELLO");
        let protocol = redis::from_redis_value(hello["proto"].clone());
        story.check("HELLO", protocol, Ok(story.protocol));
        story.answers("PING", node.ping(), "PONG".to_owned());
    }
}

fn strings(story: &mut Story, a: &mut Connection, b: &mut Connection) {
    let key = &story.key("string");
    story.answers("SET", a.set(key, "one"), ());
    for node in [&mut *a, b] {
        story.eventually("GET", some("one"), || node.get(key));
    }
    story.answers("GET nothing", a.get(story.key("nothing")), None);
    story.answers("empty", a.set(key, ""), ());
    story.answers("GET empty", a.get(key), some(""));
    story.answers("APPEND", a.append(key, "hello world"), 11);
    story.answers("STRLEN", a.strlen(key), 11);
    story.answers("GETRANGE", a.getrange(key, -5, -1), "world".to_owned());
    story.answers("SETRANGE", a.setrange(key, 6, "there"), 11);
    story.answers("GETEX", a.get_ex(key, Expiry::EX(50)), some("hello there"));
    check_ttl(story, a, key, 50);
    story.answers("EXISTS", a.exists(key), true);
    story.answers("GETDEL", a.get_del(key), some("hello there"));
    story.answers("EXISTS", a.exists(key), false);
}

/// Some of so many seconds are left.
#[track_caller]
fn check_ttl(story: &mut Story, node: &mut Connection, key: &str, seconds: usize) {
    let ttl = node.ttl(key).expect("TTL").raw();
    let is_left = (seconds as isize - 10..=seconds as isize).contains(&ttl);
    story.check(&format!("{ttl} s are left"), is_left, true);
}

fn options_of_set(story: &mut Story, a: &mut Connection, b: &mut Connection) {
    let key = &story.key("string");
    let (none, new) = (&story.key("none"), &story.key("new"));
    let is = |check| SetOptions::default().conditional_set(check);
    let nx = || is(ExistenceCheck::NX);
    let xx = || is(ExistenceCheck::XX);
    let get = || SetOptions::default().get(true);
    let mut set = |key: &str, value: &str, options| a.set_options(key, value, options);
    story.answers("NX of none", set(key, "one", nx()), some("OK"));
    story.answers("NX of a value", set(key, "two", nx()), None);
    story.answers("XX of a value", set(key, "two", xx()), some("OK"));
    story.answers("XX of none", set(none, "x", xx()), None);
    story.answers("GET", set(key, "three", get()), some("two"));
    story.answers("GET of none", set(new, "x", get()), None);
    story.answers("NX GET", set(key, "four", nx().get(true)), some("three"));
    story.answers("after NX GET", a.get(key), some("three"));
    story.answers(
        "no end",
        a.ttl(key),
        IntegerReplyOrNoOp::ExistsButNotRelevant,
    );

    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.expect("after 1970").as_secs();
    let at = |seconds: usize| IntegerReplyOrNoOp::IntegerReply(seconds);
    let until = |end| SetOptions::default().with_expiration(end);
    let ok = || some("OK");
    story.answers(
        "EX",
        a.set_options(key, "v", until(SetExpiry::EX(100))),
        ok(),
    );
    check_ttl(story, a, key, 100);
    let px = until(SetExpiry::PX(200_000));
    story.answers("PX", a.set_options(key, "v", px), ok());
    check_ttl(story, a, key, 200);
    let exat = until(SetExpiry::EXAT(now + 300));
    story.answers("EXAT", a.set_options(key, "v", exat), ok());
    story.answers("EXPIRETIME", a.expire_time(key), at(now as usize + 300));
    let end = (now + 400) * 1_000 + 7;
    let pxat = until(SetExpiry::PXAT(end));
    story.answers("PXAT", a.set_options(key, "v", pxat), ok());
    story.answers("PEXPIRETIME", a.pexpire_time(key), at(end as usize));
    story.eventually("elsewhere", at(end as usize), || b.pexpire_time(key));
    let keep = until(SetExpiry::KEEPTTL);
    story.answers("KEEPTTL", a.set_options(key, "w", keep), ok());
    story.answers("its end", a.pexpire_time(key), at(end as usize));
    story.answers("SET", a.set(key, "w"), ());
    story.answers(
        "no end",
        a.ttl(key),
        IntegerReplyOrNoOp::ExistsButNotRelevant,
    );
}

fn many(story: &mut Story, a: &mut Connection, b: &mut Connection, c: &mut Connection) {
    let pair = |n: u32| (story.key(&format!("many:{n}")), n.to_string());
    let pairs: Vec<(String, String)> = (0..50).map(pair).collect();
    let [first, new] = [pair(0), pair(50)];
    story.answers("MSET", a.mset(&pairs), ());
    let (mut keys, values): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let mut values: Vec<Option<String>> = values.into_iter().map(Some).collect();
    keys.push(new.0.clone());
    values.push(None);
    story.eventually("MGET", values, || b.mget(&keys));
    story.answers("MSETNX", a.mset_nx(&[first.clone(), new.clone()]), false);
    story.answers("after MSETNX", a.exists(new.0), false);
    let renamed = story.key("many:renamed");
    story.answers("RENAME", a.rename(first.0, &renamed), ());
    story.eventually("renamed", some("0"), || c.get(&renamed));
}

fn numbers(story: &mut Story, c: &mut Connection) {
    let (number, float) = (&story.key("number"), &story.key("float"));
    let add = |node: usize, step: i32| {
        let mut node = connection(&story.clients[node]);
        for _ in 0..100 {
            node.incr(number, step).expect("INCRBY");
            let sum: RedisResult<f64> =
                redis::Commands::incr(&mut node, float, 0.1 * f64::from(step));
            sum.expect("INCRBYFLOAT");
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| add(0, 1));
        scope.spawn(|| add(1, 2));
    });
    for mut node in story.connections() {
        story.eventually("sum of two nodes", some("300"), || node.get(number));
        story.eventually("sum of fractions", some("30"), || node.get(float));
    }
    story.answers("DECRBY", c.decr(number, 299), 1);
    let less: RedisResult<f64> = redis::Commands::incr(c, float, -0.25);
    story.answers("INCRBYFLOAT", less, 29.75);
}

fn ends(story: &mut Story, a: &mut Connection, b: &mut Connection, c: &mut Connection) {
    let key = &story.key("short");
    story.answers("PSETEX", a.pset_ex(key, "v", 700), ());
    story.eventually("before its end", some("v"), || b.get(key));
    story.eventually("after its end", None, || b.get(key));
    story.eventually("none", IntegerReplyOrNoOp::NotExists, || c.ttl(key));
    story.answers("SETEX", a.set_ex(key, "v", 10), ());
    story.answers("EXPIRE", a.expire(key, 100), true);
    check_ttl(story, a, key, 100);
    story.answers("PEXPIRE", a.pexpire(key, 200_000), true);
    check_ttl(story, a, key, 200);
    story.answers("PERSIST", a.persist(key), true);
    story.answers("PERSIST", a.persist(key), false);
    story.answers("EXPIRE of none", a.expire(story.key("nothing"), 10), false);
}

fn binary(story: &mut Story, a: &mut Connection, b: &mut Connection, c: &mut Connection) {
    let every: Vec<u8> = (0..=255).chain(*b"\r\n$3\r\nfoo\r\n").collect();
    let key = &[story.key("binary:").as_bytes(), &every].concat();
    story.answers("SET", a.set(key, &every), ());
    story.eventually("GET", Some(every.clone()), || redis::Commands::get(b, key));
    let large = every.repeat(225_000);
    story.answers("SET of 60 MB", a.set(key, &large), ());
    story.eventually("GET of 60 MB", Some(large), || redis::Commands::get(c, key));
    story.answers("DEL", b.del(key), 1);
}

fn errors(story: &mut Story, a: &mut Connection) {
    let text = &story.key("text");
    story.answers("SET", a.set(text, "text"), ());
    story.fails("INCR of text", a.incr(text, 1), "ERR", NOT_AN_INTEGER);
    let float = a.incr(text, 0.5);
    story.fails(
        "INCRBYFLOAT of text",
        float,
        "ERR",
        "value is not a valid float",
    );
    let few = cmd("GET").query::<Value>(a);
    let what = "wrong number of arguments for 'get' command";
    story.fails("too few arguments", few, "ERR", what);
    let options = cmd("SET")
        .arg(&[text, "v", "EX", "1", "PX", "1"])
        .query::<Value>(a);
    story.fails("options", options, "ERR", "syntax error");
    let unknown = cmd("NOSUCH").arg("x").query::<Value>(a);
    let what = "unknown command 'NOSUCH', with args beginning with: 'x' ";
    story.fails("unknown", unknown, "ERR", what);
    let renamed = a.rename(story.key("nothing"), text);
    story.fails("RENAME", renamed, "ERR", "no such key");
    story.answers("still there", a.get(text), some("text"));
}
