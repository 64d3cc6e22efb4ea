//! Clients that say nothing: for how long they may.

use super::*;

/// Long enough for a slow machine to do something meanwhile.
const IDLE: Duration = Duration::from_millis(500);

async fn server(idle: Duration) -> Server {
    Server::start(ServerLimits {
        idle,
        ..ServerLimits::default()
    })
    .await
}

#[tokio::test]
async fn who_is_silent_is_disconnected_and_who_listens_or_talks_is_not() {
    let server = server(IDLE).await;
    let mut subscriber = server.connect().await;
    subscriber.call("SUBSCRIBE news").await;
    let mut listener = server.connect().await;
    listener.call("HELLO 3").await;
    listener.call("PSUBSCRIBE n*").await;
    let mut talker = server.connect().await;
    let mut silent = server.connect().await;
    // What is no whole command is none.
    let mut slow = server.connect().await;
    slow.send(b"*1\r\n$4\r\nPI").await;
    let ended = tokio::spawn(async move { (silent.receive().await, slow.receive().await) });
    while !ended.is_finished() {
        assert_eq!(talker.call("PING").await, Value::simple("PONG"));
        tokio::time::sleep(IDLE / 10).await;
    }
    assert_eq!(ended.await.unwrap(), (None, None));
    let told = talker.call("PUBLISH news hello").await;
    assert_eq!(told, Value::Integer(2));
    assert!(subscriber.receive().await.is_some());
    assert!(listener.receive().await.is_some());
    let Value::Bulk(info) = talker.call("INFO stats").await else {
        panic!("no text");
    };
    let info = String::from_utf8_lossy(&info).into_owned();
    assert!(info.contains("idle_clients_dropped:2\r\n"), "{info}");
}

#[tokio::test]
async fn who_no_longer_listens_may_not_be_silent() {
    let server = server(IDLE).await;
    let mut peer = server.connect().await;
    peer.call("SUBSCRIBE news").await;
    peer.call("UNSUBSCRIBE news").await;
    assert_eq!(peer.receive().await, None);
}

/// The client has nothing to say while it waits for an answer, and a moment after.
#[tokio::test]
async fn who_waits_for_an_answer_is_not_silent() {
    let server = server(IDLE).await;
    let mut peer = server.connect().await;
    let wait = format!("WAIT 9 {}", (IDLE * 2).as_millis());
    assert_eq!(peer.call(&wait).await, Value::Integer(2));
    assert_eq!(peer.call("PING").await, Value::simple("PONG"));
}

#[tokio::test]
async fn it_is_changed_for_those_who_are_there() {
    let server = Server::with_defaults().await;
    let mut silent = server.connect().await;
    assert_eq!(silent.call("PING").await, Value::simple("PONG"));
    let mut admin = server.connect().await;
    let shown = admin.call("CONFIG GET timeout").await;
    assert_eq!(shown, bulks(&["timeout", "0"]));
    let failed = "ERR CONFIG SET failed (possibly related to argument 'timeout') - ";
    for (line, why) in [
        ("timeout x", "argument couldn't be parsed into an integer"),
        (
            "timeout -1",
            "argument must be between 0 and 2147483647 inclusive",
        ),
        (
            "timeout 2147483648",
            "argument must be between 0 and 2147483647 inclusive",
        ),
        ("timeout 1 TIMEOUT 2", "duplicate parameter"),
    ] {
        let refused = admin.error(&format!("CONFIG SET {line}")).await;
        assert!(
            refused.eq_ignore_ascii_case(&format!("{failed}{why}")),
            "{refused}"
        );
    }
    // Of several nothing takes effect if one is wrong.
    admin
        .error("CONFIG SET timeout 1 notify-keyspace-events ?")
        .await;
    let shown = admin.call("CONFIG GET timeout").await;
    assert_eq!(shown, bulks(&["timeout", "0"]));

    let both = "CONFIG SET timeout 1 notify-keyspace-events KEA";
    assert_eq!(admin.call(both).await, Value::ok());
    assert_eq!(silent.receive().await, None);
    let mut admin = server.connect().await;
    let shown = admin.call("CONFIG GET timeout").await;
    assert_eq!(shown, bulks(&["timeout", "1"]));
    assert_eq!(admin.call("CONFIG SET timeout 0").await, Value::ok());
    let shown = admin.call("CONFIG GET timeout").await;
    assert_eq!(shown, bulks(&["timeout", "0"]));
}
