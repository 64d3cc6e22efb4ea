//! Laws of the codecs: what is written is read back, however it is cut; hostile bytes
//! cost an error, not memory.
//!
//! Hostile bytes are tried a few thousand times. For as many as one likes, here and in the
//! server:
//!
//! ```text
//! NETDB_FUZZ_CASES=1000000 cargo test --release --lib -- resp::tests::hostile server::tests::hostile
//! ```

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::reply::NESTING_MAX;
use super::*;

/// How often hostile bytes are tried: `NETDB_FUZZ_CASES` times, or else `short`.
pub(crate) fn fuzz_cases(short: u32) -> u32 {
    let cases = std::env::var("NETDB_FUZZ_CASES");
    cases.map_or(short, |cases| cases.parse().expect("a number of cases"))
}

fn requests() -> RequestDecoder {
    RequestDecoder::new(RequestLimits::default())
}

fn replies() -> ReplyDecoder {
    ReplyDecoder::new(ReplyLimits::default())
}

/// Feeds `bytes` in pieces of the given lengths (the last piece takes the rest) and
/// returns every command.
fn commands_in_pieces(bytes: &[u8], pieces: &[usize]) -> Result<Vec<Vec<Bytes>>, ProtocolError> {
    let mut decoder = requests();
    let mut buffer = BytesMut::new();
    let mut commands = Vec::new();
    let mut rest = bytes;
    let mut pieces = pieces.iter();
    loop {
        let take = pieces
            .next()
            .map_or(rest.len(), |piece| (*piece).min(rest.len()));
        let (now, later) = rest.split_at(take);
        buffer.extend_from_slice(now);
        rest = later;
        while let Some(command) = decoder.decode(&mut buffer)? {
            commands.push(command);
        }
        if rest.is_empty() {
            return Ok(commands);
        }
    }
}

fn commands(bytes: &[u8]) -> Result<Vec<Vec<Bytes>>, ProtocolError> {
    commands_in_pieces(bytes, &[])
}

fn words(command: &[Bytes]) -> Vec<&str> {
    command
        .iter()
        .map(|arg| std::str::from_utf8(arg).unwrap())
        .collect()
}

fn reply(bytes: &[u8]) -> Result<Option<Value>, ReplyError> {
    replies().decode(&mut BytesMut::from(bytes))
}

/// What a value becomes when it is written in RESP2 and read back: the table in
/// [`Value`]'s documentation, spelled out a second time.
fn downgraded(value: &Value) -> Value {
    let all = |items: &[Value]| items.iter().map(downgraded).collect::<Vec<_>>();
    match value {
        Value::Boolean(value) => Value::Integer(i64::from(*value)),
        Value::Double(value) => Value::bulk(value.to_string().to_lowercase().into_bytes()),
        Value::BigNumber(digits) => Value::bulk(digits.clone().into_bytes()),
        Value::Verbatim { text, .. } => Value::Bulk(text.clone()),
        Value::Array(items) | Value::Set(items) | Value::Push(items) => Value::Array(all(items)),
        Value::Map(pairs) => Value::Array(
            pairs
                .iter()
                .flat_map(|(key, value)| [downgraded(key), downgraded(value)])
                .collect(),
        ),
        same => same.clone(),
    }
}

fn arb_value() -> impl Strategy<Value = Value> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    let leaf = prop_oneof![
        "[ -~é]{0,20}".prop_map(Value::Simple),
        "[A-Z]{1,8} [ -~]{0,20}".prop_map(Value::Error),
        any::<i64>().prop_map(Value::Integer),
        bytes().prop_map(Value::Bulk),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        any::<f64>()
            .prop_filter("NaN is not equal to itself", |value| !value.is_nan())
            .prop_map(Value::Double),
        "-?[0-9]{1,40}".prop_map(Value::BigNumber),
        bytes().prop_map(|text| Value::Verbatim {
            format: *b"txt",
            text
        }),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Set),
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Push),
            prop::collection::vec((inner.clone(), inner), 0..6).prop_map(Value::Map),
        ]
    })
}

fn arb_command() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..6)
}

/// Bytes that look enough like the protocol to get past the first byte.
fn arb_hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..8),
        prop::sample::select(vec![
            "*",
            "$",
            "%",
            "~",
            ">",
            "+",
            "-",
            ":",
            ",",
            "(",
            "!",
            "=",
            "_",
            "#",
            "\r\n",
            "\n",
            "*2\r\n",
            "$3\r\n",
            "$3\r\nabc\r\n",
            "*1\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "3",
            "99999999",
            "-",
            "\"",
            "'",
            "\\x4",
            "=7\r\ntxt:abc\r\n",
            "%1\r\n",
            "_\r\n",
            "#t\r\n",
            " ",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn commands_come_back_however_they_are_cut(
        all in prop::collection::vec(arb_command(), 1..5),
        pieces in prop::collection::vec(0_usize..30, 0..40),
    ) {
        let mut bytes = BytesMut::new();
        for command in &all {
            encode_request(command, &mut bytes);
        }
        prop_assert_eq!(&commands(&bytes).unwrap(), &all);
        prop_assert_eq!(&commands_in_pieces(&bytes, &pieces).unwrap(), &all);
    }

    #[test]
    fn every_strict_prefix_of_a_command_asks_for_more(command in arb_command()) {
        let mut bytes = BytesMut::new();
        encode_request(&command, &mut bytes);
        for length in 0..bytes.len() {
            prop_assert_eq!(commands(&bytes[..length]), Ok(vec![]));
        }
    }

    #[test]
    fn inline_commands_come_back_however_they_are_cut(
        lines in prop::collection::vec(prop::collection::vec("[a-zA-Z0-9!#%&/]{1,8}", 0..5), 0..5),
        pieces in prop::collection::vec(0_usize..10, 0..20),
    ) {
        let bytes: String = lines.iter().map(|line| line.join(" ") + "\r\n").collect();
        let expected: Vec<_> = lines.into_iter().filter(|line| !line.is_empty()).collect();
        prop_assert_eq!(commands_in_pieces(bytes.as_bytes(), &pieces).unwrap(), expected);
    }

    #[test]
    fn values_come_back_in_resp3(value in arb_value()) {
        let mut bytes = BytesMut::new();
        encode(&value, Protocol::Resp3, &mut bytes);
        let mut buffer = bytes.clone();
        prop_assert_eq!(replies().decode(&mut buffer), Ok(Some(value)));
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn values_come_back_downgraded_in_resp2(value in arb_value()) {
        let mut bytes = BytesMut::new();
        encode(&value, Protocol::Resp2, &mut bytes);
        prop_assert_eq!(reply(&bytes), Ok(Some(downgraded(&value))));
    }

    #[test]
    fn replies_come_back_however_they_are_cut(
        all in prop::collection::vec(arb_value(), 1..4),
        pieces in prop::collection::vec(0_usize..20, 0..60),
    ) {
        let mut bytes = BytesMut::new();
        for value in &all {
            encode(value, Protocol::Resp3, &mut bytes);
        }
        let (mut decoder, mut buffer, mut found) = (replies(), BytesMut::new(), Vec::new());
        let mut rest = &bytes[..];
        for piece in pieces.into_iter().chain([usize::MAX]) {
            let (now, later) = rest.split_at(piece.min(rest.len()));
            buffer.extend_from_slice(now);
            rest = later;
            while let Some(value) = decoder.decode(&mut buffer).unwrap() {
                found.push(value);
            }
        }
        prop_assert_eq!(found, all);
    }

    #[test]
    fn every_strict_prefix_of_a_reply_asks_for_more(value in arb_value()) {
        let mut bytes = BytesMut::new();
        encode(&value, Protocol::Resp3, &mut bytes);
        for length in 0..bytes.len() {
            prop_assert_eq!(reply(&bytes[..length]), Ok(None));
        }
    }
}

/// What is done to the bytes of a valid pipeline.
#[derive(Clone, Debug)]
pub(crate) enum Mutation {
    Replace(u8),
    Insert(Vec<u8>),
    Remove(usize),
    Repeat(usize),
    CutOff,
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>, at: usize) {
        let end = |count: &usize| at.saturating_add(*count).min(bytes.len());
        match self {
            Self::Replace(byte) => bytes[at] = *byte,
            Self::Insert(new) => drop(bytes.splice(at..at, new.iter().copied())),
            Self::Remove(count) => drop(bytes.drain(at..end(count))),
            Self::Repeat(count) => {
                let part = bytes[at..end(count)].to_vec();
                drop(bytes.splice(at..at, part));
            }
            Self::CutOff => bytes.truncate(at),
        }
    }
}

/// Changes some bytes of what is valid, or none.
pub(crate) fn arb_mutated(valid: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let mutation = prop_oneof![
        any::<u8>().prop_map(Mutation::Replace),
        prop::collection::vec(any::<u8>(), 1..6).prop_map(Mutation::Insert),
        prop::sample::select(vec!["*9\r\n", "$-1\r\n", "$7\r\n", "\r\n", "*1000000\r\n"])
            .prop_map(|text| Mutation::Insert(text.into())),
        (1_usize..20).prop_map(Mutation::Remove),
        (1_usize..40).prop_map(Mutation::Repeat),
        Just(Mutation::CutOff),
    ];
    let mutations = prop::collection::vec((any::<prop::sample::Index>(), mutation), 0..4);
    (valid, mutations).prop_map(|(mut bytes, mutations)| {
        for (at, mutation) in mutations {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                mutation.apply(&mut bytes, at);
            }
        }
        bytes
    })
}

/// So many commands, one behind the other.
pub(crate) fn arb_pipeline(
    command: impl Strategy<Value = Vec<Vec<u8>>>,
    count: Range<usize>,
) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(command, count).prop_map(|commands| {
        let mut bytes = BytesMut::new();
        for command in &commands {
            encode_request(command, &mut bytes);
        }
        bytes.to_vec()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(fuzz_cases(10_000)))]

    #[test]
    fn hostile_bytes_are_decoded_or_refused(
        bytes in prop_oneof![arb_hostile(), arb_mutated(arb_pipeline(arb_command(), 1..5))],
        pieces in prop::collection::vec(0_usize..9, 0..30)) {
        // The answer does not depend on how the bytes were cut.
        let whole = commands(&bytes);
        let cut = commands_in_pieces(&bytes, &pieces);
        prop_assert_eq!(&whole, &cut);
        if let Ok(found) = whole {
            let held: usize = found.iter().flatten().map(Bytes::len).sum();
            prop_assert!(held <= bytes.len());
        }
        let mut buffer = BytesMut::from(&bytes[..]);
        let mut decoder = replies();
        while let Ok(Some(_)) = decoder.decode(&mut buffer) {}
    }

    #[test]
    fn hostile_bytes_at_random_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = commands(&bytes);
        let _ = reply(&bytes);
    }

    #[test]
    fn hostile_bytes_make_nothing_keep_more_than_its_limits(
        bytes in prop_oneof![arb_hostile(), arb_mutated(arb_pipeline(arb_command(), 1..5))],
        repeated in 1_usize..40,
        pieces in prop::collection::vec(0_usize..99, 0..30),
    ) {
        let limits = RequestLimits { bulk_bytes_max: 50, request_bytes_max: 400 };
        // A decoder takes room for some arguments at once, and an inline command has its own
        // limit.
        let kept_max = limits.request_bytes_max + 16 * size_of::<Bytes>();
        let waiting_max = INLINE_BYTES_MAX;
        let bytes = bytes.repeat(repeated);
        let mut decoder = RequestDecoder::new(limits);
        let (mut buffer, mut rest) = (BytesMut::new(), &bytes[..]);
        let mut pieces = pieces.into_iter();
        'input: while !rest.is_empty() {
            let (now, later) = rest.split_at(pieces.next().unwrap_or(1_000).min(rest.len()));
            buffer.extend_from_slice(now);
            rest = later;
            loop {
                match decoder.decode(&mut buffer) {
                    Ok(Some(command)) => {
                        let bytes: usize = command.iter().map(Bytes::len).sum();
                        prop_assert!(!command.is_empty() && bytes <= INLINE_BYTES_MAX);
                    }
                    Ok(None) => break,
                    Err(_) => break 'input,
                }
            }
            prop_assert!(decoder.bytes_kept() <= kept_max, "{}", decoder.bytes_kept());
            prop_assert!(buffer.len() <= waiting_max && buffer.capacity() <= 2 * waiting_max);
            prop_assert!(decoder.bytes_missing(&buffer) <= limits.bulk_bytes_max + 2);
        }
    }
}

proptest! {
    /// A command for which there is no room is dropped as it comes, however it is cut; the
    /// others are found.
    #[test]
    fn what_is_refused_leaves_the_rest(
        pipeline in prop::collection::vec(
            prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 1..5), 1..10),
        room in ARG_OVERHEAD_BYTES..400,
        pieces in prop::collection::vec(1_usize..50, 1..30),
    ) {
        let fits = |args: &[Vec<u8>]| {
            let sizes = args.iter().map(|arg| arg.len() + ARG_OVERHEAD_BYTES);
            sizes.sum::<usize>() <= room
        };
        let owned = |args: &[Vec<u8>]| args.iter().cloned().map(Bytes::from).collect();
        let expected: Vec<Decoded> = pipeline.iter().map(|args| match fits(args) {
            true => Decoded::Command(owned(args)),
            false => {
                let kept = (0..args.len()).take_while(|count| fits(&args[..count + 1]));
                Decoded::Refused(owned(&args[..kept.count()]))
            }
        }).collect();
        let mut bytes = BytesMut::new();
        for args in &pipeline {
            let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            encode_request(&args, &mut bytes);
        }
        let (mut decoder, mut buffer, mut found) = (requests(), BytesMut::new(), Vec::new());
        for piece in pieces.into_iter().cycle() {
            buffer.extend_from_slice(&bytes.split_to(piece.min(bytes.len())));
            let mut admit = |bytes| bytes <= room;
            while let Some(decoded) = decoder.decode_within(&mut buffer, &mut admit).unwrap() {
                found.push(decoded);
            }
            prop_assert!(decoder.bytes_kept() <= room + 16 * size_of::<Bytes>());
            if bytes.is_empty() {
                break;
            }
        }
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn a_refused_argument_without_its_end_is_an_error() {
    let mut buffer = BytesMut::from(&b"*2\r\n$3\r\nabcXX"[..]);
    let error = requests().decode_within(&mut buffer, |_| false);
    assert_eq!(error, Err(ProtocolError::UnterminatedBulk));
}

#[test]
fn empty_commands_are_skipped() {
    let found = commands(b"\r\n\n*0\r\n*-1\r\n*-10\r\n  \r\nPING\r\n*1\r\n$4\r\nPING\r\n").unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(words(&found[0]), ["PING"]);
    assert_eq!(words(&found[1]), ["PING"]);
}

#[test]
fn an_empty_argument_is_an_argument() {
    let found = commands(b"*2\r\n$0\r\n\r\n$1\r\na\r\n").unwrap();
    assert_eq!(words(&found[0]), ["", "a"]);
}

#[test]
fn protocol_errors_have_the_texts_that_clients_know() {
    let cases: &[(&[u8], &str)] = &[
        (
            b"*3000000000\r\n",
            "Protocol error: invalid multibulk length",
        ),
        (b"*1048577\r\n", "Protocol error: invalid multibulk length"),
        (b"*x\r\n", "Protocol error: invalid multibulk length"),
        (b"*1\n", "Protocol error: invalid multibulk length"),
        (
            b"*99999999999999999999\r\n",
            "Protocol error: invalid multibulk length",
        ),
        (b"*1\r\n$-1\r\n", "Protocol error: invalid bulk length"),
        (
            b"*1\r\n$1073741824\r\n",
            "Protocol error: invalid bulk length",
        ),
        (b"*1\r\n$x\r\n", "Protocol error: invalid bulk length"),
        (b"*1\r\nfoo\r\n", "Protocol error: expected '$', got 'f'"),
        (b"*1\r\n*1\r\n", "Protocol error: expected '$', got '*'"),
        (
            b"*1\r\n$1\r\nabc",
            "Protocol error: bulk not terminated by CRLF",
        ),
        (
            b"set k \"v\r\n",
            "Protocol error: unbalanced quotes in request",
        ),
    ];
    for (bytes, text) in cases {
        let error = commands(bytes).unwrap_err();
        assert_eq!(error.to_string(), *text, "{}", bytes.escape_ascii());
    }
}

#[test]
fn lines_without_an_end_are_refused() {
    assert_eq!(commands(&[b'*'; 63]), Ok(vec![]));
    assert_eq!(commands(&[b'*'; 64]), Err(ProtocolError::CountLineTooLong));
    let mut bulk = b"*1\r\n$".to_vec();
    bulk.extend([b'1'; 70]);
    assert_eq!(commands(&bulk), Err(ProtocolError::LengthLineTooLong));
    let inline = vec![b'a'; 70 * 1024];
    assert_eq!(commands(&inline), Err(ProtocolError::InlineTooLong));
    let ended = [inline, b"\r\n".to_vec()].concat();
    assert_eq!(commands(&ended), Err(ProtocolError::InlineTooLong));
}

#[test]
fn a_nested_array_of_ten_thousand_levels_is_refused() {
    let bytes = b"*1\r\n".repeat(10_000);
    assert_eq!(commands(&bytes), Err(ProtocolError::ExpectedBulk(b'*')));
    assert_eq!(reply(&bytes), Err(ReplyError::TooDeep));
    let deepest = [b"*1\r\n".repeat(NESTING_MAX), b":1\r\n".to_vec()].concat();
    assert!(reply(&deepest).unwrap().is_some());
}

#[test]
fn a_declared_length_costs_nothing_until_its_bytes_arrive() {
    let mut decoder = requests();
    let mut buffer = BytesMut::from(&b"*1048576\r\n$67108864\r\nabc"[..]);
    assert_eq!(decoder.decode(&mut buffer), Ok(None));
    assert!(buffer.capacity() < 1_024);
    assert_eq!(decoder.bytes_missing(&buffer), 64 * 1024 * 1024 + 2 - 3);

    let mut decoder = replies();
    let mut buffer = BytesMut::from(&b"*1048576\r\n$67108864\r\nabc"[..]);
    assert_eq!(decoder.decode(&mut buffer), Ok(None));
    assert!(buffer.capacity() < 1_024);
}

#[test]
fn many_empty_arguments_are_not_free() {
    let limits = RequestLimits {
        bulk_bytes_max: 100,
        request_bytes_max: 1_000,
    };
    let bytes = [b"*1000\r\n".to_vec(), b"$0\r\n\r\n".repeat(1_000)].concat();
    let mut decoder = RequestDecoder::new(limits);
    assert_eq!(
        decoder.decode(&mut BytesMut::from(&bytes[..])),
        Err(ProtocolError::RequestTooLong(1_000))
    );
    // The budget is per command, not per connection.
    let mut decoder = RequestDecoder::new(limits);
    let mut buffer = BytesMut::from(&b"*1\r\n$4\r\nPING\r\n".repeat(1_000)[..]);
    for _ in 0..1_000 {
        assert!(decoder.decode(&mut buffer).unwrap().is_some());
    }
}

#[test]
fn a_short_argument_does_not_keep_a_long_buffer() {
    let mut bytes = BytesMut::with_capacity(1 << 20);
    encode_request(
        &[&b"set"[..], b"key", &[7; SHARED_ARG_BYTES_MIN - 1]],
        &mut bytes,
    );
    let start = bytes.as_ptr_range();
    let command = requests().decode(&mut bytes).unwrap().unwrap();
    for arg in command {
        assert!(!start.contains(&arg.as_ptr()));
    }
}

#[test]
fn a_long_argument_that_fills_its_buffer_is_not_copied() {
    let mut bytes = BytesMut::new();
    encode_request(&[vec![7; 1 << 20]], &mut bytes);
    let range = bytes.as_ptr_range();
    let command = requests().decode(&mut bytes).unwrap().unwrap();
    assert!(range.contains(&command[0].as_ptr()));
}

#[test]
fn replies_beyond_their_limits_are_refused() {
    let limits = ReplyLimits {
        bulk_bytes_max: 10,
        items_max: 4,
        reply_bytes_max: 15,
    };
    let refuse = |bytes: &[u8]| {
        ReplyDecoder::new(limits)
            .decode(&mut BytesMut::from(bytes))
            .unwrap_err()
    };
    assert_eq!(
        refuse(b"$11\r\n"),
        ReplyError::BulkTooLong {
            length: 11,
            limit: 10
        }
    );
    assert_eq!(refuse(b"*5\r\n"), ReplyError::TooManyItems(4));
    assert_eq!(refuse(b"*2\r\n*3\r\n"), ReplyError::TooManyItems(4));
    assert_eq!(refuse(b"%3\r\n"), ReplyError::TooManyItems(4));
    assert_eq!(refuse(b"*3000000000\r\n"), ReplyError::TooManyItems(4));
    assert_eq!(
        refuse(b"*2\r\n$10\r\n0123456789\r\n$10\r\n"),
        ReplyError::ReplyTooLong(15)
    );
    let endless = [b"+".to_vec(), vec![b'a'; 70 * 1024]].concat();
    assert!(matches!(refuse(&endless), ReplyError::LineTooLong(_)));
}

#[test]
fn malformed_replies_are_refused() {
    for bytes in [
        &b"x\r\n"[..],
        b"$-2\r\n",
        b"*-2\r\n",
        b"%-1\r\n",
        b":a\r\n",
        b":1\n",
        b"#x\r\n",
        b"_x\r\n",
        b",x\r\n",
        b"(1x\r\n",
        b"(\r\n",
        b"$1\r\nab\r\n",
        b"=3\r\ntxt\r\n",
        b"=4\r\ntxt;\r\n",
        b"|1\r\n",
        b"$?\r\n",
    ] {
        assert!(reply(bytes).is_err(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn both_nulls_of_resp2_and_blob_errors_are_read() {
    assert_eq!(reply(b"$-1\r\n"), Ok(Some(Value::Null)));
    assert_eq!(reply(b"*-1\r\n"), Ok(Some(Value::Null)));
    assert_eq!(reply(b"!5\r\nERR x\r\n"), Ok(Some(Value::error("ERR x"))));
    let Ok(Some(Value::Double(nan))) = reply(b",nan\r\n") else {
        panic!("nan is a double");
    };
    assert!(nan.is_nan());
    assert_eq!(
        reply(b",-inf\r\n"),
        Ok(Some(Value::Double(f64::NEG_INFINITY)))
    );
}

#[test]
fn line_breaks_cannot_be_smuggled_into_a_reply() {
    for value in [Value::simple("a\r\n+b"), Value::error("ERR a\r\n+b\n")] {
        let mut bytes = BytesMut::new();
        encode(&value, Protocol::Resp2, &mut bytes);
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 1);
    }
}

#[test]
fn a_map_reads_alike_in_both_dialects() {
    let map = Value::Map(vec![(Value::bulk("a"), Value::Integer(1))]);
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let mut bytes = BytesMut::new();
        encode(&map, protocol, &mut bytes);
        let pairs = reply(&bytes).unwrap().unwrap().into_pairs().unwrap();
        assert_eq!(pairs, [(Value::bulk("a"), Value::Integer(1))]);
    }
    assert_eq!(Value::Array(vec![Value::Null]).into_pairs(), None);
}
