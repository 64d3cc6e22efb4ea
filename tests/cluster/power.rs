//! Power cuts on a real file system: what was acknowledged after an fsync is there.
//!
//! ```text
//! NETDB_POWER_CUTS=100 cargo test --test cluster power_cut -- --nocapture
//! ```
//!
//! The file system lies in a file of its own and is told to forget whatever it has not written
//! yet. That takes the right to mount; where it is missing the test says so and ends.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use crate::support::client::Connection;
use crate::support::{LATER, Node, eventually, number_from_env, same, unique_cluster_name};
use netdb::resp::Value;

/// Cuts unless `NETDB_POWER_CUTS` says otherwise.
const CUTS_DEFAULT: u32 = 3;

/// Who writes at the same time, each at a level: most of those that one sync covers together are
/// at the strongest, and the weakest makes the disk busy with what nobody waits for.
const LEVELS: [&str; 4] = ["always", "always", "always", "os"];

/// A file that nobody syncs, and what it holds: a cut that leaves it there is none.
const NOT_SYNCED: &str = "not synced";

/// Size of the file system.
const DISK_BYTES: u64 = 512 * 1024 * 1024;

/// A file system on a file, whose power can be cut.
struct Disk {
    image: PathBuf,
    mounted: PathBuf,
    cutter: PathBuf,
}

impl Disk {
    /// Makes one in `directory` and mounts it on `mounted`; an error says why that cannot be.
    fn make(directory: &Path, mounted: PathBuf) -> Result<Self, String> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/cut_power.c");
        let disk = Self {
            image: directory.join("image"),
            cutter: directory.join("cut_power"),
            mounted,
        };
        run(Command::new("cc").arg("-o").arg(&disk.cutter).arg(source))?;
        let image = fs::File::create(&disk.image).map_err(|error| error.to_string())?;
        image
            .set_len(DISK_BYTES)
            .map_err(|error| error.to_string())?;
        // Nothing of it is made later in the background.
        let at_once = "lazy_itable_init=0,lazy_journal_init=0";
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-E", at_once])
            .arg(&disk.image))?;
        disk.mount()?;
        Ok(disk)
    }

    /// The file system writes back as late as it may.
    fn mount(&self) -> Result<(), String> {
        fs::create_dir_all(&self.mounted).map_err(|error| error.to_string())?;
        run(Command::new("mount")
            .args(["-o", "loop,commit=300"])
            .args([&self.image, &self.mounted]))
    }

    fn cut(&self) {
        fs::write(self.mounted.join(NOT_SYNCED), NOT_SYNCED).expect("a file");
        run(Command::new(&self.cutter).arg(&self.mounted)).expect("the power is cut");
    }

    /// The power is back.
    fn restore(&self) {
        run(Command::new("umount").arg(&self.mounted)).expect("nobody uses the file system");
        self.mount().expect("the file system mends itself");
        let left = fs::read(self.mounted.join(NOT_SYNCED)).unwrap_or_default();
        assert!(left.is_empty(), "the cut took nothing at all");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("-l").arg(&self.mounted));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let words = String::from_utf8_lossy(&output.stderr);
            Err(format!("{command:?}: {}", words.trim()))
        }
    }
}

/// Writes unique keys at one level until the node is gone; each is its own value.
fn write(
    addr: SocketAddr,
    round: u32,
    writer: usize,
    done: &Mutex<Vec<String>>,
    over: &AtomicBool,
) {
    let mut connection = Connection::open(addr).expect("a connection");
    let level = format!("durability={}", LEVELS[writer]);
    let chosen = connection.call(&["NETDB", "CONSISTENCY", &level]);
    chosen.expect("a level");
    for at in 0.. {
        let key = format!("cut {round} writer {writer} {at}");
        match connection.call(&["SET", &key, &key]) {
            Ok(Value::Simple(_)) => done.lock().unwrap().push(key),
            Ok(other) => panic!("{key}: {other:?}"),
            Err(_) if over.load(Ordering::Relaxed) => return,
            Err(error) => panic!("{key}: {error}"),
        }
    }
}

/// Writes until there is `enough`, which is asked with how many were acknowledged to one writer;
/// cuts, and gives back what must be there.
fn write_until_cut(
    node: &mut Node,
    disk: &Disk,
    round: u32,
    mut enough: impl FnMut(usize) -> bool,
) -> Vec<String> {
    let done: [_; LEVELS.len()] = std::array::from_fn(|_| Mutex::default());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for (writer, done) in done.iter().enumerate() {
            let (addr, over) = (node.ports.client, &over);
            scope.spawn(move || write(addr, round, writer, done, over));
        }
        eventually("writes are acknowledged", LATER, || {
            let count = done[0].lock().unwrap().len();
            same(enough(count), true)
        });
        // Whoever has been told that something is on disk has been told before the cut.
        node.signal("STOP");
        over.store(true, Ordering::Relaxed);
        disk.cut();
        node.kill();
    });
    let always = done.into_iter().zip(LEVELS);
    let always = always.filter(|(_, level)| *level == "always");
    always
        .flat_map(|(keys, _)| keys.into_inner().unwrap())
        .collect()
}

/// Cuts the power of a node, started with `more`, again and again. `enough` gets its database and
/// its address and, of each round, a random number and how many writes were acknowledged.
fn cut_again_and_again(more: &[&str], enough: impl Fn(&Path, SocketAddr, u32, usize) -> bool) {
    let directory = TempDir::new().expect("directory");
    let mut node = Node::new("n1", &unique_cluster_name(), directory.path());
    let disk = match Disk::make(directory.path(), node.data()) {
        Ok(disk) => disk,
        Err(why) => return println!("no power was cut, for this takes the right to mount: {why}"),
    };
    let cuts = number_from_env("NETDB_POWER_CUTS", CUTS_DEFAULT);
    let mut rng = SmallRng::seed_from_u64(1);
    let mut all = Vec::new();
    node.more = more.iter().map(|word| (*word).to_owned()).collect();
    node.start_first();
    let database = node.data().join("store/fjall");
    for round in 0..cuts {
        let (addr, random) = (node.ports.client, rng.random_range(1..300));
        let enough = |count| enough(&database, addr, random, count);
        all.extend(write_until_cut(&mut node, &disk, round, enough));
        disk.restore();
        node.start();
        for key in &all {
            assert_eq!(node.get(key), Ok(Some(key.clone())), "after cut {round}");
        }
    }
    println!(
        "{cuts} power cuts, {} acknowledged writes, 0 lost",
        all.len()
    );
}

#[test]
fn a_power_cut_takes_nothing_that_was_on_disk() {
    cut_again_and_again(&[], |_, _, random, count| count >= random as usize);
}

/// The number of the youngest journal.
fn youngest_journal(database: &Path) -> u64 {
    let entries = fs::read_dir(database).expect("a database");
    let numbers = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        name.strip_suffix(".jnl")?.parse().ok()
    });
    numbers.max().expect("a journal")
}

/// What is on disk is in whichever journal was the youngest: around the moment at which a new
/// one is begun too.
#[test]
fn a_power_cut_just_after_a_journal_was_begun_takes_nothing_that_was_on_disk() {
    /// A journal is full with some dozens of these.
    const FILL_BYTES: usize = 1024 * 1024;
    // So that what is in a full journal is soon in tables, and a new one begun.
    let little = ["--memory-budget", "32MB"];
    cut_again_and_again(&little, |database, addr, random, _| {
        let before = youngest_journal(database);
        let mut rng = SmallRng::seed_from_u64(random.into());
        let mut connection = Connection::open(addr).expect("a connection");
        let level = ["NETDB", "CONSISTENCY", "durability=os"];
        connection.call(&level).expect("a level");
        for at in 0..1_000 {
            if youngest_journal(database) > before {
                thread::sleep(Duration::from_micros(u64::from(random) * 50));
                return true;
            }
            let noise = (0..FILL_BYTES).map(|_| rng.random_range('!'..='~'));
            let (key, noise) = (format!("fill {}", at % 4), noise.collect::<String>());
            connection.call(&["SET", &key, &noise]).expect("a write");
        }
        panic!("no journal was begun");
    });
}
