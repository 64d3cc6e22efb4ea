use super::super::command::parse_line;
use super::super::fake::{Fake, block_on, bulk};
use super::super::{Kind, SHOWN_BYTES_MAX};
use super::*;

const NOW_MS: u64 = 1_764_083_415_000;

fn say(session: &mut Session<Fake>, line: &str) -> Outcome {
    let command = match parse_line(line.as_bytes()) {
        Ok(command) => command.unwrap(),
        Err(words) => return Outcome::usage(words),
    };
    block_on(session.run(command, NOW_MS))
}

fn session() -> (Fake, Session<Fake>) {
    let fake = Fake::default();
    (fake.clone(), Session::new(fake, SHOWN_BYTES_MAX))
}

fn answering(reply: Value) -> Session<Fake> {
    let (fake, session) = session();
    fake.0.lock().unwrap().reply = Some(reply);
    session
}

/// Lines that begin with `>` are typed, the others must be answered.
fn transcript(session: &mut Session<Fake>, script: &str) {
    let mut answers: Vec<String> = Vec::new();
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        match line.strip_prefix("> ") {
            Some(typed) => answers.extend(say(session, typed).text.lines().map(str::to_owned)),
            None => assert_eq!(answers.remove(0), line),
        }
    }
    assert!(answers.is_empty(), "{answers:?}");
}

#[test]
fn the_first_minute() {
    transcript(
        &mut session().1,
        "> put mykey myvalue
         Value stored.
         > get mykey
         Value: myvalue
         > delete mykey
         Key deleted.
         > get mykey
         Key not found.
         > delete mykey
         Key not found.
         > quit
         Goodbye!",
    );
}

#[test]
fn spaces_quotes_and_bytes() {
    transcript(
        &mut session().1,
        r#"> put k hello world
           Value stored.
           > get k
           Value: hello world
           > put k "a  b"
           Value stored.
           > get k
           Value: a  b
           > put k "\x1b[2J\xff"
           Value stored.
           > get k
           Value: "\x1b[2J\xff"
           > put "my key" it's
           Value stored.
           > get 'my key'
           Value: it's
           > keys
           k
           my key
           2 keys.
           > get my key
           Usage: get KEY
           > gte k
           Unknown command: gte. Did you mean get? Usage: get KEY"#,
    );
}

#[test]
fn keys_are_sorted_counted_once_and_cut() {
    let (fake, mut session) = session();
    assert_eq!(say(&mut session, "keys").text, "No keys.");
    for n in 0..1_001 {
        fake.0
            .lock()
            .unwrap()
            .keys
            .insert(format!("k{n:04}").into_bytes(), Vec::new());
    }
    let all = say(&mut session, "keys").text;
    assert_eq!(all.lines().count(), 1_001);
    assert!(all.ends_with("\nCut after 1000 keys: there are more. Narrow it: keys PREFIX"));
    let some = say(&mut session, "keys k00").text;
    assert!(some.starts_with("k0000\nk0001\n") && some.ends_with("\n100 keys."));
}

#[test]
fn a_prefix_is_no_pattern() {
    let (fake, mut session) = session();
    say(&mut session, "keys a*[b]?\\");
    let calls = &fake.0.lock().unwrap().calls;
    assert_eq!(calls[0][2], br"a*[b]?\");
}

fn member(name: &str, state: &str, me: bool, flat: bool) -> Value {
    let fields = [
        ("name", bulk(name.as_bytes())),
        ("id", bulk(b"00000000000000aa")),
        ("cluster", bulk(b"127.0.0.1:7979")),
        (
            "client",
            if me {
                bulk(b"127.0.0.1:7379")
            } else {
                Value::Null
            },
        ),
        ("state", bulk(state.as_bytes())),
        ("incarnation", Value::Integer(2)),
        ("since_ms", Value::Integer(1_764_083_403_000)),
        (
            "me",
            if flat {
                Value::Integer(i64::from(me))
            } else {
                Value::Boolean(me)
            },
        ),
    ];
    let named = fields.map(|(name, value)| (bulk(name.as_bytes()), value));
    match flat {
        true => Value::Array(
            named
                .into_iter()
                .flat_map(|(name, value)| [name, value])
                .collect(),
        ),
        false => Value::Map(named.into_iter().collect()),
    }
}

#[test]
fn members_are_a_table_in_both_protocols() {
    for flat in [true, false] {
        let mut session = answering(Value::Array(vec![
            member("node-1", "alive", true, flat),
            member("n\u{1b}2", "failed", false, flat),
        ]));
        assert_eq!(
            say(&mut session, "members")
                .text
                .lines()
                .collect::<Vec<_>>(),
            [
                "NAME         CLUSTER ADDRESS  CLIENT ADDRESS  STATE   INCARNATION  SINCE",
                "node-1 (me)  127.0.0.1:7979   127.0.0.1:7379  alive   2            12 s ago (2025-11-25 15:10:03Z)",
                "n?2          127.0.0.1:7979   -               failed  2            12 s ago (2025-11-25 15:10:03Z)",
                "2 members: 1 alive, 1 failed.",
            ]
        );
        assert_eq!(say(&mut session, "members node").text.lines().count(), 3);
        assert_eq!(say(&mut session, "members x").kind, Kind::Missing);
    }
}

#[test]
fn status_is_a_list_of_names_and_values() {
    let mut session = answering(Value::Array(vec![
        bulk(b"name"),
        bulk(b"node-1"),
        bulk(b"uptime_ms"),
        Value::Integer(61_000),
        bulk(b"keys"),
        Value::Integer(3),
    ]));
    assert_eq!(
        say(&mut session, "status").text,
        "name    node-1\nuptime  1 min 1 s\nkeys    3"
    );
}

#[test]
fn errors_of_the_node_are_told_plainly() {
    let error = Value::Error("ERR value of 4000000 bytes is too long\u{1b}[0m".to_owned());
    for line in ["put k v", "get k", "del k", "keys", "members", "status"] {
        let outcome = say(&mut answering(error.clone()), line);
        assert_eq!(
            outcome.text,
            "Error: ERR value of 4000000 bytes is too long?[0m"
        );
        assert_eq!(outcome.kind, Kind::Failed);
    }
}

#[test]
fn an_answer_that_fits_no_question_is_an_error() {
    let answers = [
        Value::Null,
        Value::Integer(-1),
        Value::Array(vec![Value::Null]),
        Value::Array(vec![Value::Array(vec![Value::Null]), Value::Null]),
        Value::Map(vec![(Value::Null, Value::Null)]),
    ];
    for reply in answers {
        for line in ["put k v", "keys", "members", "status"] {
            assert_eq!(
                say(&mut answering(reply.clone()), line).kind,
                Kind::Failed,
                "{line} {reply:?}"
            );
        }
    }
}

#[test]
fn a_lost_connection_is_made_again_once() {
    let (fake, mut session) = session();
    say(&mut session, "put k v");
    fake.0.lock().unwrap().lost = vec![CallError::Lost("closed".to_owned())];
    assert_eq!(say(&mut session, "get k").text, "Value: v");
    assert_eq!(
        session.take_note().unwrap(),
        "Connection lost (closed); connected again."
    );
    assert_eq!(session.take_note(), None);

    fake.0.lock().unwrap().lost = vec![CallError::Lost("closed".to_owned())];
    fake.0.lock().unwrap().refusals = vec![CallError::Failed("cannot connect".to_owned())];
    let outcome = say(&mut session, "get k");
    assert_eq!(
        (outcome.kind, outcome.text.as_str()),
        (Kind::Unreachable, "Error: cannot connect")
    );
    assert_eq!(
        say(&mut session, "get k").text,
        "Value: v",
        "the next command tries again"
    );
}

#[test]
fn what_would_not_help_is_not_tried_again() {
    let (fake, mut session) = session();
    say(&mut session, "put k v");
    fake.0.lock().unwrap().lost = vec![CallError::Interrupted];
    assert_eq!(say(&mut session, "get k").kind, Kind::Failed);
    assert_eq!(fake.0.lock().unwrap().calls.len(), 1);
    fake.0.lock().unwrap().refusals = vec![CallError::Failed("silent".to_owned())];
    assert_eq!(say(&mut session, "get k").kind, Kind::Unreachable);
}

#[test]
fn huge_values_are_cut() {
    let (_, mut session) = session();
    say(&mut session, &format!("put k {}", "x".repeat(5_000)));
    let shown = say(&mut session, "get k").text;
    assert!(shown.ends_with("x… (the first 4096 of 5000 bytes)"));
}
