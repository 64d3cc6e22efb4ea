//! A damaged disk on one of three nodes: whatever is hit, the node says so, answers nothing
//! wrong, and no acknowledged write is missing.
//!
//! One directory is prepared and damaged anew for each case, in a file of each kind, at a
//! random place. Most cases open it as a node would, by the library; every so often the whole
//! node is started, among the others, and has to come back. The table of what became of each:
//!
//! ```text
//! NETDB_DAMAGE_CASES=100 cargo test --test cluster damage -- --nocapture
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use netdb::clock::{ActorId, NodeId};
use netdb::placement::Keyspace;
use netdb::resp::Value;
use netdb::store::engine::{self, Engine, EngineError, Fjall, Repair};
use netdb::store::{MemoryBudget, Options, Partition, StoreError};
use rand::rngs::SmallRng;
use rand::{Rng, RngExt, SeedableRng};

use crate::support::{
    Cluster, LATER, SOON, bytes_used, copy_directory, eventually, finish, netdb, number_from_env,
    same,
};

/// Cases of each kind of file unless `NETDB_DAMAGE_CASES` says otherwise.
const CASES_DEFAULT: u32 = 2;

/// One case in so many starts a whole node.
const WHOLE_EVERY: usize = 12;

const PARTITIONS: u16 = 16;
const KEYSPACE: Keyspace = Keyspace {
    partitions: PARTITIONS,
    hash_seed: 0,
};

/// Keys, and the bytes of each value: several write buffers, so that there are tables.
const KEYS: usize = 600;
const VALUE_BYTES: usize = 8_000;

/// The ways in which disks fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Damage {
    FlippedBit,
    ZeroedSector,
    ZeroedPage,
    Truncation,
}

const DAMAGES: [Damage; 4] = [
    Damage::FlippedBit,
    Damage::ZeroedSector,
    Damage::ZeroedPage,
    Damage::Truncation,
];

/// What became of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Nothing that matters was hit, or the tail of a journal was cut.
    Clean,
    /// Noticed at the start: set aside, and fetched again.
    Quarantined,
    /// Not started, with words.
    Refused,
    /// Noticed when it was read: an error, until `netdb repair`.
    Errors,
}

/// What every key holds.
type Truth = BTreeMap<String, Option<String>>;

#[test]
fn damage_anywhere_on_one_of_three_nodes_loses_nothing() {
    let cases = number_from_env("NETDB_DAMAGE_CASES", CASES_DEFAULT);
    let seed = u64::from(number_from_env("NETDB_DAMAGE_SEED", 1));
    let (mut cluster, truth) = prepare();
    let scratch = tempfile::tempdir().unwrap();
    let pristine = scratch.path().join("pristine");
    copy_directory(&cluster.nodes[2].data(), &pristine);
    let whole = engine::examine(&pristine.join("store"), &scratch.path().join("look"), None);
    let whole = whole.unwrap();
    assert!(whole.is_whole(), "{whole:?}");
    assert_eq!(whole.sums.keys, truth.values().flatten().count() as u64);
    let kinds = kinds(&pristine);
    for kind in ["journal", "table", "list of tables", "FORMAT", "SYNCED"] {
        assert!(kinds.contains_key(kind), "{kind} is not in {kinds:?}");
    }
    let mut table: BTreeMap<(&str, Outcome), usize> = BTreeMap::new();
    let mut case = 0;
    for (kind, files) in &kinds {
        for _ in 0..cases {
            case += 1;
            let mut rng = SmallRng::seed_from_u64(seed.wrapping_mul(1_000_003) + case as u64);
            let file = &files[rng.random_range(0..files.len())];
            let damage = DAMAGES[case % DAMAGES.len()];
            let story = format!("seed {seed} case {case}: {damage:?} in {}", file.display());
            let whole = *kind == "generation" || case % WHOLE_EVERY == 0;
            let outcome = match whole {
                true => {
                    let data = cluster.nodes[2].data();
                    fresh_copy(&pristine, &data);
                    hit(&data.join(file), damage, &mut rng);
                    whole_case(&mut cluster, &truth, &story)
                }
                false => {
                    let data = scratch.path().join("case");
                    fresh_copy(&pristine, &data);
                    hit(&data.join(file), damage, &mut rng);
                    offline_case(&data.join("store"), &truth, &mut rng, &story)
                }
            };
            *table.entry((kind, outcome)).or_default() += 1;
        }
    }
    show(&table, cases, seed);
}

/// Three nodes with values on all of them, the third killed; and what they hold.
fn prepare() -> (Cluster, Truth) {
    let mut cluster = Cluster::new();
    for _ in 0..3 {
        let mut node = cluster.prepare();
        let partitions = PARTITIONS.to_string();
        let more = ["--partitions", &partitions, "--memory-budget", "32MiB"];
        node.more = more.map(str::to_owned).into();
        node.start_first();
        cluster.nodes.push(node);
    }
    cluster.await_whole();
    let mut truth = Truth::new();
    for n in 0..KEYS {
        let (node, key) = (&cluster.nodes[n % 3], format!("key {n}"));
        if n == 0 || n == 1 || n == 2 {
            node.call(&["NETDB", "CONSISTENCY", "write=all"]);
        }
        let value = |round: usize| format!("{round} {n} {}", "x".repeat(VALUE_BYTES));
        node.put(&key, &value(0));
        let held = match n % 5 {
            0 => {
                assert_eq!(node.call(&["DEL", &key]), Value::Integer(1));
                None
            }
            1 => {
                node.put(&key, &value(1));
                Some(value(1))
            }
            _ => Some(value(0)),
        };
        truth.insert(key, held);
    }
    // An fsync of all three covers everything before it, and that the third node has noted of
    // every partition that others have it too: without that it would give nothing up.
    let last = &cluster.nodes[0];
    last.call(&["NETDB", "CONSISTENCY", "durability=always"]);
    let replicas = cluster.nodes[2].data().join("store/REPLICAS");
    let of_nobody = replicas_of_nobody();
    eventually("replicas are noted", LATER, || {
        last.put("last", "one");
        let noted = fs::read(&replicas).map_err(|error| error.to_string())?;
        last.put("last", "one");
        same(fs::read(&replicas).unwrap_or_default(), noted.clone())?;
        same(noted != of_nobody, true)
    });
    truth.insert("last".to_owned(), Some("one".to_owned()));
    cluster.nodes[2].kill();
    (cluster, truth)
}

/// What a directory notes of replicas when there are none.
fn replicas_of_nobody() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let fjall = Fjall::open(directory.path(), MemoryBudget::new(0)).unwrap();
    fjall.sync().unwrap();
    fs::read(directory.path().join("REPLICAS")).unwrap()
}

/// The files of a data directory by their kinds, relative to it.
fn kinds(data: &Path) -> BTreeMap<&'static str, Vec<PathBuf>> {
    let mut kinds: BTreeMap<&'static str, Vec<PathBuf>> = BTreeMap::new();
    for path in files(data) {
        if fs::metadata(&path).unwrap().len() == 0 {
            continue;
        }
        let relative = path.strip_prefix(data).unwrap().to_owned();
        let name = relative.file_name().unwrap().to_str().unwrap();
        let folder = relative.parent().and_then(Path::file_name);
        let kind = match name {
            "FORMAT" => "FORMAT",
            "SYNCED" => "SYNCED",
            "KEYSPACE" => "KEYSPACE",
            "REPLICAS" => "REPLICAS",
            "ROSTER" => "ROSTER",
            "LOCK" => "LOCK",
            "generation" => "generation",
            "version" => "version of the database",
            "current" => "pointer to a list",
            name if name.ends_with(".jnl") => "journal",
            _ if folder.is_some_and(|folder| folder == "tables") => "table",
            name if name.starts_with('v') => "list of tables",
            _ => "other",
        };
        kinds.entry(kind).or_default().push(relative);
    }
    kinds
}

/// Damages a file at a random place.
fn hit(path: &Path, damage: Damage, rng: &mut SmallRng) {
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    // A journal is made larger than what is in it: what follows that is nothing.
    let length = bytes_used(&file).clamp(1, file.metadata().unwrap().len());
    let at = rng.random_range(0..length);
    let zero = |bytes: u64| {
        let first = at / bytes * bytes;
        let count = bytes.min(length - first) as usize;
        file.write_all_at(&vec![0; count], first).unwrap();
    };
    match damage {
        Damage::FlippedBit => {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            byte[0] ^= 1 << rng.random_range(0..8);
            file.write_all_at(&byte, at).unwrap();
        }
        Damage::ZeroedSector => zero(512),
        Damage::ZeroedPage => zero(4096),
        Damage::Truncation => file.set_len(at).unwrap(),
    }
}

/// Does what needs the directory that this test has just let go. A process that another test
/// starts meanwhile has copies of its locks until it runs a program of its own.
fn once_unlocked<T>(mut work: impl FnMut() -> Result<T, EngineError>) -> Result<T, EngineError> {
    eventually("the directory is free", SOON, || match work() {
        Err(error @ EngineError::Locked { .. }) => Err(error.to_string()),
        Err(EngineError::Io { what, source }) if source.kind() == ErrorKind::WouldBlock => {
            Err(what)
        }
        done => Ok(done),
    })
}

/// Opens a damaged directory as a node does, and reads every key.
fn offline_case(store: &Path, truth: &Truth, rng: &mut SmallRng, story: &str) -> Outcome {
    let how = Repair {
        keyspace: None,
        accept_loss: false,
        now_s: 1,
        incarnation: rng.next_u64(),
    };
    let memory = MemoryBudget::new(0);
    let opened = once_unlocked(|| engine::open_or_repair(store, memory, KEYSPACE, &how));
    let (fjall, repaired) = match opened {
        Ok(opened) => opened,
        Err(refused) => {
            println!("{story}: {refused}");
            assert!(says_what_to_do(&refused.to_string()), "{story}: {refused}");
            return Outcome::Refused;
        }
    };
    let fjall = Arc::new(fjall);
    let unread = check_reads(&fjall, truth, rng.next_u64(), story);
    drop(fjall);
    match (repaired, unread) {
        (Some(repaired), 0) => {
            let aside = repaired.set_aside.expect("something was done");
            assert!(!aside.rebuilding.is_empty() || repaired.examined.problem.is_some());
            Outcome::Quarantined
        }
        (Some(_), unread) => panic!("{story}: {unread} keys are unreadable after a repair"),
        (None, 0) => Outcome::Clean,
        (None, _) => {
            let repaired = once_unlocked(|| engine::repair(store, &how));
            let repaired = repaired.unwrap_or_else(|error| panic!("{story}: {error}"));
            assert!(repaired.set_aside.is_some(), "{story}: it reads errors");
            let fjall = Arc::new(once_unlocked(|| Fjall::open(store, memory)).unwrap());
            assert_eq!(
                check_reads(&fjall, truth, rng.next_u64(), story),
                0,
                "{story}"
            );
            Outcome::Errors
        }
    }
}

/// Whether a refusal names a way on.
fn says_what_to_do(words: &str) -> bool {
    let ways = [
        "netdb repair",
        "delete it",
        "start it with",
        "this program reads",
    ];
    ways.iter().any(|way| words.contains(way))
}

/// Reads every key: right, or not at all. Gives how many cannot be read for a reason other than
/// that they wait for another replica.
fn check_reads(fjall: &Arc<Fjall>, truth: &Truth, incarnation: u64, story: &str) -> usize {
    let options = Options {
        keyspace: KEYSPACE,
        ..Options::default()
    };
    let partitions = KEYSPACE.all().map(|id| {
        let actor = ActorId {
            node: NodeId(9),
            incarnation,
        };
        let shared: Arc<dyn Engine> = fjall.clone();
        Partition::open(id, actor, shared, options)
            .unwrap_or_else(|error| panic!("{story}: {error}"))
    });
    let partitions: Vec<Partition> = partitions.collect();
    let mut unread = 0;
    for (key, value) in truth {
        let id = KEYSPACE.partition_of(key.as_bytes());
        match partitions[usize::from(id.0)].read(key.as_bytes(), 1) {
            Ok(version) => {
                let found = version.map(|version| version.value);
                let value = value.clone().map(Bytes::from);
                assert!(found == value, "{story}: wrong answer for {key}");
            }
            Err(StoreError::Rebuilding(_)) => {}
            Err(_) => unread += 1,
        }
    }
    unread
}

/// Starts the third node, whose directory is damaged, among the others, and ends it again.
fn whole_case(cluster: &mut Cluster, truth: &Truth, story: &str) -> Outcome {
    let mut outcome = Outcome::Clean;
    if let Some(said) = cluster.nodes[2].start_or_refusal() {
        let said = said.lines().last().unwrap_or_default();
        println!("{story}: {said}");
        assert!(says_what_to_do(said), "{story}:\n{said}");
        outcome = Outcome::Refused;
        if said.contains("delete it") {
            fs::remove_file(cluster.nodes[2].data().join("generation")).unwrap();
            cluster.nodes[2].start();
        } else {
            // What every refusal leaves: an empty directory, filled by the others.
            cluster.nodes[2].lose_disk();
            cluster.nodes[2].start();
            await_all_keys(cluster, truth, story);
        }
    } else if !cluster.nodes[2].status().unwrap()["quarantine"].is_empty() {
        outcome = Outcome::Quarantined;
    }
    if !answers(cluster, truth, story) {
        outcome = Outcome::Errors;
        cluster.nodes[2].kill();
        let data = cluster.nodes[2].data();
        let data = data.to_str().unwrap();
        let repaired = finish(&mut netdb(["repair", data]), "");
        assert!(repaired.status.success(), "{story}: {repaired:?}");
        cluster.nodes[2].start();
        assert!(answers(cluster, truth, story), "{story}: after a repair");
    }
    let node = &mut cluster.nodes[2];
    let status = node.status().unwrap();
    assert_eq!(status["quarantined_partitions"], "0", "{story}");
    assert_eq!(status["dot_conflicts"], "0", "{story}");
    node.kill();
    let log = node.log();
    assert!(!log.contains("panicked"), "{story}:\n{}", node.log_tail());
    outcome
}

/// Reads every key on the third node until it is right; never wrong, and false if one cannot be
/// read for a reason that does not pass.
fn answers(cluster: &Cluster, truth: &Truth, story: &str) -> bool {
    let node = &cluster.nodes[2];
    for (key, value) in truth {
        let readable = eventually(&format!("{story}: {key}"), LATER, || match node.get(key) {
            Ok(found) => {
                assert!(found == *value, "{story}: wrong answer for {key}");
                Ok(true)
            }
            Err(error) if error.starts_with("IOERR") => {
                assert!(error.contains("netdb repair"), "{story}: {error}");
                Ok(false)
            }
            Err(error) => Err(error),
        });
        if !readable {
            return false;
        }
    }
    await_all_keys(cluster, truth, story);
    true
}

fn await_all_keys(cluster: &Cluster, truth: &Truth, story: &str) {
    let node = &cluster.nodes[2];
    eventually(&format!("{story}: all keys"), LATER, || {
        let live = truth.values().flatten().count() as i64;
        same(node.try_call(&["DBSIZE"])?, Value::Integer(live))
    });
}

fn show(table: &BTreeMap<(&str, Outcome), usize>, cases: u32, seed: u64) {
    let outcomes = [
        Outcome::Clean,
        Outcome::Quarantined,
        Outcome::Errors,
        Outcome::Refused,
    ];
    println!("{cases} cases of each kind of file, seed {seed}; wrong answers 0, writes lost 0");
    println!(
        "{:<26}{:>8}{:>14}{:>10}{:>10}",
        "file", "clean", "quarantined", "errors", "refused"
    );
    let mut kinds: Vec<&str> = table.keys().map(|(kind, _)| *kind).collect();
    kinds.dedup();
    for kind in kinds {
        let of = |at: usize| table.get(&(kind, outcomes[at])).copied().unwrap_or(0);
        println!(
            "{kind:<26}{:>8}{:>14}{:>10}{:>10}",
            of(0),
            of(1),
            of(2),
            of(3)
        );
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

fn fresh_copy(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    copy_directory(from, to);
}
