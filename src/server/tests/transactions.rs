//! Transactions: what is answered, what is executed together, and what is not.

use super::*;
use crate::server::transaction::{QUEUED_BYTES_MAX, QUEUED_COMMANDS_MAX, WATCHED_KEYS_MAX};

const ABORTED: &str = "-EXECABORT Transaction discarded because of previous errors.\r\n";

/// As Redis 7.0.15 answers, byte for byte.
#[tokio::test]
async fn frames_of_both_dialects() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    for (hello, null, null_array) in [
        ("HELLO 2", "$-1\r\n", "*-1\r\n"),
        ("HELLO 3", "_\r\n", "_\r\n"),
    ] {
        peer.call(hello).await;
        for (lines, bytes) in [
            ("MULTI\nEXEC\n", "+OK\r\n*0\r\n"),
            (
                "MULTI\nSET a 1\nGET a\nget none\nSELECT 9\nEXISTS a none\nEXEC\n",
                "+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*5\r\n+OK\r\n\
                 $1\r\n1\r\nNULL-ERR DB index is out of range\r\n:1\r\n",
            ),
            (
                "MULTI\nMGET a none\nEXEC\n",
                "+OK\r\n+QUEUED\r\n*1\r\n*2\r\n$1\r\n1\r\nNULL",
            ),
            (
                "WATCH a\nSET a 2\nMULTI\nSET a 3\nEXEC\nGET a\n",
                "+OK\r\n+OK\r\n+OK\r\n+QUEUED\r\nARRAY$1\r\n2\r\n",
            ),
        ] {
            let bytes = bytes.replace("NULL", null).replace("ARRAY", null_array);
            peer.expect(lines, &bytes).await;
        }
        peer.expect("DEL a\n", ":1\r\n").await;
    }
}

/// As Redis 7.0.15 answers, byte for byte.
#[tokio::test]
async fn refusals() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    for (lines, bytes) in [
        ("EXEC\n", "-ERR EXEC without MULTI\r\n"),
        ("DISCARD\n", "-ERR DISCARD without MULTI\r\n"),
        (
            "MULTI\nMULTI\nWATCH a\nEXEC\n",
            "+OK\r\n-ERR MULTI calls can not be nested\r\n\
             -ERR WATCH inside MULTI is not allowed\r\n*0\r\n",
        ),
        (
            "MULTI\nSET a 1\nNOPE x\nSET a 2\nEXEC\nEXEC\n",
            "+OK\r\n+QUEUED\r\n-ERR unknown command 'NOPE', with args beginning with: 'x' \r\n\
             +QUEUED\r\nABORTED-ERR EXEC without MULTI\r\n",
        ),
        (
            "MULTI\nGET\nEXEC\n",
            "+OK\r\n-ERR wrong number of arguments for 'get' command\r\nABORTED",
        ),
        (
            "MULTI\nCLIENT NOPE\nEXEC\n",
            "+OK\r\n-ERR unknown subcommand 'NOPE'. Try CLIENT HELP.\r\nABORTED",
        ),
        (
            "MULTI\nDISCARD x\nEXEC\n",
            "+OK\r\n-ERR wrong number of arguments for 'discard' command\r\nABORTED",
        ),
        (
            "MULTI\nSET a 1\nEXEC x\nEXEC\nEXEC y\n",
            "+OK\r\n+QUEUED\r\n\
             -EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' \
             command\r\n-ERR EXEC without MULTI\r\n\
             -EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' \
             command\r\n",
        ),
        (
            "MULTI\nCLIENT REPLY SKIP\nEXEC\n",
            "+OK\r\n-ERR Command not allowed inside a transaction\r\nABORTED",
        ),
        (
            "WATCH\nUNWATCH x\nMULTI x\n",
            "-ERR wrong number of arguments for 'watch' command\r\n\
             -ERR wrong number of arguments for 'unwatch' command\r\n\
             -ERR wrong number of arguments for 'multi' command\r\n",
        ),
        (
            "MULTI\nSET a 1\nDISCARD\nDISCARD\n",
            "+OK\r\n+QUEUED\r\n+OK\r\n-ERR DISCARD without MULTI\r\n",
        ),
        (
            "MULTI\nSET a 1\nRESET\nEXEC\n",
            "+OK\r\n+QUEUED\r\n+RESET\r\n-ERR EXEC without MULTI\r\n",
        ),
        ("EXISTS a\n", ":0\r\n"),
        ("MULTI\nSET a 1\nQUIT\n", "+OK\r\n+QUEUED\r\n+OK\r\n"),
    ] {
        let bytes = bytes.replace("ABORTED", ABORTED);
        peer.expect(lines, &bytes).await;
    }
    assert_eq!(peer.receive().await, None);
    assert_eq!(server.fake.key_count().await, Ok(0));
}

#[tokio::test]
async fn a_watched_key_that_changes_stops_the_batch() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let mut other = server.connect().await;
    let forgets: [(&str, bool); 8] = [
        ("PING", false),
        ("UNWATCH", true),
        ("MULTI\nDISCARD", true),
        ("MULTI\nEXEC", true),
        ("MULTI\nNOPE\nEXEC", true),
        ("RESET", true),
        ("DISCARD", false),
        ("EXEC", false),
    ];
    for (between, is_forgotten) in forgets {
        other.call("DEL a b").await;
        peer.expect("WATCH a b b\n", "+OK\r\n").await;
        for line in between.split('\n') {
            peer.call(line).await;
        }
        assert_eq!(other.call("SET b 1").await, Value::ok());
        peer.expect("MULTI\nSET a 7\n", "+OK\r\n+QUEUED\r\n").await;
        let executed = peer.call("EXEC").await;
        let is_executed = executed == Value::Array(vec![Value::ok()]);
        assert_eq!(is_executed, is_forgotten, "{between}: {executed:?}");
        // The watch is over in either case.
        peer.expect("MULTI\nEXEC\n", "+OK\r\n*0\r\n").await;
    }
    // What is watched twice stays as it was first seen.
    peer.expect(
        "WATCH a\nSET a 2\nWATCH a\nMULTI\nEXEC\n",
        "+OK\r\n+OK\r\n+OK\r\n+OK\r\n*-1\r\n",
    )
    .await;
    // Within the batch it is too late to look away, and its own writes do not count.
    peer.expect(
        "WATCH a\nMULTI\nSET a 3\nUNWATCH\nSET a 4\nEXEC\n",
        "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*3\r\n+OK\r\n+OK\r\n+OK\r\n",
    )
    .await;
}

#[tokio::test]
async fn a_watched_key_of_another_node_is_asked_for() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let fake = Arc::clone(&server.fake);
    let late = async |count| {
        fake.answer_late(count).await;
        fake.late_count.send_replace(0);
    };
    for changed in [false, true] {
        peer.send(b"WATCH near far1 far2\r\nPING\r\n").await;
        late(2).await;
        peer.expect("", "+OK\r\n+PONG\r\n").await;
        if changed {
            fake.map.lock().insert("far2".into(), "new".into());
        }
        peer.send(b"MULTI\r\nPING\r\nEXEC\r\nPING\r\n").await;
        late(2).await;
        let end = if changed {
            "*-1\r\n"
        } else {
            "*1\r\n+PONG\r\n"
        };
        peer.expect("", &format!("+OK\r\n+QUEUED\r\n{end}+PONG\r\n"))
            .await;
    }
    // The owner does not answer: whatever was queued is not executed.
    peer.send(b"WATCH far1\r\nMULTI\r\nSET a 1\r\nEXEC\r\n")
        .await;
    let mut counts = fake.late_count.subscribe();
    counts.wait_for(|count| *count == 1).await.unwrap();
    fake.late.lock().clear();
    counts.wait_for(|count| *count == 2).await.unwrap();
    late(2).await;
    let Some(Value::Error(text)) = peer.receive().await else {
        panic!("an error");
    };
    assert!(text.starts_with("TIMEOUT "), "{text}");
    peer.expect("EXISTS a\n", "+OK\r\n+QUEUED\r\n*-1\r\n:0\r\n")
        .await;
}

/// Two clients that add to one number by `WATCH`, `GET`, `MULTI`, `SET` and `EXEC` lost two updates
/// of five when another node had it: both were told that it had not changed, then both wrote.
#[tokio::test]
async fn of_two_batches_that_watch_a_key_of_another_node_one_stands_back() {
    let server = Server::with_defaults().await;
    let (mut one, mut other) = (server.connect().await, server.connect().await);
    let fake = Arc::clone(&server.fake);
    let late = async |count| {
        fake.answer_late(count).await;
        fake.late_count.send_replace(0);
    };
    for peer in [&mut one, &mut other] {
        peer.send(b"WATCH far\r\n").await;
        late(1).await;
        peer.expect("", "+OK\r\n").await;
    }
    one.send(b"MULTI\r\nSET far 1\r\nEXEC\r\n").await;
    let mut counts = fake.late_count.subscribe();
    counts.wait_for(|count| *count == 1).await.unwrap();
    // While the owner is asked for the one, it is not asked for the other.
    other
        .expect("MULTI\nSET far 2\nEXEC\n", "+OK\r\n+QUEUED\r\n*-1\r\n")
        .await;
    late(1).await;
    one.expect("", "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n").await;
    // It is over: the next one has its way.
    other
        .send(b"WATCH far\r\nMULTI\r\nGET far\r\nEXEC\r\n")
        .await;
    late(1).await;
    late(1).await;
    other
        .expect("", "+OK\r\n+OK\r\n+QUEUED\r\n*1\r\n$1\r\n1\r\n")
        .await;
}

#[tokio::test]
async fn answers_that_are_late_keep_their_place() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let mut other = server.connect().await;
    peer.send(
        b"SET late0 x\r\nMULTI\r\nSET late1 1\r\nGET late1\r\nDEL late1 late2\r\nGET late1\r\n\
          EXEC\r\nGET late0\r\n",
    )
    .await;
    let fake = &server.fake;
    fake.answer_late(1).await;
    let mut counts = fake.late_count.subscribe();
    counts.wait_for(|count| *count == 4).await.unwrap();
    // The batch has been executed and nobody waits for its turn to end.
    assert_eq!(other.call("EXISTS late0 late1").await, Value::Integer(1));
    fake.answer_late(4).await;
    peer.expect(
        "",
        "+OK\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n+QUEUED\r\n*4\r\n+OK\r\n$1\r\n1\r\n:1\r\n\
         $-1\r\n$1\r\nx\r\n",
    )
    .await;
}

#[tokio::test]
async fn what_follows_work_of_several_steps_waits_for_it() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let mut other = server.connect().await;
    for is_answered in [true, false] {
        server.fake.map.lock().insert("late".into(), "1".into());
        if !is_answered {
            peer.send(b"CLIENT REPLY OFF\r\n").await;
        }
        peer.send(
            b"MULTI\r\nMSETNX a 1 b 2\r\nDBSIZE\r\nRENAME late new\r\nGET new\r\nFLUSHALL\r\n\
              EXISTS new\r\nEXEC\r\n",
        )
        .await;
        let mut counts = server.fake.late_count.subscribe();
        counts.wait_for(|count| *count == 1).await.unwrap();
        // It is divided where the rename waits.
        assert_eq!(other.call("EXISTS a new").await, Value::Integer(2));
        server.fake.answer_late(1).await;
        if is_answered {
            let queued = "+QUEUED\r\n".repeat(6);
            let answers = ":1\r\n:3\r\n+OK\r\n$1\r\n1\r\n+OK\r\n:0\r\n";
            peer.expect("", &format!("+OK\r\n{queued}*6\r\n{answers}"))
                .await;
        } else {
            peer.expect("CLIENT REPLY ON\nDBSIZE\n", "+OK\r\n:0\r\n")
                .await;
        }
        server.fake.late_count.send_replace(0);
    }
    peer.expect(
        "CLIENT REPLY SKIP\nMULTI\nSET a 1\nCLIENT REPLY ON\nDISCARD\n",
        "+QUEUED\r\n-ERR Command not allowed inside a transaction\r\n+OK\r\n",
    )
    .await;
}

#[tokio::test]
async fn what_a_transaction_takes_is_bounded() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let too_much = |what: &str| {
        format!("-ERR a transaction has at most {what}: this one is discarded, divide it\r\n")
    };
    peer.expect("MULTI\n", "+OK\r\n").await;
    peer.expect(
        &"PING\n".repeat(QUEUED_COMMANDS_MAX),
        &"+QUEUED\r\n".repeat(QUEUED_COMMANDS_MAX),
    )
    .await;
    let error = too_much(&format!("{QUEUED_COMMANDS_MAX} commands"));
    peer.expect(
        "PING\nPING\nEXEC\n",
        &format!("{error}+QUEUED\r\n{ABORTED}"),
    )
    .await;

    peer.expect("MULTI\n", "+OK\r\n").await;
    let long = request(&["SET", "a", &"x".repeat(QUEUED_BYTES_MAX / 4)]);
    for _ in 0..3 {
        peer.send(&long).await;
        peer.expect("", "+QUEUED\r\n").await;
    }
    peer.send(&long).await;
    let error = too_much(&format!("{QUEUED_BYTES_MAX} bytes"));
    peer.expect("EXEC\n", &format!("{error}{ABORTED}")).await;

    let keys: Vec<String> = (0..=WATCHED_KEYS_MAX).map(|n| n.to_string()).collect();
    let watch = ["WATCH"].into_iter().chain(keys.iter().map(String::as_str));
    peer.send(&request(&watch.collect::<Vec<_>>())).await;
    let error = format!("-ERR a connection watches at most {WATCHED_KEYS_MAX} keys\r\n");
    // Not all that was meant is watched, so nothing may rely on it.
    peer.expect("MULTI\nEXEC\n", &format!("{error}+OK\r\n*-1\r\n"))
        .await;

    // Answers that are too long together are left out, and their commands executed.
    let value = "x".repeat(1024 * 1024);
    peer.send(&request(&["SET", "long", &value])).await;
    peer.expect("MULTI\n", "+OK\r\n+OK\r\n").await;
    let gets = "GET long\n".repeat(80);
    peer.expect(&gets, &"+QUEUED\r\n".repeat(80)).await;
    peer.expect("SET last 1\n", "+QUEUED\r\n").await;
    let Value::Array(answers) = peer.call("EXEC").await else {
        panic!("an array");
    };
    assert_eq!(answers.len(), 81);
    let whole = answers
        .iter()
        .filter(|answer| answer.as_bytes() == Some(value.as_bytes()));
    assert_eq!(whole.count(), 71);
    assert!(matches!(&answers[79], Value::Error(text) if text.contains("left out")));
    assert_eq!(peer.call("GET last").await, Value::bulk("1"));
}

#[tokio::test]
async fn others_see_how_far_a_transaction_is() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let mut other = server.connect().await;
    let text = |value: Value| String::from_utf8(value.as_bytes().unwrap().to_vec()).unwrap();
    peer.call("CLIENT SETNAME me").await;
    for (line, shown) in [
        ("WATCH a b", "flags=N db=0 sub=0 psub=0 multi=-1 watch=2 "),
        ("MULTI", "flags=x db=0 sub=0 psub=0 multi=0 watch=2 "),
        ("PING", "flags=x db=0 sub=0 psub=0 multi=1 watch=2 "),
        ("CLIENT INFO", "flags=x db=0 sub=0 psub=0 multi=2 watch=2 "),
    ] {
        peer.call(line).await;
        let list = text(other.call("CLIENT LIST").await);
        let mine = list
            .lines()
            .find(|line| line.contains(" name=me "))
            .unwrap();
        assert!(mine.contains(shown), "{line}: {mine}");
    }
    let Value::Array(answers) = peer.call("EXEC").await else {
        panic!("an array");
    };
    let during = text(answers[1].clone());
    assert!(
        during.contains("flags=x db=0 sub=0 psub=0 multi=2 watch=0 cmd=exec "),
        "{during}"
    );
    let after = text(peer.call("CLIENT INFO").await);
    assert!(
        after.contains("flags=N db=0 sub=0 psub=0 multi=-1 watch=0 "),
        "{after}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_of_several_clients_never_mix() {
    const ROUNDS: usize = 300;
    let server = Server::with_defaults().await;
    server
        .fake
        .map
        .lock()
        .extend([("a".into(), "0".into()), ("b".into(), "0".into())]);
    let mut clients = tokio::task::JoinSet::new();
    for me in 0..3 {
        let mut peer = server.connect().await;
        clients.spawn(async move {
            let batch =
                format!("MULTI\r\nSET a {me}\r\nGET b\r\nSET b {me}\r\nMGET a b\r\nEXEC\r\n");
            for _ in 0..ROUNDS {
                peer.send(batch.as_bytes()).await;
                for _ in 0..5 {
                    peer.receive().await;
                }
                let Some(Value::Array(answers)) = peer.receive().await else {
                    panic!("an array");
                };
                assert_eq!(answers[3], bulks(&[&me.to_string(), &me.to_string()]));
            }
        });
    }
    // What one command of another client does is not seen in halves either.
    let mut peer = server.connect().await;
    clients.spawn(async move {
        for _ in 0..ROUNDS {
            peer.call("MSETNX c 1 d 1").await;
            peer.call("RENAME c e").await;
            peer.call("DEL d e").await;
        }
    });
    let mut reader = server.connect().await;
    while !clients.is_empty() {
        reader
            .send(b"MULTI\r\nGET a\r\nEXISTS c e\r\nGET b\r\nEXISTS d\r\nEXEC\r\n")
            .await;
        for _ in 0..5 {
            reader.receive().await;
        }
        let Some(Value::Array(answers)) = reader.receive().await else {
            panic!("an array");
        };
        assert_eq!(answers[0], answers[2]);
        assert_eq!(answers[1], answers[3]);
        // Clients without a transaction have their turns too.
        assert_eq!(reader.call("PING").await, Value::simple("PONG"));
        while let Some(ended) = clients.try_join_next() {
            ended.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_batch_stands_back_while_a_burst_takes_long() {
    let server = Server::with_defaults().await;
    let (mut slow, mut peer, mut other) = (
        server.connect().await,
        server.connect().await,
        server.connect().await,
    );
    slow.send(&request(&["GET", "slow"]).repeat(3)).await;
    while server.fake.gets.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    peer.send(b"MULTI\r\nSET a 1\r\nEXEC\r\n").await;
    let executed = tokio::spawn(async move {
        peer.expect("", "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n").await;
    });
    // Others are served as if nobody waited.
    for _ in 0..5 {
        assert_eq!(other.call("PING").await, Value::simple("PONG"));
    }
    for _ in 0..3 {
        assert_eq!(slow.receive().await, Some(Value::Null));
    }
    executed.await.unwrap();
}
