//! Clients that err, hurry, dawdle or attack: they get an error or an end, others are served.

use super::*;

#[tokio::test]
async fn one_client_too_many_is_told_so() {
    let server = Server::start(ServerLimits {
        clients_max: 2,
        ..ServerLimits::default()
    })
    .await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    assert_eq!(first.call("PING").await, Value::simple("PONG"));
    assert_eq!(second.call("PING").await, Value::simple("PONG"));
    let mut third = server.connect().await;
    assert_eq!(
        third.receive().await,
        Some(Value::error("ERR max number of clients reached"))
    );
    assert_eq!(third.receive().await, None);
    first.send(b"QUIT\r\n").await;
    assert_eq!(first.receive().await, Some(Value::ok()));
    assert_eq!(first.receive().await, None);
    // The place is free once the server has taken note of the end.
    let admitted = async {
        loop {
            let mut peer = server.connect().await;
            peer.stream.write_all(b"PING\r\n").await.ok();
            if peer.receive().await == Some(Value::simple("PONG")) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, admitted).await.unwrap();
}

#[tokio::test]
async fn a_reader_that_never_reads_is_bounded_then_dropped() {
    let server = Server::start(ServerLimits {
        stall: Duration::from_millis(200),
        ..ServerLimits::default()
    })
    .await;
    let value_bytes = 100 * 1024;
    let mut peer = server.connect().await;
    peer.send(&request(&["SET", "big", &"x".repeat(value_bytes)]))
        .await;
    assert_eq!(peer.receive().await, Some(Value::ok()));
    let ask = request(&["GET", "big"]).repeat(1_000);
    let greedy = async {
        // Ends when the server has dropped us: writes fail then.
        while peer.stream.write_all(&ask).await.is_ok() {}
    };
    tokio::time::timeout(PATIENCE, greedy).await.unwrap();
    // What was answered fits the socket's buffers and the pause.
    let answered = server.fake.gets.load(Ordering::Relaxed) * value_bytes;
    assert!(answered < 64 * 1024 * 1024, "{answered} bytes answered");
    let mut other = server.connect().await;
    assert_eq!(other.call("PING").await, Value::simple("PONG"));
}

/// What clients take together is bounded: more is refused before it has come, and nothing but
/// that ends.
#[tokio::test]
async fn there_is_only_so_much_memory_for_clients() {
    let server = Server::start(ServerLimits {
        memory_bytes_max: 1_000_000,
        stall: Duration::from_millis(300),
        ..ServerLimits::default()
    })
    .await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    let long = request(&["SET", "long", &"x".repeat(700_000)]);
    // The first has begun what the second does not get beside it.
    first.send(&long[..100]).await;
    let refused = async {
        loop {
            second.send(&long).await;
            match second.receive().await {
                Some(Value::Error(text)) => return text,
                other => assert_eq!(other, Some(Value::ok())),
            }
        }
    };
    let text = tokio::time::timeout(PATIENCE, refused).await.unwrap();
    assert!(text.starts_with("OOM "), "{text}");
    assert!(text.contains("'maxmemory-clients'"), "{text}");
    assert!(matches!(second.call("DEL long").await, Value::Integer(_)));
    // In a transaction it is like every command that is refused.
    assert_eq!(second.call("MULTI").await, Value::ok());
    second.send(&long).await;
    assert!(matches!(second.receive().await, Some(Value::Error(text)) if text.starts_with("OOM ")));
    assert!(second.error("EXEC").await.starts_with("EXECABORT "));
    // Whoever goes on gets it done, and whoever does not is dropped, with what it took.
    first.send(&long[100..]).await;
    assert_eq!(first.receive().await, Some(Value::ok()));
    first.send(&long[..100]).await;
    assert_eq!(first.receive().await, None);
    second.send(&long).await;
    assert_eq!(second.receive().await, Some(Value::ok()));
}

/// Answers that nobody reads count too.
#[tokio::test]
async fn unread_answers_leave_no_room_for_others() {
    let server = Server::start(ServerLimits {
        memory_bytes_max: 20_000_000,
        stall: Duration::from_millis(500),
        ..ServerLimits::default()
    })
    .await;
    let (mut reader, mut other) = (server.connect().await, server.connect().await);
    other
        .send(&request(&["SET", "long", &"x".repeat(19_000_000)]))
        .await;
    assert_eq!(other.receive().await, Some(Value::ok()));
    // More than sockets hold.
    reader.send(&request(&["MGET", "long", "long"])).await;
    let refused = async {
        loop {
            match other.call("GET none").await {
                Value::Error(text) => return text,
                value => assert_eq!(value, Value::Null),
            }
        }
    };
    let text = tokio::time::timeout(PATIENCE, refused).await.unwrap();
    assert!(text.starts_with("OOM "), "{text}");
    assert_eq!(other.call("PING").await, Value::simple("PONG"));
    assert!(matches!(other.call("INFO memory").await, Value::Bulk(_)));
    // It is there again when the slow one has been dropped.
    let served = async {
        while matches!(other.call("GET none").await, Value::Error(_)) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, served).await.unwrap();
}

#[tokio::test]
async fn a_client_that_was_idle_for_long_is_not_taken_for_a_stalled_one() {
    let server = Server::start(ServerLimits {
        stall: Duration::from_millis(500),
        ..ServerLimits::default()
    })
    .await;
    let mut peer = server.connect().await;
    peer.send(&request(&["SET", "big", &"x".repeat(3 << 20)]))
        .await;
    assert_eq!(peer.receive().await, Some(Value::ok()));
    tokio::time::sleep(Duration::from_millis(700)).await;
    let ask = request(&["GET", "big"]).repeat(4);
    peer.send(&ask).await;
    for _ in 0..4 {
        assert!(matches!(peer.receive().await, Some(Value::Bulk(_))));
    }
}

/// One thread for everything: the other client gets its turn between two bursts.
#[tokio::test(flavor = "current_thread")]
async fn a_big_pipeline_does_not_starve_others() {
    let server = Server::with_defaults().await;
    let mut other = server.connect().await;
    let greedy = server.connect().await;
    let (mut read, mut write) = greedy.stream.into_split();
    let commands = 200_000;
    tokio::spawn(async move {
        let bytes = request(&["GET", "k"]).repeat(commands);
        write.write_all(&bytes).await.unwrap();
    });
    let reader = tokio::spawn(async move {
        let mut sink = vec![0; 1 << 16];
        let mut left = commands * 5;
        while left > 0 {
            left -= read.read(&mut sink).await.unwrap();
        }
    });
    // Wait until the pipeline runs.
    while server.fake.gets.load(Ordering::Relaxed) < 1_000 {
        tokio::task::yield_now().await;
    }
    let before = server.fake.gets.load(Ordering::Relaxed);
    assert_eq!(other.call("PING").await, Value::simple("PONG"));
    let between = server.fake.gets.load(Ordering::Relaxed) - before;
    assert!(between < commands / 4, "{between} commands went before");
    reader.await.unwrap();
}

#[tokio::test]
async fn http_is_not_spoken_to() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    peer.send(b"POST / HTTP/1.1\r\nSET evil 1\r\n").await;
    assert_eq!(peer.receive().await, None);
    let mut peer = server.connect().await;
    peer.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nSET evil 1\r\n")
        .await;
    assert!(matches!(peer.receive().await, Some(Value::Error(_))));
    assert_eq!(peer.receive().await, None);
    assert_eq!(server.fake.key_count().await, Ok(0));
}

#[tokio::test]
async fn protocol_errors_are_told_and_end_the_connection() {
    let server = Server::with_defaults().await;
    let long = "x".repeat(70 * 1024);
    let deep = "*1\r\n".repeat(10_000);
    for (bytes, text) in [
        (
            "*3000000000\r\n",
            "ERR Protocol error: invalid multibulk length",
        ),
        (
            "*1\r\n$1073741824\r\n",
            "ERR Protocol error: invalid bulk length",
        ),
        ("*1\r\n$-10\r\n", "ERR Protocol error: invalid bulk length"),
        (&deep, "ERR Protocol error: expected '$', got '*'"),
        (&long, "ERR Protocol error: too big inline request"),
        (
            "set a \"b\r\n",
            "ERR Protocol error: unbalanced quotes in request",
        ),
    ] {
        let mut peer = server.connect().await;
        peer.send(b"*-10\r\nPING\r\n").await;
        peer.send(bytes.as_bytes()).await;
        assert_eq!(peer.receive().await, Some(Value::simple("PONG")));
        assert_eq!(peer.receive().await, Some(Value::error(text)));
        assert_eq!(peer.receive().await, None);
    }
}

/// Bytes from a fixed seed, close enough to the protocol to get somewhere.
fn garbage(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let pieces: [&[u8]; 8] = [
        b"*2\r\n",
        b"$3\r\n",
        b"GET\r\n",
        b"\r\n",
        b"*1\r\n",
        b"\"",
        b"$4\r\nKEYS\r\n",
        b"* ",
    ];
    let mut bytes = Vec::new();
    for _ in 0..next() % 200 {
        match next() % 3 {
            0 => bytes.push(next() as u8),
            _ => bytes.extend_from_slice(pieces[(next() % 8) as usize]),
        }
    }
    bytes
}

#[tokio::test]
async fn garbage_from_many_clients_leaves_the_server_serving() {
    let server = Server::with_defaults().await;
    for seed in 0..300 {
        let mut peer = server.connect().await;
        let _ = peer.stream.write_all(&garbage(seed)).await;
    }
    let mut peer = server.connect().await;
    assert_eq!(peer.call("SET a 1").await, Value::ok());
    assert_eq!(peer.call("GET a").await, Value::bulk("1"));
}
