//! Backups and restores as commands: words in, steps out, and an end with the connection.

use super::*;

#[tokio::test]
async fn words_become_steps() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let begun = peer.call("NETDB BACKUP begin").await.into_pairs().unwrap();
    assert_eq!(field(&begun, "cluster"), &Value::bulk("test"));
    assert_eq!(field(&begun, "node"), &Value::bulk("one"));
    let seed = Value::bulk(u64::MAX.to_string());
    assert_eq!(field(&begun, "hash_seed"), &seed);
    // A member has a name, a stranger an id.
    let stranger = NodeId(8).to_string();
    let waits = peer.call("NETDB BACKUP LAYOUT").await;
    assert_eq!(waits, bulks(&["wait", &stranger]));
    let end = peer.call("netdb backup NEXT 5").await;
    assert_eq!(end, bulks(&["end", "5", "tail", "one", &stranger]));

    let begin = format!("NETDB RESTORE BEGIN 64 {}", u64::MAX);
    assert_eq!(peer.call(&begin).await, Value::ok());
    let layout = peer.call("NETDB RESTORE LAYOUT").await;
    let layout = layout.into_pairs().unwrap();
    assert_eq!(field(&layout, "here"), &Value::bulk("0-63"));
    let Value::Array(owned) = field(&layout, "owned") else {
        panic!("{layout:?}");
    };
    for (owner, name) in owned.iter().zip(["one", &stranger]) {
        let owner = owner.clone().into_pairs().unwrap();
        assert_eq!(field(&owner, "name"), &Value::bulk(name.to_owned()));
        assert_eq!(field(&owner, "partitions"), &Value::bulk("3-4,7"));
        let is_known = field(&owner, "client") != &Value::Null;
        assert_eq!(is_known, name == "one");
    }
    assert_eq!(peer.call("NETDB RESTORE ROWS 63 piece").await, Value::ok());
    assert_eq!(peer.call("NETDB RESTORE end 65535 tail").await, Value::ok());
    let refused = peer.error("NETDB RESTORE STATUS").await;
    assert!(refused.starts_with("TRYAGAIN node has not caught up"));
    let steps = std::mem::take(&mut *server.fake.transfers.lock());
    assert_eq!(
        steps,
        [
            TransferRequest::BeginBackup,
            TransferRequest::LayoutOfBackup,
            TransferRequest::NextPiece { partition: 5 },
            TransferRequest::BeginRestore {
                partitions: 64,
                hash_seed: u64::MAX,
            },
            TransferRequest::LayoutOfRestore,
            TransferRequest::RestoreRows {
                partition: 63,
                payload: Bytes::from_static(b"piece"),
            },
            TransferRequest::RestoreEnd {
                partition: 65_535,
                payload: Bytes::from_static(b"tail"),
            },
        ]
    );
}

#[tokio::test]
async fn other_words_are_refused() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    for line in [
        "NETDB BACKUP",
        "NETDB BACKUP sideways",
        "NETDB BACKUP BEGIN now",
        "NETDB BACKUP LAYOUT now",
        "NETDB BACKUP NEXT",
        "NETDB BACKUP NEXT 65536",
        "NETDB BACKUP NEXT one",
        "NETDB RESTORE",
        "NETDB RESTORE BEGIN",
        "NETDB RESTORE BEGIN 65536 0",
        "NETDB RESTORE BEGIN -1 0",
        "NETDB RESTORE BEGIN 1 18446744073709551616",
        "NETDB RESTORE BEGIN 1 seed",
        "NETDB RESTORE ROWS 1",
        "NETDB RESTORE ROWS one piece",
        "NETDB RESTORE ROWS 1 piece more",
        "NETDB RESTORE END 1",
        "NETDB RESTORE STATUS now",
    ] {
        let refused = peer.error(line).await;
        assert!(refused.starts_with("ERR "), "{line}: {refused}");
    }
    assert!(server.fake.transfers.lock().is_empty());
}

#[tokio::test]
async fn what_a_connection_began_ends_with_it() {
    let server = Server::with_defaults().await;
    let mut forgotten = server.fake.forgotten.subscribe();
    let mut other = server.connect().await;
    let mut peer = server.connect().await;
    other.call("PING").await;
    peer.call("NETDB BACKUP BEGIN").await;
    let id = peer.call("CLIENT ID").await;
    drop(other);
    drop(peer);
    let gone = forgotten.wait_for(|gone| !gone.is_empty());
    let gone = tokio::time::timeout(PATIENCE, gone).await.unwrap().unwrap();
    // The one that began nothing is not worth a word.
    let gone: Vec<_> = gone.iter().map(|id| Value::Integer(*id as i64)).collect();
    assert_eq!(gone, [id]);
}
