//! Subscriptions: the frames as Redis 7.0.15 sends them, and the bounds.

use super::*;
use crate::server::mailbox::MAILBOX_BYTES_MAX;

const LISTENING: &str = "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed \
                         in this context";

impl Peer {
    /// The next bytes are exactly these; `|` stands for a line end.
    #[track_caller]
    fn next_is<'a>(&'a mut self, text: &'a str) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let expected = text.replace('|', "\r\n");
            while self.input.len() < expected.len() {
                let read = self.stream.read_buf(&mut self.input);
                match tokio::time::timeout(PATIENCE, read).await {
                    Ok(Ok(1..)) => {}
                    _ => panic!("{caller}: {:?}, not {expected:?}", self.input),
                }
            }
            let got = self.input.split_to(expected.len());
            let got = String::from_utf8_lossy(&got);
            assert_eq!(got, expected, "{caller}");
        }
    }

    /// What a command brings is exactly that, up to the answer to a `PING` behind it.
    async fn brings(&mut self, line: &str, text: &str) {
        self.send(format!("{line}\r\nPING x\r\n").as_bytes()).await;
        self.next_is(text).await;
        let pong: &str = match self.input_after("*").await {
            true => "*2|$4|pong|$1|x|",
            false => "$1|x|",
        };
        self.next_is(pong).await;
        assert!(self.input.is_empty(), "{line}: {:?}", self.input);
    }

    /// Whether what comes next begins so.
    async fn input_after(&mut self, first: &str) -> bool {
        while self.input.is_empty() {
            assert_ne!(self.stream.read_buf(&mut self.input).await.unwrap(), 0);
        }
        self.input.starts_with(first.as_bytes())
    }
}

#[tokio::test]
async fn subscriptions_of_the_old_dialect() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let mut other = server.connect().await;
    for (line, frames) in [
        ("UNSUBSCRIBE", "*3|$11|unsubscribe|$-1|:0|"),
        ("PUNSUBSCRIBE", "*3|$12|punsubscribe|$-1|:0|"),
        (
            "UNSUBSCRIBE x y",
            "*3|$11|unsubscribe|$1|x|:0|*3|$11|unsubscribe|$1|y|:0|",
        ),
        (
            "SUBSCRIBE a b a",
            "*3|$9|subscribe|$1|a|:1|*3|$9|subscribe|$1|b|:2|*3|$9|subscribe|$1|a|:2|",
        ),
        (
            "PSUBSCRIBE a* ?",
            "*3|$10|psubscribe|$2|a*|:3|*3|$10|psubscribe|$1|?|:4|",
        ),
    ] {
        peer.brings(line, frames).await;
    }
    assert_eq!(other.call("PUBLISH ab hello").await, Value::Integer(1));
    peer.next_is("*4|$8|pmessage|$2|a*|$2|ab|$5|hello|").await;
    assert_eq!(other.call("PUBLISH b x").await, Value::Integer(2));
    peer.next_is("*3|$7|message|$1|b|$1|x|*4|$8|pmessage|$1|?|$1|b|$1|x|")
        .await;
    assert_eq!(other.call("PUBLISH none x").await, Value::Integer(0));
    for (line, frames) in [
        ("UNSUBSCRIBE b", "*3|$11|unsubscribe|$1|b|:3|"),
        ("UNSUBSCRIBE", "*3|$11|unsubscribe|$1|a|:2|"),
        ("PUNSUBSCRIBE zz", "*3|$12|punsubscribe|$2|zz|:2|"),
        (
            "PUNSUBSCRIBE",
            "*3|$12|punsubscribe|$1|?|:1|*3|$12|punsubscribe|$2|a*|:0|",
        ),
        ("GET none", "$-1|"),
    ] {
        peer.brings(line, frames).await;
    }
}

#[tokio::test]
async fn who_listens_in_the_old_dialect_may_do_little_else() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    peer.brings("SUBSCRIBE a", "*3|$9|subscribe|$1|a|:1|").await;
    for (line, name) in [
        ("get k", "get"),
        ("CONFIG GET x", "config|get"),
        ("HELLO 3", "hello"),
        ("PUBLISH a x", "publish"),
        ("PUBSUB NUMPAT", "pubsub|numpat"),
        ("COMMAND", "command"),
    ] {
        let words = format!("ERR Can't execute '{name}': {LISTENING}");
        assert_eq!(peer.error(line).await, words);
    }
    for (line, words) in [
        (
            "NOPE",
            "ERR unknown command 'NOPE', with args beginning with: ",
        ),
        ("GET", "ERR wrong number of arguments for 'get' command"),
        (
            "CONFIG",
            "ERR wrong number of arguments for 'config' command",
        ),
        (
            "PING a b",
            "ERR wrong number of arguments for 'ping' command",
        ),
        (
            "SUBSCRIBE",
            "ERR wrong number of arguments for 'subscribe' command",
        ),
    ] {
        assert_eq!(peer.error(line).await, words);
    }
    assert_eq!(peer.call("PING").await, bulks(&["pong", ""]));
    peer.brings("RESET", "+RESET|").await;
    peer.brings("GET none", "$-1|").await;
    assert_eq!(
        server.fake.publish(&"a".into(), &"x".into()),
        0,
        "RESET has ended the subscription"
    );
    peer.brings("SUBSCRIBE a", "*3|$9|subscribe|$1|a|:1|").await;
    peer.send(b"QUIT\r\n").await;
    peer.next_is("+OK|").await;
    assert_eq!(peer.receive().await, None);
}

#[tokio::test]
async fn subscriptions_of_the_new_dialect() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let mut other = server.connect().await;
    assert!(matches!(peer.call("HELLO 3").await, Value::Map(_)));
    for (line, frames) in [
        ("UNSUBSCRIBE", ">3|$11|unsubscribe|_|:0|"),
        (
            "SUBSCRIBE a b",
            ">3|$9|subscribe|$1|a|:1|>3|$9|subscribe|$1|b|:2|",
        ),
        ("PSUBSCRIBE a*", ">3|$10|psubscribe|$2|a*|:3|"),
        ("GET none", "_|"),
        ("PING", "+PONG|"),
        (
            "PUBLISH a me",
            ">3|$7|message|$1|a|$2|me|>4|$8|pmessage|$2|a*|$1|a|$2|me|:2|",
        ),
        ("PUBSUB NUMSUB a b c", "*6|$1|a|:1|$1|b|:1|$1|c|:0|"),
        ("PUBSUB NUMSUB", "*0|"),
        ("PUBSUB NUMPAT", ":1|"),
        ("PUBSUB CHANNELS", "*2|$1|a|$1|b|"),
        ("PUBSUB CHANNELS [b-z]", "*1|$1|b|"),
        (
            "UNSUBSCRIBE a\r\nUNSUBSCRIBE zz",
            ">3|$11|unsubscribe|$1|a|:2|>3|$11|unsubscribe|$2|zz|:2|",
        ),
    ] {
        peer.brings(line, frames).await;
    }
    assert_eq!(other.call("PUBLISH b x").await, Value::Integer(1));
    peer.next_is(">3|$7|message|$1|b|$1|x|").await;
    // In the old dialect the same subscriptions leave it little to do.
    assert!(matches!(peer.call("HELLO 2").await, Value::Array(_)));
    assert!(peer.error("GET k").await.ends_with(LISTENING));
    assert_eq!(other.call("PUBLISH b y").await, Value::Integer(1));
    peer.next_is("*3|$7|message|$1|b|$1|y|").await;
    for (line, words) in [
        (
            "PUBSUB",
            "ERR wrong number of arguments for 'pubsub' command",
        ),
        (
            "PUBSUB NUMPAT x",
            "ERR wrong number of arguments for 'pubsub|numpat' command",
        ),
        (
            "PUBSUB FOO",
            "ERR unknown subcommand 'FOO'. Try PUBSUB HELP.",
        ),
        (
            "PUBSUB CHANNELS a b",
            "ERR unknown subcommand or wrong number of arguments for 'CHANNELS'. Try PUBSUB HELP.",
        ),
    ] {
        assert_eq!(other.error(line).await, words);
    }
}

#[tokio::test]
async fn silenced_replies_do_not_silence_messages() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let mut other = server.connect().await;
    peer.send(b"CLIENT REPLY OFF\r\nSUBSCRIBE a\r\nPING\r\n")
        .await;
    peer.next_is("*3|$9|subscribe|$1|a|:1|").await;
    assert_eq!(other.call("PUBLISH a off").await, Value::Integer(1));
    peer.next_is("*3|$7|message|$1|a|$3|off|").await;
    peer.send(b"UNSUBSCRIBE\r\nCLIENT REPLY ON\r\n").await;
    peer.next_is("*3|$11|unsubscribe|$1|a|:0|+OK|").await;
    peer.send(b"CLIENT REPLY SKIP\r\nSUBSCRIBE a\r\nPING\r\n")
        .await;
    peer.next_is("*3|$9|subscribe|$1|a|:1|*2|$4|pong|$0||")
        .await;
}

#[tokio::test]
async fn others_see_who_listens() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let mut other = server.connect().await;
    peer.brings("SUBSCRIBE a", "*3|$9|subscribe|$1|a|:1|").await;
    peer.brings("PSUBSCRIBE b*", "*3|$10|psubscribe|$2|b*|:2|")
        .await;
    let list = other.call("CLIENT LIST TYPE pubsub").await;
    let list = String::from_utf8(list.as_bytes().unwrap().to_vec()).unwrap();
    assert!(list.contains(" flags=P db=0 sub=1 psub=1 "), "{list}");
    assert_eq!(list.lines().count(), 1);
    let list = other.call("CLIENT LIST TYPE normal").await;
    let list = String::from_utf8(list.as_bytes().unwrap().to_vec()).unwrap();
    assert!(list.contains(" flags=N db=0 sub=0 psub=0 "), "{list}");
    assert_eq!(list.lines().count(), 1);
    let info = other.call("INFO stats").await;
    let info = String::from_utf8(info.as_bytes().unwrap().to_vec()).unwrap();
    assert!(info.contains("pubsub_channels:1\r\npubsub_patterns:1\r\n"));
    let killed = other.call("CLIENT KILL TYPE pubsub").await;
    assert_eq!(killed, Value::Integer(1));
    assert_eq!(peer.receive().await, None);
    while other.call("PUBSUB CHANNELS").await != bulks(&[]) {
        tokio::task::yield_now().await;
    }
    assert_eq!(other.call("PUBSUB NUMPAT").await, Value::Integer(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_keep_the_order_of_their_publisher() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let mut other = server.connect().await;
    peer.brings("SUBSCRIBE a", "*3|$9|subscribe|$1|a|:1|").await;
    let count = 20_000;
    let publishing = tokio::spawn(async move {
        for n in 0..count {
            other
                .send(&request(&["PUBLISH", "a", &n.to_string()]))
                .await;
            assert_eq!(other.receive().await, Some(Value::Integer(1)));
        }
    });
    for n in 0..count {
        let message = bulks(&["message", "a", &n.to_string()]);
        assert_eq!(peer.receive().await, Some(message));
    }
    publishing.await.unwrap();
}

/// Everything between the word that a channel was entered and the word that it was left, and
/// nothing outside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_between_subscribing_and_unsubscribing() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let (fake, done) = (Arc::clone(&server.fake), CancellationToken::new());
    let is_over = done.clone();
    let _over_when_this_fails = done.clone().drop_guard();
    let publishing = tokio::task::spawn_blocking(move || {
        while !is_over.is_cancelled() {
            fake.publish(&"a".into(), &"x".into());
            std::thread::sleep(Duration::from_micros(20));
        }
    });
    for _ in 0..200 {
        peer.send(&request(&["SUBSCRIBE", "a"])).await;
        assert_eq!(word(&peer.receive().await), "subscribe");
        assert_eq!(word(&peer.receive().await), "message");
        peer.send(&request(&["UNSUBSCRIBE"])).await;
        while word(&peer.receive().await) != "unsubscribe" {}
    }
    done.cancel();
    publishing.await.unwrap();
}

fn word(frame: &Option<Value>) -> String {
    match frame {
        Some(Value::Array(items)) => String::from_utf8_lossy(items[0].as_bytes().unwrap()).into(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_dropped() {
    let server = Server::with_defaults().await;
    let mut slow = server.connect().await;
    let mut peer = server.connect().await;
    let mut other = server.connect().await;
    for subscriber in [&mut slow, &mut peer] {
        subscriber
            .brings("SUBSCRIBE a", "*3|$9|subscribe|$1|a|:1|")
            .await;
    }
    let payload = "x".repeat(1024 * 1024);
    // What waits, what is on its way, and what the sockets hold.
    let enough = MAILBOX_BYTES_MAX / payload.len() + 64;
    let mut told = Value::Integer(2);
    for _ in 0..enough {
        other.send(&request(&["PUBLISH", "a", &payload])).await;
        told = other.receive().await.unwrap();
        let message = bulks(&["message", "a", &payload]);
        assert_eq!(peer.receive().await, Some(message));
        if told == Value::Integer(1) {
            break;
        }
    }
    assert_eq!(told, Value::Integer(1));
    while other.call("PUBSUB NUMSUB a").await != numsub("a", 1) {
        tokio::task::yield_now().await;
    }
    let info = other.call("INFO stats").await;
    let info = String::from_utf8(info.as_bytes().unwrap().to_vec()).unwrap();
    assert!(info.contains("slow_subscribers_dropped:1\r\n"), "{info}");
}

fn numsub(channel: &'static str, count: i64) -> Value {
    Value::Array(vec![Value::bulk(channel), Value::Integer(count)])
}

#[tokio::test]
async fn what_is_too_long_is_refused() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    for (line, words) in [
        (
            ["PUBLISH", &"c".repeat(65_537), "x"],
            "ERR channel of 65537",
        ),
        (
            ["PUBLISH", "c", &"x".repeat(3 * 1024 * 1024 + 1)],
            "ERR message of 3145729",
        ),
        (
            ["PSUBSCRIBE", "a*", &"p".repeat(1_025)],
            "ERR pattern of 1025",
        ),
        (
            ["SUBSCRIBE", "a", &"c".repeat(16 * 1024 * 1024)],
            "ERR subscriptions of one client take at most",
        ),
    ] {
        peer.send(&request(&line)).await;
        match peer.receive().await {
            Some(Value::Error(text)) => assert!(text.starts_with(words), "{text}"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(peer.call("PUBSUB NUMPAT").await, Value::Integer(0));
    assert_eq!(peer.call("PUBSUB CHANNELS").await, bulks(&[]));
}

#[tokio::test]
async fn changes_are_told_when_that_is_wanted() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let mut other = server.connect().await;
    peer.brings("PSUBSCRIBE __key*", "*3|$10|psubscribe|$6|__key*|:1|")
        .await;
    let setting = "CONFIG GET notify-keyspace-events";
    assert_eq!(other.call(setting).await, events(""));
    assert_eq!(other.call("SET silent v").await, Value::ok());
    for (letters, shown) in [("KEA", "AKE"), ("g$K", "g$K"), ("EA", "AE")] {
        let set = format!("CONFIG SET notify-keyspace-events {letters}");
        assert_eq!(other.call(&set).await, Value::ok());
        assert_eq!(other.call(setting).await, events(shown));
    }
    let refused =
        "ERR CONFIG SET failed (possibly related to argument 'notify-keyspace-events') - ";
    for (words, why) in [
        ("Q", "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
        ("Em", "events of class 'm' are not told by this server"),
        ("K notify-keyspace-events E", "duplicate parameter"),
    ] {
        let set = format!("CONFIG SET notify-keyspace-events {words}");
        assert_eq!(other.error(&set).await, format!("{refused}{why}"));
    }
    assert_eq!(other.call(setting).await, events("AE"));

    for (line, answer, told) in [
        ("SET a 1", Value::ok(), vec![("set", "a")]),
        (
            "SET b 1 EX 10",
            Value::ok(),
            vec![("set", "b"), ("expire", "b")],
        ),
        (
            "MSET a 1 c 2",
            Value::ok(),
            vec![("set", "a"), ("set", "c")],
        ),
        (
            "RENAME c d",
            Value::ok(),
            vec![("rename_from", "c"), ("rename_to", "d")],
        ),
        ("COPY d e", Value::Integer(1), vec![("copy_to", "e")]),
        (
            "DEL a none d",
            Value::Integer(2),
            vec![("del", "a"), ("del", "d")],
        ),
        ("GET e", Value::bulk("2"), vec![]),
        ("FLUSHALL", Value::ok(), vec![]),
        ("UNLINK none", Value::Integer(0), vec![]),
    ] {
        assert_eq!(other.call(line).await, answer, "{line}");
        for (event, key) in told {
            let channel = format!("__keyevent@0__:{event}");
            let message = bulks(&["pmessage", "__key*", &channel, key]);
            assert_eq!(peer.receive().await, Some(message), "{line}");
        }
        peer.brings("PING y", "*2|$4|pong|$1|y|").await;
    }
    assert_eq!(
        other.call("CONFIG SET notify-keyspace-events KA").await,
        Value::ok()
    );
    assert_eq!(other.call("SET a 1").await, Value::ok());
    let message = bulks(&["pmessage", "__key*", "__keyspace@0__:a", "set"]);
    assert_eq!(peer.receive().await, Some(message));
}

/// An event is not told before it is known that it happened, and none overtakes another.
#[tokio::test]
async fn events_wait_for_their_answers_and_keep_their_order() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let mut other = server.connect().await;
    peer.brings(
        "SUBSCRIBE __keyevent@0__:set",
        "*3|$9|subscribe|$18|__keyevent@0__:set|:1|",
    )
    .await;
    let set = "CONFIG SET notify-keyspace-events E$";
    assert_eq!(other.call(set).await, Value::ok());
    other
        .send(b"SET late1 v\r\nSET soon v\r\nSET late2 v\r\n")
        .await;
    let late = &server.fake.late_count;
    assert!(late.subscribe().wait_for(|count| *count == 2).await.is_ok());
    peer.brings("PING y", "*2|$4|pong|$1|y|").await;
    server.fake.answer_late(2).await;
    for key in ["late1", "soon", "late2"] {
        assert_eq!(other.receive().await, Some(Value::ok()));
        let message = bulks(&["message", "__keyevent@0__:set", key]);
        assert_eq!(peer.receive().await, Some(message));
    }
}

fn events(letters: &'static str) -> Value {
    Value::Array(vec![
        Value::bulk("notify-keyspace-events"),
        Value::bulk(letters),
    ])
}
