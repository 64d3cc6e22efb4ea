//! The story of scripts/test-clients.sh, told with redis-rs.
//!
//! Its arguments are three addresses, the protocol and a prefix for keys. Each chapter takes the
//! clients of three nodes, and says through `check` what must hold.

mod again;
mod elements;
mod together;
mod values;

use std::fmt::Debug;
use std::io::{self, BufRead};
use std::thread;
use std::time::{Duration, Instant};

use redis::{Client, Connection, RedisResult};

/// What takes a moment on an idle machine.
const SOON: Duration = Duration::from_secs(20);

const NOT_AN_INTEGER: &str = "value is not an integer or out of range";

/// What the story is told with.
struct Story {
    clients: [Client; 3],
    protocol: i64,
    prefix: String,
    checks: usize,
}

impl Story {
    fn key(&self, name: &str) -> String {
        format!("{}:{name}", self.prefix)
    }

    /// A connection to each node.
    fn connections(&self) -> [Connection; 3] {
        self.clients.each_ref().map(connection)
    }

    #[track_caller]
    fn check<T: PartialEq + Debug>(&mut self, what: &str, actual: T, expected: T) {
        assert_eq!(actual, expected, "{what}");
        self.checks += 1;
    }

    /// Checks what an answer is.
    #[track_caller]
    fn answers<T: PartialEq + Debug>(&mut self, what: &str, actual: RedisResult<T>, expected: T) {
        let actual = actual.unwrap_or_else(|error| panic!("{what}: {error}"));
        self.check(what, actual, expected);
    }

    /// Checks that the server answers with this error.
    #[track_caller]
    fn fails<T: Debug>(&mut self, what: &str, actual: RedisResult<T>, code: &str, text: &str) {
        let error = actual.expect_err(what);
        let actual = (error.code(), error.detail());
        self.check(what, actual, (Some(code), Some(text)));
    }

    /// Checks what is so after a moment: other nodes learn of things when these reach them.
    #[track_caller]
    fn eventually<T: PartialEq + Debug>(
        &mut self,
        what: &str,
        expected: T,
        mut action: impl FnMut() -> RedisResult<T>,
    ) {
        let end = Instant::now() + SOON;
        let mut actual = action();
        while actual.as_ref().ok() != Some(&expected) && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
            actual = action();
        }
        self.answers(what, actual, expected);
    }
}

fn connection(client: &Client) -> Connection {
    let connection = client.get_connection().expect("a connection");
    connection.set_read_timeout(Some(SOON)).expect("a time-out");
    connection
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Has the script do something to a server.
fn ask(line: &str) {
    println!("{line}");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).expect("stdin");
    assert_eq!(answer, "done\n", "the script does not answer");
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [a, b, c, protocol, prefix] = &arguments[..] else {
        panic!("three addresses, a protocol and a prefix");
    };
    let open = |address: &String| {
        Client::open(format!("redis://{address}/?protocol=resp{protocol}")).expect("a client")
    };
    let mut story = Story {
        clients: [a, b, c].map(open),
        protocol: protocol.parse().expect("a protocol"),
        prefix: prefix.clone(),
        checks: 0,
    };
    values::tell(&mut story);
    elements::tell(&mut story);
    together::tell(&mut story);
    again::tell(&mut story);
    println!("checks {}", story.checks);
}
