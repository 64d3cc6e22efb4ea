//! What one connection to each node does with sets and hashes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use redis::{Connection, RedisResult, TypedCommands};

use crate::{Story, some};

pub fn tell(story: &mut Story) {
    let [mut a, mut b, mut c] = story.connections();
    sets(story, &mut a, &mut b, &mut c);
    hashes(story, &mut a, &mut b, &mut c);
}

fn set_of(members: &[&str]) -> HashSet<String> {
    members.iter().map(|member| (*member).to_owned()).collect()
}

fn sets(story: &mut Story, a: &mut Connection, b: &mut Connection, c: &mut Connection) {
    let (key, other) = (&story.key("set"), &story.key("other"));
    story.answers("SADD", a.sadd(key, &["a", "b"]), 2);
    story.eventually("SCARD", 2, || b.scard(key));
    story.answers("SADD of a new one", b.sadd(key, &["b", "c"]), 1);
    for node in [&mut *a, b, c] {
        story.eventually("SMEMBERS", set_of(&["a", "b", "c"]), || node.smembers(key));
    }
    story.answers("SREM", c.srem(key, &["a", "x"]), 1);
    story.answers("SISMEMBER", c.sismember(key, "a"), false);
    story.answers(
        "SMISMEMBER",
        c.smismember(key, &["a", "b"]),
        vec![false, true],
    );
    story.answers("SADD", c.sadd(other, &["b", "d"]), 2);
    story.answers("SINTER", c.sinter(&[key, other]), set_of(&["b"]));
    story.answers("SUNION", c.sunion(&[key, other]), set_of(&["b", "c", "d"]));
    story.answers("SDIFF", c.sdiff(&[key, other]), set_of(&["c"]));
    story.answers("SUNIONSTORE", c.sunionstore(other, &[key, other]), 3);
    story.answers("SMOVE", c.smove(other, key, "d"), true);
    story.eventually("SCARD", 3, || a.scard(key));
    let many: Vec<String> = (0..2_000).map(|n| format!("member {n}")).collect();
    story.answers("SADD of many", a.sadd(key, &many), many.len());
    story.eventually("SCARD of many", many.len() + 3, || b.scard(key));
    let scanned: RedisResult<BTreeSet<String>> =
        redis::Commands::sscan::<_, String>(b, key).map(|all| all.map(Result::unwrap).collect());
    let all: BTreeSet<String> = many
        .into_iter()
        .chain(["b", "c", "d"].map(str::to_owned))
        .collect();
    story.answers("SSCAN", scanned, all);
    let taken: RedisResult<HashSet<String>> = redis::cmd("SPOP").arg(key).arg(5_000).query(b);
    story.answers("SPOP", taken.map(|taken| taken.len()), 2_003);
    story.answers("EXISTS", b.exists(key), false);
}

fn hashes(story: &mut Story, a: &mut Connection, b: &mut Connection, c: &mut Connection) {
    let key = &story.key("hash");
    let fields = [("f", "1"), ("g", "2")];
    story.answers("HMSET", a.hset_multiple(key, &fields), ());
    story.eventually("HGET", some("2"), || b.hget(key, "g"));
    story.answers("HSET", b.hset(key, "h", "3"), 1);
    story.answers("HSETNX", b.hset_nx(key, "h", "4"), false);
    let adds = |node: &mut Connection, by: i32| -> RedisResult<i32> {
        redis::Commands::hincr(node, key, "f", by)
    };
    story.answers("HINCRBY", adds(a, 2), 3);
    story.eventually("HGET", some("3"), || b.hget(key, "f"));
    story.answers("HINCRBY", adds(b, 4), 7);
    let fields = [("f", "7"), ("g", "2"), ("h", "3")];
    let all: HashMap<String, String> = fields
        .map(|(field, value)| (field.to_owned(), value.to_owned()))
        .into();
    for node in [&mut *a, b, c] {
        story.eventually("HGETALL", all.clone(), || node.hgetall(key));
    }
    let scanned: RedisResult<BTreeMap<String, String>> =
        redis::Commands::hscan::<_, (String, String)>(c, key)
            .map(|all| all.map(Result::unwrap).collect());
    story.answers("HSCAN", scanned, all.into_iter().collect());
    story.answers("HDEL", c.hdel(key, &["g", "x"]), 1);
    story.answers("HLEN", c.hlen(key), 2);
    story.answers("HEXISTS", c.hexists(key, "g"), false);
    let what = "Operation against a key holding the wrong kind of value";
    story.fails("SADD to a hash", c.sadd(key, "a"), "WRONGTYPE", what);
}
