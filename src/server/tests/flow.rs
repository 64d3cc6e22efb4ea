//! Bytes in and bytes out: pipelines, pieces, order, ends.

use super::*;

#[tokio::test]
async fn ten_thousand_commands_in_one_pipeline() {
    let server = Server::with_defaults().await;
    let peer = server.connect().await;
    let (mut read, mut write) = peer.stream.into_split();
    let count = 10_000;
    let writer = tokio::spawn(async move {
        let mut bytes = Vec::new();
        for n in 0..count / 2 {
            let value = n.to_string();
            bytes.extend(request(&["SET", "key", &value]));
            bytes.extend(request(&["GET", "key"]));
        }
        write.write_all(&bytes).await.unwrap();
        write
    });
    let mut decoder = ReplyDecoder::new(ReplyLimits::default());
    let mut input = BytesMut::new();
    for n in 0..count / 2 {
        for expected in [Value::ok(), Value::bulk(n.to_string())] {
            let reply = loop {
                match decoder.decode(&mut input).unwrap() {
                    Some(reply) => break reply,
                    None => assert_ne!(read.read_buf(&mut input).await.unwrap(), 0),
                }
            };
            assert_eq!(reply, expected);
        }
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn replies_keep_their_order_though_some_are_late() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let mut bytes = Vec::new();
    for n in 0..100 {
        let (key, value) = (format!("late{n}"), n.to_string());
        bytes.extend(request(&["SET", &key, &value]));
        bytes.extend(request(&["GET", &key]));
        bytes.extend(request(&["DEL", &key, "late-none", "other"]));
        bytes.extend(request(&["GET", &key]));
    }
    peer.send(&bytes).await;
    let fake = Arc::clone(&server.fake);
    // The burst is cut as the bytes arrive, so answers are given as often as it takes.
    let answers = tokio::spawn(async move {
        let mut given = 0;
        loop {
            given += 1;
            fake.answer_late(given).await;
            given = *fake.late_count.borrow();
        }
    });
    for n in 0..100 {
        assert_eq!(peer.receive().await, Some(Value::ok()));
        assert_eq!(peer.receive().await, Some(Value::bulk(n.to_string())));
        assert_eq!(peer.receive().await, Some(Value::Integer(1)));
        assert_eq!(peer.receive().await, Some(Value::Null));
    }
    answers.abort();
}

/// What is decided elsewhere is done when it is answered: what comes behind it in the pipeline
/// sees it, and so does what follows in a transaction, whether or not the client wants answers.
#[tokio::test]
async fn later_commands_wait_for_what_is_decided_elsewhere() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let set: &[&str] = &["SET", "decided1", "a", "NX"];
    let commands = [set, &["GET", "decided1"], &["PING"]];
    peer.send(&commands.map(request).concat()).await;
    server.fake.answer_late(1).await;
    for answer in [Value::ok(), Value::bulk("a"), Value::simple("PONG")] {
        assert_eq!(peer.receive().await, Some(answer));
    }

    let commands: [&[&str]; 5] = [
        &["MULTI"],
        &["SETNX", "decided2", "b"],
        &["GET", "decided2"],
        &["EXPIRE", "decided2", "10"],
        &["EXEC"],
    ];
    peer.send(&commands.map(request).concat()).await;
    server.fake.answer_late(2).await;
    for answer in ["OK", "QUEUED", "QUEUED", "QUEUED"] {
        assert_eq!(peer.receive().await, Some(Value::simple(answer)));
    }
    server.fake.answer_late(3).await;
    let no_map = "IOERR storage failed: not in a map";
    let answers = vec![Value::Integer(1), Value::bulk("b"), Value::error(no_map)];
    assert_eq!(peer.receive().await, Some(Value::Array(answers)));

    let commands: [&[&str]; 4] = [
        &["CLIENT", "REPLY", "OFF"],
        &["GETSET", "decided3", "c"],
        &["CLIENT", "REPLY", "ON"],
        &["GET", "decided3"],
    ];
    peer.send(&commands.map(request).concat()).await;
    server.fake.answer_late(4).await;
    for answer in [Value::ok(), Value::bulk("c")] {
        assert_eq!(peer.receive().await, Some(answer));
    }
}

#[tokio::test]
async fn who_waits_for_replicas_keeps_its_own_commands_back_only() {
    let server = Server::with_defaults().await;
    let (mut peer, mut other) = (server.connect().await, server.connect().await);
    let commands: [&[&str]; 2] = [&["WAIT", "9", "0"], &["PING"]];
    peer.send(&commands.map(request).concat()).await;
    other.send(&request(&["WAIT", "2", "0"])).await;
    assert_eq!(other.receive().await, Some(Value::Integer(2)));
    other.send(&request(&["WAIT", "9", "1"])).await;
    assert_eq!(other.receive().await, Some(Value::Integer(2)));
    other.send(&request(&["WAITAOF", "1", "0", "0"])).await;
    let refused = other.receive().await;
    let says_why = |error: &Value| format!("{error:?}").contains("in memory only");
    assert!(refused.as_ref().is_some_and(says_why), "{refused:?}");
    other.send(&request(&["NETDB.TOKEN"])).await;
    assert_eq!(other.receive().await, Some(Value::bulk("token")));
    for (token, answer) in [("token", "OK"), ("tokem", "no token of this cluster")] {
        other.send(&request(&["NETDB.AFTER", token, "10"])).await;
        let answered = other.receive().await;
        assert!(format!("{answered:?}").contains(answer), "{answered:?}");
    }
    // It says no more, so it is answered with what there is.
    peer.stream.shutdown().await.unwrap();
    assert_eq!(peer.receive().await, Some(Value::Integer(2)));
    assert_eq!(peer.receive().await, Some(Value::simple("PONG")));
}

#[tokio::test]
async fn a_command_in_single_bytes() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    for byte in request(&["SET", "key", "a\r\nb"]) {
        peer.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(peer.receive().await, Some(Value::ok()));
    // A command that never ends disturbs nobody and ends with its connection.
    peer.send(b"*2\r\n$3\r\nGET\r\n$3\r\nke").await;
    let mut other = server.connect().await;
    assert_eq!(other.call("GET key").await, Value::bulk("a\r\nb"));
    peer.send(b"y\r\n").await;
    assert_eq!(peer.receive().await, Some(Value::bulk("a\r\nb")));
}

#[tokio::test]
async fn a_client_that_closes_its_half_still_gets_its_replies() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    peer.send(&request(&["PING"]).repeat(1_000)).await;
    peer.stream.shutdown().await.unwrap();
    for _ in 0..1_000 {
        assert_eq!(peer.receive().await, Some(Value::simple("PONG")));
    }
    assert_eq!(peer.receive().await, None);
}

#[tokio::test]
async fn large_values_pass_in_both_directions() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let value = "x".repeat(3 * 1024 * 1024);
    peer.send(&request(&["SET", "key", &value])).await;
    assert_eq!(peer.receive().await, Some(Value::ok()));
    assert_eq!(peer.call("GET key").await, Value::bulk(value));
}

#[tokio::test]
async fn inline_commands() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    peer.send(b"\r\nset k \"hello world\"\r\nGET k\nPING\r\n")
        .await;
    assert_eq!(peer.receive().await, Some(Value::ok()));
    assert_eq!(peer.receive().await, Some(Value::bulk("hello world")));
    assert_eq!(peer.receive().await, Some(Value::simple("PONG")));
}

#[tokio::test]
async fn quit_answers_and_closes() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    peer.send(b"PING\r\nQUIT\r\nPING\r\n").await;
    assert_eq!(peer.receive().await, Some(Value::simple("PONG")));
    assert_eq!(peer.receive().await, Some(Value::ok()));
    assert_eq!(peer.receive().await, None);
}

#[tokio::test]
async fn client_reply_silences() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    peer.send(b"CLIENT REPLY SKIP\r\nPING skipped\r\nPING a\r\n")
        .await;
    assert_eq!(peer.receive().await, Some(Value::bulk("a")));
    peer.send(
        b"CLIENT REPLY OFF\r\nPING off\r\nnonsense\r\nSET late v\r\nCLIENT REPLY ON\r\nPING b\r\n",
    )
    .await;
    assert_eq!(peer.receive().await, Some(Value::ok()));
    assert_eq!(peer.receive().await, Some(Value::bulk("b")));
    assert_eq!(peer.call("GET late").await, Value::bulk("v"));
}

#[tokio::test]
async fn stopping_ends_connections_and_the_server() {
    let server = Server::with_defaults().await;
    let mut idle = server.connect().await;
    assert_eq!(idle.call("PING").await, Value::simple("PONG"));
    server.stopping.cancel();
    assert_eq!(idle.receive().await, None);
    tokio::time::timeout(PATIENCE, server.task)
        .await
        .unwrap()
        .unwrap();
    assert!(TcpStream::connect(server.addr).await.is_err());
}

#[tokio::test]
async fn nothing_overtakes_work_that_goes_on() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let mut other = server.connect().await;
    for unanswered in [false, true] {
        server.fake.map.lock().insert("late".into(), "old".into());
        let mut pipeline = Vec::new();
        if unanswered {
            pipeline.extend(request(&["CLIENT", "REPLY", "SKIP"]));
        }
        pipeline.extend(request(&["FLUSHALL"]));
        pipeline.extend(request(&["SET", "kept", "new"]));
        pipeline.extend(request(&["GET", "kept"]));
        peer.send(&pipeline).await;
        // The delete has been done and is not answered; meanwhile others are served, and the
        // command behind it has not begun.
        let late = &server.fake.late_count;
        let begun = late.subscribe().wait_for(|count| *count > 0).await.is_ok();
        assert!(begun);
        assert_eq!(other.call("EXISTS late kept").await, Value::Integer(0));
        server.fake.answer_late(1).await;
        server.fake.late_count.send_replace(0);
        if !unanswered {
            assert_eq!(peer.receive().await, Some(Value::ok()));
        }
        assert_eq!(peer.receive().await, Some(Value::ok()));
        assert_eq!(peer.receive().await, Some(Value::bulk("new")));
        assert_eq!(other.call("UNLINK kept").await, Value::Integer(1));
    }
    for wrong in ["FLUSHALL NOW", "FLUSHDB SYNC ASYNC"] {
        assert_eq!(peer.error(wrong).await, "ERR syntax error");
    }
}
