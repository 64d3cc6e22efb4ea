//! The rules. Each takes files and returns what is wrong with them, one sentence each.

use std::collections::{BTreeMap, BTreeSet};

use super::paths::{Tree, mentions};
use super::source::{Source, functions};

/// One room: whether it is pure, and which rooms it may name.
pub struct Room {
    name: &'static str,
    pure: bool,
    may_use: &'static [&'static str],
}

const fn pure(name: &'static str, may_use: &'static [&'static str]) -> Room {
    let pure = true;
    Room {
        name,
        pure,
        may_use,
    }
}

const fn edge(name: &'static str, may_use: &'static [&'static str]) -> Room {
    let pure = false;
    Room {
        name,
        pure,
        may_use,
    }
}

/// Every room, lowest first: a room may name only rooms above its own line.
///
/// What is absent matters most. Membership does not know that there is storage; the store
/// does not know that there is a network; the server and the REPL do not know that there
/// is a cluster.
pub const ROOMS: &[Room] = &[
    pure("machine", &[]),
    pure("clock", &["machine"]),
    pure("object", &["clock", "machine"]),
    pure("placement", &["object", "clock", "machine"]),
    pure("store", &["placement", "object", "clock", "machine"]),
    // Not of the store's codec: a file outlives the messages of a version.
    pure("backup", &["placement", "object", "clock"]),
    pure("membership", &["placement", "clock", "machine"]),
    pure(
        "replication",
        &["store", "placement", "object", "clock", "machine"],
    ),
    pure(
        "wire",
        &[
            "replication",
            "membership",
            "store",
            "placement",
            "object",
            "clock",
            "machine",
        ],
    ),
    pure("resp", &[]),
    pure(
        "node",
        &[
            "wire",
            "replication",
            "membership",
            "backup",
            "store",
            "placement",
            "object",
            "clock",
            "machine",
        ],
    ),
    edge(
        "config",
        &["replication", "membership", "placement", "clock"],
    ),
    edge(
        "runtime",
        &[
            "config",
            "node",
            "wire",
            "replication",
            "membership",
            "store",
            "placement",
            "object",
            "clock",
            "machine",
        ],
    ),
    edge(
        "server",
        // Of replication it sees the strengths that a request may ask for, nothing else.
        &[
            "runtime",
            "config",
            "node",
            "replication",
            "resp",
            "object",
            "clock",
        ],
    ),
    edge("http", &["runtime", "config", "node", "clock"]),
    edge("client", &["resp"]),
    edge("repl", &["client", "config", "resp"]),
    edge(
        "cli",
        &[
            "server",
            "http",
            "repl",
            "client",
            "runtime",
            "config",
            "resp",
            "backup",
            // Offline work on a data directory.
            "store",
            "placement",
        ],
    ),
    edge("main", &["cli"]),
];

/// Longest file, in lines that are not tests.
pub const FILE_LINES_MAX: usize = 400;

/// Longest function, in lines.
pub const FUNCTION_LINES_MAX: usize = 80;

/// What a pure room must not name, and why.
const IMPURE: &[(&[&str], &str)] = &[
    (&["tokio"], "only the edge waits"),
    (&["tokio_util"], "only the edge waits"),
    (&["UdpSocket"], "only the edge has sockets"),
    (&["TcpStream"], "only the edge has sockets"),
    (&["TcpListener"], "only the edge has sockets"),
    (&["socket2"], "only the edge has sockets"),
    (&["std", "io"], "a pure room does no I/O"),
    (&["std", "process"], "a pure room does no I/O"),
    (&["std", "env"], "settings are arguments"),
    (&["std", "thread"], "only the edge waits"),
    (
        &["std", "time", "Instant"],
        "time is an argument: use machine::Instant",
    ),
    (&["SystemTime"], "time is an argument: use machine::Now"),
    (&["UNIX_EPOCH"], "time is an argument: use machine::Now"),
    (&["Instant", "now"], "time is an argument"),
    (&["thread", "sleep"], "only the edge waits"),
    (
        &["rand", "rng"],
        "chance is an argument: take a seeded generator",
    ),
    (
        &["rand", "random"],
        "chance is an argument: take a seeded generator",
    ),
    (
        &["rand", "make_rng"],
        "chance is an argument: take a seeded generator",
    ),
    (
        &["thread_rng"],
        "chance is an argument: take a seeded generator",
    ),
    (
        &["ThreadRng"],
        "chance is an argument: take a seeded generator",
    ),
    (&["OsRng"], "chance is an argument: take a seeded generator"),
    (
        &["SysRng"],
        "chance is an argument: take a seeded generator",
    ),
    (
        &["from_os_rng"],
        "chance is an argument: take a seeded generator",
    ),
    (
        &["from_entropy"],
        "chance is an argument: take a seeded generator",
    ),
    (
        &["getrandom"],
        "chance is an argument: take a seeded generator",
    ),
    (&["HashMap"], "its order differs between runs: use BTreeMap"),
    (&["HashSet"], "its order differs between runs: use BTreeSet"),
    (&["RandomState"], "it differs between runs"),
    (
        &["tracing"],
        "a pure room does not log, it returns what happened",
    ),
    (
        &["println"],
        "a pure room does not log, it returns what happened",
    ),
    (
        &["eprintln"],
        "a pure room does not log, it returns what happened",
    ),
    (
        &["dbg"],
        "a pure room does not log, it returns what happened",
    ),
];

/// The disk, which one place below the edge may touch: the durable engine.
const DISK: &[(&[&str], &str)] = &[
    (&["std", "fs"], "only the durable engine touches the disk"),
    (&["File"], "only the durable engine touches the disk"),
    (&["OpenOptions"], "only the durable engine touches the disk"),
    (&["fs4"], "only the durable engine touches the disk"),
    (&["fjall"], "only the durable engine touches the disk"),
];

/// Files that may call `bincode`: one codec for what travels, one for what is kept.
const CODECS: &[&str] = &["wire/codec", "store/codec", "store/engine/codec"];

/// What may stand beside `src/`, apart from dotfiles and what git ignores.
pub const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "LICENSE.md",
    "src",
    "examples",
    "scripts",
    "tests",
    "benches",
];

fn room(name: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.name == name)
}

/// Arrows between rooms that `ROOMS` does not have, and rooms that it does not know.
pub fn arrows(sources: &[Source]) -> Vec<String> {
    let tree = Tree::new(sources);
    let mut wrong = Vec::new();
    for source in sources.iter().filter(|source| source.path != "lib.rs") {
        let Some(here) = room(source.room()) else {
            wrong.push(format!(
                "src/{}: there is no room `{}`; give it a line in tests/architecture/rules.rs",
                source.path,
                source.room()
            ));
            continue;
        };
        for mention in mentions(&source.tokens) {
            let target = tree.resolve(&source.module, &mention.path);
            let Some(name) = target.as_ref().and_then(|module| module.first()) else {
                continue;
            };
            if name != here.name && !here.may_use.contains(&name.as_str()) {
                wrong.push(format!(
                    "src/{}:{}: `{}` must not use `{name}`, only {:?}",
                    source.path, mention.line, here.name, here.may_use
                ));
            }
        }
    }
    wrong
}

/// Arrows of the table itself that point up.
pub fn upward_arrows(rooms: &[Room]) -> Vec<String> {
    let mut below = BTreeSet::new();
    let mut wrong = Vec::new();
    for room in rooms {
        for used in room.may_use {
            if !below.contains(used) {
                wrong.push(format!("`{}` is not below `{}`", used, room.name));
            }
        }
        below.insert(room.name);
    }
    wrong
}

/// Pairs of modules that name each other.
pub fn mutual_imports(sources: &[Source]) -> Vec<String> {
    let tree = Tree::new(sources);
    let mut arrows: BTreeMap<(String, String), usize> = BTreeMap::new();
    for source in sources {
        let from = source.module.join("::");
        for mention in mentions(&source.tokens) {
            let target = tree.resolve(&source.module, &mention.path);
            let to = target.map(|module| module.join("::"));
            if let Some(to) = to.filter(|to| *to != from && !mention.passed_on) {
                arrows.entry((from.clone(), to)).or_insert(mention.line);
            }
        }
    }
    let both_ways = arrows.iter().filter_map(|((from, to), line)| {
        let back = arrows.get(&(to.clone(), from.clone()))?;
        (from < to)
            .then(|| format!("`{from}` (line {line}) and `{to}` (line {back}) import each other"))
    });
    both_ways.collect()
}

/// I/O, clocks and chance in pure rooms.
pub fn impurities(sources: &[Source]) -> Vec<String> {
    let tree = Tree::new(sources);
    let mut wrong = Vec::new();
    for source in sources {
        if !room(source.room()).is_some_and(|room| room.pure) {
            continue;
        }
        // An engine's errors may carry what the system said; only one engine talks to it.
        let io_of_engine: &[&[&str]] = &[&["std", "io"], &["std", "process", "id"]];
        let may_name_io = source.path.starts_with("store/engine/");
        let may_touch_disk = source.path.starts_with("store/engine/fjall");
        for mention in mentions(&source.tokens) {
            let io = may_name_io && io_of_engine.iter().any(|io| names(&mention.path, io));
            let local = tree.resolve(&source.module, &mention.path).is_some();
            let hit = IMPURE
                .iter()
                .chain(DISK.iter().filter(|_| !may_touch_disk))
                .find(|(pattern, _)| names(&mention.path, pattern))
                .filter(|_| !io && !local);
            if let Some((pattern, why)) = hit {
                let what = pattern.join("::");
                wrong.push(format!(
                    "src/{}:{}: {what}: {why}",
                    source.path, mention.line
                ));
            }
        }
    }
    wrong
}

fn names(path: &[String], pattern: &[&str]) -> bool {
    path.windows(pattern.len()).any(|window| window == pattern)
}

/// Calls of `bincode` outside the codecs.
pub fn stray_codecs(sources: &[Source]) -> Vec<String> {
    let elsewhere = sources
        .iter()
        .filter(|source| !CODECS.iter().any(|codec| source.path.starts_with(codec)));
    let stray = elsewhere.flat_map(|source| {
        let here = mentions(&source.tokens).into_iter();
        here.filter(|mention| mention.path.first().is_some_and(|first| first == "bincode"))
            .map(move |mention| {
                format!(
                    "src/{}:{}: only a codec calls bincode",
                    source.path, mention.line
                )
            })
    });
    stray.collect()
}

/// Files and functions that have grown too long.
pub fn lengths(sources: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in sources {
        if source.production_lines > FILE_LINES_MAX {
            wrong.push(format!(
                "src/{}: {} lines without tests, at most {FILE_LINES_MAX}",
                source.path, source.production_lines
            ));
        }
        for function in functions(&source.tokens) {
            if function.lines > FUNCTION_LINES_MAX {
                wrong.push(format!(
                    "src/{}:{}: fn {} has {} lines, at most {FUNCTION_LINES_MAX}",
                    source.path, function.line, function.name, function.lines
                ));
            }
        }
    }
    wrong
}

/// Crate roots that do not forbid unsafe code.
pub fn unsafe_roots(sources: &[Source]) -> Vec<String> {
    let roots = sources.iter().filter(|source| source.module.is_empty());
    let lax = roots.filter(|source| {
        let texts: Vec<&str> = source
            .tokens
            .iter()
            .map(|token| token.text.as_str())
            .collect();
        !texts
            .windows(8)
            .any(|window| window.concat() == "#![forbid(unsafe_code)]")
    });
    lax.map(|source| format!("src/{}: #![forbid(unsafe_code)] is missing", source.path))
        .collect()
}

/// Entries of the top level that nothing asks for.
pub fn stray_entries<'a>(entries: &[&'a str], ignored: &[&str]) -> Vec<&'a str> {
    let known = |entry: &str| {
        entry.starts_with('.') || TOP_LEVEL.contains(&entry) || ignored.contains(&entry)
    };
    entries
        .iter()
        .copied()
        .filter(|entry| !known(entry))
        .collect()
}
