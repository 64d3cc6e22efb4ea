//! Whole nodes as processes: what tests and measurements of the real binary share.
//!
//! A [`Node`] is one `netdb start` on loopback with its own directory; a [`Cluster`] is
//! several of them from one seed. Nothing here sleeps and hopes: [`eventually`] waits for a
//! condition, within a bound, and says what was true instead when the bound is reached. A
//! node that is dropped ends; one that is dropped by a failing test shows its log first.
#![allow(dead_code, reason = "each test and bench uses a part of it")]

pub mod client;
pub mod faulty_disk;
pub mod ports;
pub mod reshard;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub use client::Connection;
use client::{Fields, fields, text};
use netdb::resp::Value;
use ports::Ports;
use tempfile::TempDir;

/// The binary under test.
pub const NETDB: &str = env!("CARGO_BIN_EXE_netdb");

/// Bound for what takes a moment: a process starts, a write arrives. Generous, because the
/// machine may be busy; a test that passes does not wait for it.
pub const SOON: Duration = Duration::from_secs(15);

/// Bound for what failure detection and reconciliation must have done.
pub const LATER: Duration = Duration::from_secs(40);

const POLL: Duration = Duration::from_millis(20);

/// How long writes of nodes under test wait for replicas, unless a test says: a machine that
/// runs many nodes, or whose disk is slow, may stand still for longer than a good one needs.
const WRITE_TIMEOUT: &str = "10s";

/// How many port pairs a new node tries when somebody else takes its ports first.
const PORT_TRIES: usize = 10;

/// Waits until `condition` holds and returns what it gives.
///
/// # Panics
/// When it does not hold within `bound`, with the last thing that `condition` complained of.
#[track_caller]
pub fn eventually<T>(
    what: &str,
    bound: Duration,
    mut condition: impl FnMut() -> Result<T, String>,
) -> T {
    let start = Instant::now();
    loop {
        match condition() {
            Ok(value) => return value,
            Err(instead) if start.elapsed() >= bound => {
                panic!("{what}: not within {bound:?}; instead: {instead}")
            }
            Err(_) => thread::sleep(POLL),
        }
    }
}

/// `Ok` if `left` is `right`, else what it was instead.
pub fn same<T: PartialEq + std::fmt::Debug>(left: T, right: T) -> Result<(), String> {
    if left == right {
        Ok(())
    } else {
        Err(format!("{left:?}, not {right:?}"))
    }
}

/// The number that `variable` of the environment holds, or `default`.
#[track_caller]
pub fn number_from_env(variable: &str, default: u32) -> u32 {
    let text = std::env::var(variable);
    text.map_or(default, |text| text.parse().expect(variable))
}

/// Copies what is in a directory.
pub fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy_directory(&path, &to),
            false => copy_file(&path, &to),
        }
    }
}

/// Without the zeros behind the end of a journal, which take no room there either.
fn copy_file(from: &Path, to: &Path) {
    let (from, to) = (fs::File::open(from).unwrap(), fs::File::create(to).unwrap());
    let mut content = vec![0; bytes_used(&from) as usize];
    from.read_exact_at(&mut content, 0).unwrap();
    to.write_all_at(&content, 0).unwrap();
    to.set_len(from.metadata().unwrap().len()).unwrap();
}

/// Where the last block ends that is not all zeros.
pub fn bytes_used(file: &fs::File) -> u64 {
    const BLOCK: u64 = 64 * 1024;
    let length = file.metadata().unwrap().len();
    let zeros = [0; BLOCK as usize];
    for first in (0..length)
        .step_by(BLOCK as usize)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
    {
        let mut block = vec![0; BLOCK.min(length - first) as usize];
        file.read_exact_at(&mut block, first).unwrap();
        if block != zeros[..block.len()] {
            let last = block.iter().rposition(|byte| *byte != 0);
            return first + last.unwrap_or(0) as u64 + 1;
        }
    }
    0
}

/// A `netdb` command without the settings of the environment that the tests run in.
pub fn netdb<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    without_settings(NETDB.as_ref(), arguments)
}

fn without_settings<A: AsRef<std::ffi::OsStr>>(
    program: &Path,
    arguments: impl IntoIterator<Item = A>,
) -> Command {
    let mut command = Command::new(program);
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("NETDB_") {
            command.env_remove(variable);
        }
    }
    command.args(arguments);
    command
}

/// Runs `command` to its end, within `SOON`.
#[track_caller]
pub fn finish(command: &mut Command, input: &str) -> Output {
    use std::io::Write as _;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("netdb does not start");
    let mut stdin = child.stdin.take().expect("piped");
    // A process that ended without reading its input is judged by its status.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let start = Instant::now();
    while child.try_wait().expect("wait").is_none() {
        if start.elapsed() > SOON {
            let _ = child.kill();
            panic!("{command:?} does not end within {SOON:?}");
        }
        thread::sleep(POLL);
    }
    child.wait_with_output().expect("output")
}

/// A cluster name that no other test on this machine uses, so that no two of them meet.
pub fn unique_cluster_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("test-{}-{count}", std::process::id())
}

/// One node: how it is started, and its process while that runs.
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its cluster's name.
    pub cluster: String,
    /// Its addresses.
    pub ports: Ports,
    /// The seeds that it is given.
    pub seeds: Vec<String>,
    /// Further arguments of `netdb start`.
    pub more: Vec<String>,
    /// What is started: the binary under test, unless a test has another.
    pub program: PathBuf,
    /// Variables that it is started with.
    pub environment: Vec<(&'static str, PathBuf)>,
    directory: PathBuf,
    child: Option<Child>,
    connection: RefCell<Option<Connection>>,
}

/// Sends a command of words that are divided by blanks to a node's client port.
#[track_caller]
pub fn call(node: &Node, line: &str) -> Value {
    let words: Vec<&str> = line.split(' ').collect();
    node.call(&words)
}

impl Node {
    /// A node below `directory` that is not started yet.
    pub fn new(name: &str, cluster: &str, directory: &Path) -> Self {
        let directory = directory.join(name);
        fs::create_dir_all(&directory).expect("directory");
        Self {
            name: name.to_owned(),
            cluster: cluster.to_owned(),
            ports: Ports::free(),
            seeds: Vec::new(),
            more: Vec::new(),
            program: PathBuf::from(NETDB),
            environment: Vec::new(),
            directory,
            child: None,
            connection: RefCell::new(None),
        }
    }

    /// The same with these seeds.
    pub fn seeds<S: Into<String>>(mut self, seeds: impl IntoIterator<Item = S>) -> Self {
        self.seeds = seeds.into_iter().map(Into::into).collect();
        self
    }

    /// The cluster address, as a seed.
    pub fn seed(&self) -> String {
        self.ports.cluster.to_string()
    }

    /// Starts it and waits until it is ready.
    #[track_caller]
    pub fn start(&mut self) {
        self.launch();
        self.await_ready();
    }

    /// Starts it for the first time, on other ports if somebody else took its own meanwhile.
    #[track_caller]
    pub fn start_first(&mut self) {
        for _ in 0..PORT_TRIES {
            self.launch();
            let ended = self.ready_or_ended().expect("ready or not");
            if ended.is_none() {
                return;
            }
            self.child = None;
            let own_seed = self.seed();
            self.ports = Ports::free();
            let moved = self.seed();
            for seed in self.seeds.iter_mut().filter(|seed| **seed == own_seed) {
                seed.clone_from(&moved);
            }
        }
        panic!("{} found no ports:\n{}", self.name, self.log_tail());
    }

    /// Starts its process.
    #[track_caller]
    pub fn launch(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        fs::write(self.directory.join("out"), "").expect("out");
        let append = |name: &str| -> File {
            let path = self.directory.join(name);
            OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .expect(name)
        };
        let mut command = without_settings(&self.program, ["start", "--no-repl"]);
        command
            .env("NETDB_WRITE_TIMEOUT", WRITE_TIMEOUT)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .args(["--name", &self.name, "--cluster", &self.cluster])
            .args(["--listen", &self.ports.cluster.to_string()])
            .args(["--client", &self.ports.client.to_string()])
            .args(self.seeds.iter().flat_map(|seed| ["--seed", seed]))
            .args(&self.more)
            .stdin(Stdio::null())
            .stdout(append("out"))
            .stderr(append("log"));
        if !self.more.iter().any(|more| more == "--memory") {
            command.arg("--data").arg(self.data());
        }
        self.child = Some(command.spawn().expect("netdb does not start"));
    }

    /// Waits until it has said that it is ready.
    #[track_caller]
    pub fn await_ready(&mut self) {
        match self.ready_or_ended() {
            Ok(None) => {}
            Ok(Some(status)) => {
                self.child = None;
                panic!("{} ended with {status}:\n{}", self.name, self.log_tail())
            }
            Err(instead) => panic!("{} is not ready: {instead}", self.name),
        }
    }

    /// Starts it and waits until it is ready, or has refused: then what it said.
    #[track_caller]
    pub fn start_or_refusal(&mut self) -> Option<String> {
        self.launch();
        let ended = self.ready_or_ended().expect("ready or not");
        ended.map(|_| {
            self.child = None;
            self.log_tail()
        })
    }

    /// Waits for the ready line (then nothing) or the end of the process (then its status). A
    /// node takes its time to catch up before it is ready, half a minute at worst.
    fn ready_or_ended(&mut self) -> Result<Option<ExitStatus>, String> {
        let start = Instant::now();
        loop {
            if self.ready_line().is_some() {
                return Ok(None);
            }
            let child = self.child.as_mut().ok_or("it was not started")?;
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                return Ok(Some(status));
            }
            if start.elapsed() > LATER {
                return Err(format!("silent for {LATER:?}:\n{}", self.log_tail()));
            }
            thread::sleep(POLL);
        }
    }

    /// What it said when it was ready, if it is.
    pub fn ready_line(&self) -> Option<String> {
        let said = fs::read_to_string(self.directory.join("out")).ok()?;
        let line = said.lines().find(|line| line.contains(" is ready: "))?;
        Some(line.to_owned())
    }

    /// Ends it without warning. Its data stays.
    pub fn kill(&mut self) {
        *self.connection.borrow_mut() = None;
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Removes its data, as a replaced disk would.
    pub fn lose_disk(&mut self) {
        assert!(self.child.is_none(), "{} runs", self.name);
        fs::remove_dir_all(self.data()).expect("data directory");
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Asks it to leave (SIGTERM), and waits until it has ended.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        self.end_by("TERM")
    }

    /// Sends `signal` and waits until it has ended.
    #[track_caller]
    pub fn end_by(&mut self, signal: &str) -> ExitStatus {
        self.signal(signal);
        self.ended()
    }

    /// Waits until its process, which is not told to, has ended.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        *self.connection.borrow_mut() = None;
        let child = self.child.as_mut().expect("it runs");
        let status = eventually("the process ends", SOON, || {
            let status = child.try_wait().map_err(|error| error.to_string())?;
            status.ok_or_else(|| "it still runs".to_owned())
        });
        self.child = None;
        status
    }

    /// Sends `signal`, by its name without SIG: `STOP` freezes it, and is waited for; `CONT` thaws
    /// it.
    #[track_caller]
    pub fn signal(&self, signal: &str) {
        // The child has not been waited for, so its pid cannot be anybody else's.
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("kill")
            .args([format!("-{signal}"), pid])
            .status();
        assert!(sent.expect("kill").success(), "SIG{signal} was not sent");
        // A thread that was running may stop a little later.
        if signal == "STOP" && cfg!(target_os = "linux") {
            eventually("every thread is stopped", SOON, || {
                same(self.thread_states(), BTreeSet::from(['T']))
            });
        }
    }

    /// The id of its process.
    #[track_caller]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Memory that it holds, in bytes, where the system says so.
    pub fn resident_bytes(&self) -> Option<u64> {
        let pid = self.child.as_ref()?.id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace()
            .nth(1)?
            .parse::<u64>()
            .ok()
            .map(|kib| kib * 1024)
    }

    /// What its threads are doing, as Linux abbreviates it: `T` for stopped.
    fn thread_states(&self) -> BTreeSet<char> {
        let pid = self.child.as_ref().expect("it runs").id();
        let threads = fs::read_dir(format!("/proc/{pid}/task")).expect("threads");
        // One that has ended meanwhile does nothing.
        let status = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("status")).ok();
        let statuses = threads.flatten().filter_map(status);
        statuses
            .filter_map(|status| {
                let state = status.lines().find_map(|line| line.strip_prefix("State:"));
                state?.trim().chars().next()
            })
            .collect()
    }

    /// Its log, over all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }

    /// Sends one command to its client port; an error is why there was no answer.
    pub fn try_call(&self, command: &[&str]) -> Result<Value, String> {
        self.on_connection(|connection| connection.call(command))
    }

    /// The same with words of any bytes.
    pub fn try_call_bytes(&self, command: &[&[u8]]) -> Result<Value, String> {
        self.on_connection(|connection| connection.call_bytes(command))
    }

    /// A connection is kept until a call fails.
    fn on_connection(
        &self,
        call: impl FnOnce(&mut Connection) -> Result<Value, String>,
    ) -> Result<Value, String> {
        let mut slot = self.connection.borrow_mut();
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => Connection::open(self.ports.client)?,
        };
        let answer = call(&mut connection)?;
        *slot = Some(connection);
        Ok(answer)
    }

    /// Sends one command to its client port.
    #[track_caller]
    pub fn call(&self, command: &[&str]) -> Value {
        match self.try_call(command) {
            Ok(answer) => answer,
            Err(error) => panic!("{} to {command:?}: {error}", self.name),
        }
    }

    /// A connection of its own to its client port.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        Connection::open(self.ports.client).expect("a connection")
    }

    /// Puts `value` at `key`.
    #[track_caller]
    pub fn put(&self, key: &str, value: &str) {
        assert_eq!(self.call(&["SET", key, value]), Value::ok(), "SET {key}");
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Result<Option<String>, String> {
        match self.try_call(&["GET", key])? {
            Value::Null => Ok(None),
            Value::Error(error) => Err(error),
            value => Ok(Some(text(&value))),
        }
    }

    /// Waits until `key` holds `value` here.
    #[track_caller]
    pub fn await_value(&self, key: &str, value: Option<&str>) {
        let what = format!("{key} on {}", self.name);
        eventually(&what, LATER, || same(self.get(key)?.as_deref(), value));
    }

    /// Its members, each as the fields of `NETDB MEMBERS`.
    pub fn members(&self) -> Result<Vec<Fields>, String> {
        match self.try_call(&["NETDB", "MEMBERS"])? {
            Value::Array(members) => members.into_iter().map(fields).collect(),
            other => Err(format!("NETDB MEMBERS answers {other:?}")),
        }
    }

    /// The states of all members by name, in order: `n1 alive, n2 failed`.
    pub fn states(&self) -> Result<String, String> {
        let mut states: Vec<String> = self
            .members()?
            .iter()
            .map(|member| format!("{} {}", member["name"], member["state"]))
            .collect();
        states.sort();
        Ok(states.join(", "))
    }

    /// Waits until it shows exactly these states.
    #[track_caller]
    pub fn await_states(&self, states: &str) {
        let what = format!("{} shows {states}", self.name);
        eventually(&what, LATER, || same(self.states()?.as_str(), states));
    }

    /// Waits until exactly these are alive, whoever else has been a member.
    #[track_caller]
    pub fn await_alive(&self, names: &[&str]) {
        let what = format!("{} shows {names:?} alive", self.name);
        eventually(&what, LATER, || {
            let members = self.members()?;
            let alive = members.iter().filter(|member| member["state"] == "alive");
            let mut alive: Vec<&str> = alive.map(|member| member["name"].as_str()).collect();
            alive.sort_unstable();
            same(alive.as_slice(), names)
        });
    }

    /// The fields of `NETDB STATUS`.
    pub fn status(&self) -> Result<Fields, String> {
        fields(self.try_call(&["NETDB", "STATUS"])?)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if thread::panicking() && self.child.is_some() {
            eprintln!("--- the end of {}'s log\n{}", self.name, self.log_tail());
        }
        self.kill();
    }
}

/// Nodes `n1`, `n2`, … that were started from one seed, `n1`, which is its own seed.
pub struct Cluster {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// Their cluster's name.
    pub name: String,
    /// Further arguments of `netdb start` for the next nodes.
    pub more: Vec<String>,
    directory: TempDir,
    prepared: usize,
    seed: Option<String>,
}

impl Cluster {
    /// `count` nodes that all see each other.
    #[track_caller]
    pub fn start(count: usize) -> Self {
        let mut cluster = Self::new();
        for _ in 0..count {
            cluster.add();
        }
        cluster.await_whole();
        cluster
    }

    /// No nodes yet.
    pub fn new() -> Self {
        Self {
            nodes: Vec::new(),
            name: unique_cluster_name(),
            more: Vec::new(),
            directory: TempDir::new().expect("temporary directory"),
            prepared: 0,
            seed: None,
        }
    }

    /// Starts one more node.
    #[track_caller]
    pub fn add(&mut self) -> &mut Node {
        self.add_with(&[])
    }

    /// Starts one more node with further arguments.
    #[track_caller]
    pub fn add_with(&mut self, more: &[&str]) -> &mut Node {
        let mut node = self.prepare();
        node.more.extend(more.iter().map(|word| (*word).to_owned()));
        node.start_first();
        if self.nodes.is_empty() {
            self.seed = Some(node.seed());
        }
        self.nodes.push(node);
        self.nodes.last_mut().expect("just added")
    }

    /// The next node, not started and not yet one of `nodes`. The first is everyone's seed.
    pub fn prepare(&mut self) -> Node {
        self.prepared += 1;
        let name = format!("n{}", self.prepared);
        let mut node = Node::new(&name, &self.name, self.directory.path());
        node.more.clone_from(&self.more);
        let seed = self.seed.get_or_insert_with(|| node.seed()).clone();
        node.seeds([seed])
    }

    /// Where its nodes have their directories.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until every node sees every node alive, and nothing else.
    #[track_caller]
    pub fn await_whole(&self) {
        let alive = |node: &Node| format!("{} alive", node.name);
        let mut all: Vec<String> = self.nodes.iter().map(alive).collect();
        all.sort();
        for node in &self.nodes {
            node.await_states(&all.join(", "));
        }
    }
}
