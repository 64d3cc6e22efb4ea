//! What many commands, and several clients, do together.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use redis::{Connection, Msg, RedisResult, ScanOptions, TypedCommands, Value, cmd, pipe};

use crate::{NOT_AN_INTEGER, SOON, Story, connection, some};

/// How long a message may be on its way.
const A_MOMENT: Duration = Duration::from_millis(200);

pub fn tell(story: &mut Story) {
    let [mut a, mut b, mut c] = story.connections();
    scan_and_pipelines(story, &mut a, &mut b, &mut c);
    transactions(story, &mut a, &mut b);
    optimistic(story, &mut a, &mut b);
    subscriptions(story, &mut a, &mut c);
}

fn scan_and_pipelines(
    story: &mut Story,
    a: &mut Connection,
    b: &mut Connection,
    c: &mut Connection,
) {
    let keys: Vec<String> = (0..1_000)
        .map(|n| story.key(&format!("scan:{n}")))
        .collect();
    let (mut sets, mut gets) = (pipe(), pipe());
    for key in &keys {
        sets.set(key, key);
        gets.get(key);
    }
    story.answers(
        "1,000 commands",
        sets.query(a),
        vec!["OK".to_owned(); 1_000],
    );
    let pattern = story.key("scan:*");
    let mut scan = || {
        let options = ScanOptions::default()
            .with_pattern(&pattern)
            .with_count(100);
        let found: RedisResult<BTreeSet<String>> = b.scan_options(options)?.collect();
        found
    };
    story.eventually("SCAN", keys.iter().cloned().collect(), &mut scan);
    story.eventually("KEYS", 1_000, || c.keys(&pattern).map(|keys| keys.len()));
    story.answers("their answers", gets.query(c), keys.clone());

    let text = &story.key("text");
    let mut mixed = pipe();
    mixed.set(text, "x").incr(text, 1).get(text).ignore_errors();
    let mut answers: Vec<RedisResult<Value>> = mixed.query(a).expect("answers");
    let last = answers
        .pop()
        .map(|value| redis::from_redis_value(value.expect("GET")));
    story.fails("among answers", answers.remove(1), "ERR", NOT_AN_INTEGER);
    story.check("around it", last, Some(Ok("x".to_owned())));
    story.answers("UNLINK", a.unlink(&keys), 1_000);
    story.eventually("none is left", BTreeSet::new(), scan);
}

fn transactions(story: &mut Story, a: &mut Connection, b: &mut Connection) {
    let (key, text) = (&story.key("transaction"), &story.key("text"));
    let mut batch = pipe();
    batch
        .atomic()
        .set(key, 1)
        .incr(key, 1)
        .get(key)
        .mget(&[key, &story.key("nothing")]);
    let answers = (
        "OK".to_owned(),
        2,
        "2".to_owned(),
        (some("2"), None::<String>),
    );
    story.answers("EXEC", batch.query(a), answers);
    let mut batch = pipe();
    batch
        .atomic()
        .set(text, "x")
        .incr(text, 1)
        .incr(key, 1)
        .ignore_errors();
    let mut answers: Vec<RedisResult<Value>> = batch.query(a).expect("answers");
    story.fails("one that fails", answers.remove(1), "ERR", NOT_AN_INTEGER);
    story.eventually("no rollback", some("3"), || b.get(key));
    let mut batch = pipe();
    batch.atomic().set(key, "x").cmd("NOSUCH");
    let refused = batch
        .query::<()>(a)
        .expect_err("no such command")
        .to_string();
    story.check(
        &refused,
        refused.to_lowercase().contains("unknown command"),
        true,
    );
    story.answers("nothing was done", a.get(key), some("3"));
}

fn optimistic(story: &mut Story, a: &mut Connection, b: &mut Connection) {
    // Somebody else is faster, once, on another node.
    let key = &story.key("transaction");
    let mut tries = 0;
    let done = redis::transaction(a, &[key], |a, pipe| {
        tries += 1;
        if tries == 1 {
            b.set(key, "other")?;
            while a.get(key)? != some("other") {
                thread::sleep(Duration::from_millis(20));
            }
        }
        pipe.append(key, ", mine").query(a)
    });
    story.answers("EXEC", done, (11,));
    story.check("tries", tries, 2);
    story.answers("both", a.get(key), some("other, mine"));

    let counter = &story.key("counter");
    let count_up = || {
        let mut node = connection(&story.clients[0]);
        for _ in 0..50 {
            let one = redis::transaction(&mut node, &[counter], |node, pipe| {
                let before = node.get_int(counter)?.unwrap_or(0);
                pipe.set(counter, before + 1).query(node)
            });
            let _: (String,) = one.expect("EXEC");
        }
    };
    thread::scope(|scope| {
        scope.spawn(count_up);
        scope.spawn(count_up);
    });
    story.answers("no update is lost", a.get(counter), some("100"));
}

fn subscriptions(story: &mut Story, a: &mut Connection, c: &mut Connection) {
    let (news, pattern) = (&story.key("news"), &story.key("n?ws"));
    let mut listeners = story.connections();
    let [one, two, _] = &mut listeners;
    let (mut by_name, mut by_pattern) = (one.as_pubsub(), two.as_pubsub());
    by_name.subscribe(news).expect("SUBSCRIBE");
    by_pattern.psubscribe(pattern).expect("PSUBSCRIBE");
    // Before nodes know who listens nobody is told.
    for listener in [&mut by_name, &mut by_pattern] {
        listener
            .set_read_timeout(Some(A_MOMENT))
            .expect("a time-out");
        story.eventually("a link", true, || {
            c.publish(news, "are you there?")?;
            Ok(listener.get_message().is_ok())
        });
    }
    for listener in [&mut by_name, &mut by_pattern] {
        while listener.get_message().is_ok() {}
        listener.set_read_timeout(Some(SOON)).expect("a time-out");
    }
    for n in 0..100 {
        c.publish(news, n).expect("PUBLISH");
    }
    let expected = |pattern: Option<&String>| -> Vec<_> {
        let pattern = pattern.cloned();
        (0..100)
            .map(|n| (pattern.clone(), news.clone(), n.to_string()))
            .collect()
    };
    let heard = |listener: &mut redis::PubSub<'_>| -> Vec<_> {
        (0..100)
            .map(|_| parts(&listener.get_message().expect("a message")))
            .collect()
    };
    story.check("messages in order", heard(&mut by_name), expected(None));
    story.check(
        "by pattern",
        heard(&mut by_pattern),
        expected(Some(pattern)),
    );
    let all = story.key("*");
    let mut channels = || cmd("PUBSUB").arg("CHANNELS").arg(&all).query(a);
    let listened: RedisResult<Vec<String>> = channels();
    by_name.unsubscribe(news).expect("UNSUBSCRIBE");
    let gone: RedisResult<Vec<String>> = channels();
    story.answers("CHANNELS", listened, vec![news.clone()]);
    story.answers("nobody listens", gone, Vec::new());
}

/// Its pattern, its channel and what it says.
fn parts(message: &Msg) -> (Option<String>, String, String) {
    (
        message.get_pattern().expect("a pattern or none"),
        message.get_channel_name().to_owned(),
        message.get_payload().expect("text"),
    )
}
