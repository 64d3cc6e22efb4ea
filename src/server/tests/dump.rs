//! `DUMP` and `RESTORE` in words: what is refused, and that nothing is written then.

use super::*;
use crate::object::VALUE_BYTES_MAX;

async fn dumped(peer: &mut Peer, key: &str) -> Bytes {
    match peer.call(&format!("DUMP {key}")).await {
        Value::Bulk(payload) => payload,
        other => panic!("{other:?}"),
    }
}

async fn restore(peer: &mut Peer, key: &str, ttl: &str, payload: &[u8], more: &str) -> Value {
    let mut args: Vec<&[u8]> = vec![b"RESTORE", key.as_bytes(), ttl.as_bytes(), payload];
    args.extend(more.split_whitespace().map(str::as_bytes));
    let mut bytes = BytesMut::new();
    encode_request(&args, &mut bytes);
    peer.send(&bytes).await;
    peer.receive().await.expect("a reply")
}

#[tokio::test]
async fn what_is_wrong_is_refused_in_the_words_of_redis() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    assert_eq!(peer.call("DUMP nothing").await, Value::Null);
    peer.call("SET a value").await;
    let payload = dumped(&mut peer, "a").await;
    let number = "ERR value is not an integer or out of range";
    for (ttl, more, error) in [
        ("-1", "", "ERR Invalid TTL value, must be >= 0"),
        ("soon", "", number),
        ("9223372036854775808", "", number),
        ("0", "REPLACE NOW", "ERR syntax error"),
        ("0", "IDLETIME", "ERR syntax error"),
        ("0", "FREQ 1 IDLETIME 1", "ERR syntax error"),
        ("0", "IDLETIME x", number),
        (
            "0",
            "IDLETIME -1",
            "ERR Invalid IDLETIME value, must be >= 0",
        ),
        (
            "0",
            "FREQ 256",
            "ERR Invalid FREQ value, must be >= 0 and <= 255",
        ),
    ] {
        let refused = restore(&mut peer, "b", ttl, &payload, more).await;
        assert_eq!(refused, Value::error(error), "{ttl} {more}");
    }
    let busy = "BUSYKEY Target key name already exists.";
    let refused = restore(&mut peer, "a", "0", &payload, "").await;
    assert_eq!(refused, Value::error(busy));

    let wrong = Value::error("ERR DUMP payload version or checksum are wrong");
    // A value in the form of Redis: another version.
    let of_redis = b"\x00\x05value\x0a\x00\x9c\x0b\x8d\x0d\x21\x0e\x02\x68";
    for bytes in [&b""[..], b"x", of_redis, &payload[1..], &[0; 1_000]] {
        assert_eq!(restore(&mut peer, "b", "0", bytes, "").await, wrong);
    }
    for at in 0..payload.len() {
        let mut changed = payload.to_vec();
        changed[at] ^= 1;
        assert_eq!(restore(&mut peer, "b", "0", &changed, "").await, wrong);
    }
    assert_eq!(peer.call("EXISTS b").await, Value::Integer(0));
    let done = restore(&mut peer, "b", "0", &payload, "replace idletime 5").await;
    assert_eq!(done, Value::ok());
    assert_eq!(peer.call("GET b").await, Value::bulk("value"));
    // A time that has come leaves nothing.
    let done = restore(&mut peer, "b", "5", &payload, "ABSTTL REPLACE FREQ 255").await;
    assert_eq!(done, Value::ok());
    assert_eq!(peer.call("EXISTS b").await, Value::Integer(0));
    let done = restore(&mut peer, "b", "5", &payload, "ABSTTL").await;
    assert_eq!(done, Value::ok());
    assert_eq!(peer.call("EXISTS b").await, Value::Integer(0));
}

/// The checksum is no secret, so what it is right for is anything.
#[tokio::test]
async fn what_somebody_has_made_up_is_refused_before_anything_is_written() {
    let server = Server::with_defaults().await;
    let mut peer = server.connect().await;
    let sealed = |kind, body: &[u8]| {
        let mut bytes = vec![1_u8, kind];
        bytes.extend_from_slice(body);
        let checksum = xxhash_rust::xxh3::xxh3_64(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    };
    let long = |length: usize| {
        let mut body = u32::try_from(length).unwrap().to_le_bytes().to_vec();
        body.resize(length.saturating_add(4), b'x');
        body
    };
    let mut field = long(1);
    field.extend(long(VALUE_BYTES_MAX + 1));
    let malformed = "ERR Bad data format";
    for (kind, body, error) in [
        (9, Vec::new(), malformed),
        (1, Vec::new(), malformed),
        (2, vec![0xff; 4], malformed),
        (1, long(5), malformed),
        (2, long(40_000), "ERR "),
        (1, field, "ERR "),
        (0, vec![b'x'; VALUE_BYTES_MAX + 1], "ERR "),
    ] {
        // The fake refuses all that is asked of elements, as a failure of the storage.
        let refused = restore(&mut peer, "b", "0", &sealed(kind, &body), "").await;
        let Value::Error(text) = refused else {
            panic!("{kind}: {refused:?}");
        };
        assert!(text.starts_with(error), "{kind}: {text}");
    }
    assert_eq!(peer.call("EXISTS b").await, Value::Integer(0));
}
