//! The table of knobs: every setting of `netdb start`, once.
//!
//! A row gives the setting's one word, its default, its meaning and how its text is read.
//! The flag (`--write-timeout`), the variable (`NETDB_WRITE_TIMEOUT`) and the key in the
//! file (`write_timeout`) are the same word, and help, precedence and error messages are
//! made from the row, so that none of them can lag behind.

use super::layer::Settings;
use super::setters::{
    add_seeds, address, count, durability, file, log_format, network, put, put_key, reachable,
    secret, set_data, set_memory, strength, text_of,
};
use super::value::{self, ValueError};

/// Longest wait for the replicas of a write: ten minutes. A client has given up long before.
const WRITE_TIMEOUT_MS_MAX: u64 = 600_000;

/// Shortest sync interval: below it, comparing costs more than it can find.
const SYNC_INTERVAL_MS_MIN: u64 = 10;

/// Longest sync interval: an hour. It bounds how long a missed push stays unnoticed.
const SYNC_INTERVAL_MS_MAX: u64 = 3_600_000;

/// Slowest catching up: below it a pull of a few large values would seem stuck.
const SYNC_RATE_MIN: u64 = 1_000_000;

/// Fastest: no machine is near it, so it means "unlimited".
const SYNC_RATE_MAX: u64 = 1_000_000_000_000;

/// Smallest memory budget: below it, write buffers are too small to be worth their files.
pub const MEMORY_BUDGET_MIN: u64 = 32_000_000;

/// Largest: beyond any memory.
const MEMORY_BUDGET_MAX: u64 = 1_000_000_000_000_000;

/// Smallest dot logs: enough that every partition remembers some writes.
const DOT_LOG_BYTES_MIN: u64 = 1_000_000;

/// Largest: beyond any memory.
const DOT_LOG_BYTES_MAX: u64 = 1_000_000_000_000;

/// Shortest reach of the dot logs: less than a restart takes.
const DOT_LOG_AGE_MS_MIN: u64 = 1_000;

/// Longest: ten years.
const DOT_LOG_AGE_MS_MAX: u64 = 3_650 * 24 * 3_600_000;

/// Most client connections: each costs a descriptor and tens of KiB.
const CLIENTS_MAX: u64 = 1_000_000;

/// Most partitions: every one has a clock on every node, compared at every sync.
pub const PARTITIONS_MAX: u16 = 16_384;

/// How a knob is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One value; the word that stands for it in help.
    Value(&'static str),
    /// Several values: the flag repeats, the variable separates by commas, the file has an
    /// array.
    List(&'static str),
    /// On or off; the flag has no value.
    Switch,
    /// A value that is only ever read from the environment: arguments show in process
    /// lists, and configuration files are copied around.
    Secret,
}

/// One setting.
#[derive(Debug)]
pub struct Knob {
    /// Its word, as the file has it.
    pub key: &'static str,
    /// The same word as its flag has it, without the leading dashes.
    pub flag: &'static str,
    /// How it is given.
    pub shape: Shape,
    /// What it is unless it is given, as an operator would say it.
    pub default: &'static str,
    /// What it means, in full sentences.
    pub help: &'static str,
    /// Reads one value's text into the layer.
    pub(super) set: fn(&mut Settings, &str) -> Result<(), ValueError>,
}

impl Knob {
    /// The name of its environment variable.
    pub fn variable(&self) -> String {
        format!("NETDB_{}", self.key.to_ascii_uppercase())
    }

    /// The knob of that key.
    pub fn by_key(key: &str) -> Option<&'static Self> {
        KNOBS.iter().find(|knob| knob.key == key)
    }
}

/// All knobs, in the order of the help.
pub static KNOBS: &[Knob] = &[
    Knob {
        key: "name",
        flag: "name",
        shape: Shape::Value("NAME"),
        default: "HOSTNAME-PORT, with the cluster port",
        help: "The node's name: unique in the cluster and the same after every restart. \
               At most 64 bytes",
        set: |to, text| put(&mut to.name, value::name(text)),
    },
    Knob {
        key: "listen",
        flag: "listen",
        shape: Shape::Value("HOST:PORT"),
        default: "127.0.0.1:7979, or the next free port",
        help: "Where the other nodes reach this one, UDP and TCP. A port that is given and \
               taken is an error; port 0 takes a free one. Beyond loopback a cluster key is \
               needed, or --insecure",
        set: |to, text| put(&mut to.listen, address(text)),
    },
    Knob {
        key: "seed",
        flag: "seed",
        shape: Shape::List("HOST:PORT"),
        default: "the node that has the default port, if this one found it taken",
        help: "The cluster address of any node of the cluster to join; repeat it for several. \
               Names are looked up again as long as needed, so a seed may be down, come up \
               later, or be this node itself",
        set: add_seeds,
    },
    Knob {
        key: "client",
        flag: "client",
        shape: Shape::Value("HOST:PORT"),
        default: "127.0.0.1:7379, or the next free port",
        help: "Where clients reach this node by the Redis protocol",
        set: |to, text| put(&mut to.client, address(text)),
    },
    Knob {
        key: "advertise",
        flag: "advertise",
        shape: Shape::Value("HOST:PORT"),
        default: "the address of --listen",
        help: "The cluster address that the other nodes should use, if it is not the one \
               listened on: behind a port mapping, or when listening on every interface",
        set: |to, text| put(&mut to.advertise, reachable(text)),
    },
    Knob {
        key: "cluster",
        flag: "cluster",
        shape: Shape::Value("NAME"),
        default: "netdb",
        help: "The cluster's name. Nodes of another name are strangers: they are refused",
        set: |to, text| put(&mut to.cluster, value::name(text)),
    },
    Knob {
        key: "data",
        flag: "data",
        shape: Shape::Value("DIR"),
        default: "./netdb-data/NAME",
        help: "The directory that keeps the data. It is made if it is missing, and belongs to \
               one node at a time",
        set: set_data,
    },
    Knob {
        key: "memory",
        flag: "memory",
        shape: Shape::Switch,
        default: "off",
        help: "Keep the data in memory only: it is gone when the process ends, and comes back \
               from the other nodes. Not together with --data",
        set: set_memory,
    },
    Knob {
        key: "memory_budget",
        flag: "memory-budget",
        shape: Shape::Value("BYTES"),
        default: "a quarter of the machine's memory",
        help: "How much memory the node may use for its data: recently used rows, the blocks \
               they lie in on disk, and what waits to be written. Data may be many times as \
               large; what is not in memory is read from the disk. More makes reads faster. \
               With --memory it means nothing. Bytes, or with a unit: 500MB, 8GiB",
        set: |to, text| {
            put(
                &mut to.memory_budget,
                value::bytes(text, MEMORY_BUDGET_MIN, MEMORY_BUDGET_MAX),
            )
        },
    },
    Knob {
        key: "write",
        flag: "write",
        shape: Shape::Value("STRENGTH"),
        default: "quorum",
        help: "How many replicas must have a write before it is acknowledged: one, quorum (of \
               those that are reachable), all (that are reachable) or strict-quorum (a majority \
               of all; refused when too few are reachable). More is safer and slower",
        set: |to, text| put(&mut to.write, strength(text)),
    },
    Knob {
        key: "read",
        flag: "read",
        shape: Shape::Value("STRENGTH"),
        default: "one",
        help: "How many replicas a read asks, with the same words as --write. Beyond one, what \
               they know is merged and a replica that knew less is repaired",
        set: |to, text| put(&mut to.read, strength(text)),
    },
    Knob {
        key: "durability",
        flag: "durability",
        shape: Shape::Value("LEVEL"),
        default: "interval",
        help: "What each of those replicas must have done with the write: given it to the \
               operating system (os), the same with the disk following within 100 ms \
               (interval), or forced it to disk (always)",
        set: |to, text| put(&mut to.durability, durability(text)),
    },
    Knob {
        key: "write_timeout",
        flag: "write-timeout",
        shape: Shape::Value("DURATION"),
        default: "2s",
        help: "How long a write waits for its replicas before it is answered with an error; it \
               is not undone. Milliseconds, or with a unit: 500ms, 2s",
        set: |to, text| {
            put(
                &mut to.write_timeout_ms,
                value::duration_ms(text, 1, WRITE_TIMEOUT_MS_MAX),
            )
        },
    },
    Knob {
        key: "sync_interval",
        flag: "sync-interval",
        shape: Shape::Value("DURATION"),
        default: "1s",
        help: "How often the node compares itself with one other, to mend what pushes missed. \
               Shorter heals sooner and costs traffic. Milliseconds, or with a unit",
        set: |to, text| {
            let read = value::duration_ms(text, SYNC_INTERVAL_MS_MIN, SYNC_INTERVAL_MS_MAX);
            put(&mut to.sync_interval_ms, read)
        },
    },
    Knob {
        key: "sync_rate",
        flag: "sync-rate",
        shape: Shape::Value("BYTES"),
        default: "100MB",
        help: "How many bytes per second the node fetches from others, at most, to catch up \
               with what it missed. Lower spares clients, higher heals sooner. Bytes, or with \
               a unit: 20MB",
        set: |to, text| {
            put(
                &mut to.sync_rate,
                value::bytes(text, SYNC_RATE_MIN, SYNC_RATE_MAX),
            )
        },
    },
    Knob {
        key: "dot_log_bytes",
        flag: "dot-log-bytes",
        shape: Shape::Value("BYTES"),
        default: "1GB",
        help: "How much memory the node may use to remember which keys a replica that is away \
               has missed. One that missed more is compared key by key when it comes back. \
               Bytes, or with a unit: 500MB",
        set: |to, text| {
            put(
                &mut to.dot_log_bytes,
                value::bytes(text, DOT_LOG_BYTES_MIN, DOT_LOG_BYTES_MAX),
            )
        },
    },
    Knob {
        key: "dot_log_age",
        flag: "dot-log-age",
        shape: Shape::Value("DURATION"),
        default: "24h",
        help: "How long the node remembers which keys a replica that is away has missed. One \
               that comes back later is compared key by key. Milliseconds, or with a unit: \
               90m, 24h",
        set: |to, text| {
            put(
                &mut to.dot_log_age_ms,
                value::duration_ms(text, DOT_LOG_AGE_MS_MIN, DOT_LOG_AGE_MS_MAX),
            )
        },
    },
    Knob {
        key: "network",
        flag: "network",
        shape: Shape::Value("PRESET"),
        default: "lan",
        help: "Timing of failure detection: local (one machine, fastest), lan (one data \
               centre) or wan (between data centres, most patient)",
        set: |to, text| put(&mut to.network, network(text)),
    },
    Knob {
        key: "clients_max",
        flag: "clients-max",
        shape: Shape::Value("N"),
        default: "10000",
        help: "Most client connections at once; further ones are refused",
        set: |to, text| put(&mut to.clients_max, count(text, 1, CLIENTS_MAX)),
    },
    Knob {
        key: "partitions",
        flag: "partitions",
        shape: Shape::Value("N"),
        default: "256",
        help: "Number of partitions that the keyspace is cut into. Equal on all nodes, fixed \
               for the cluster's life",
        set: |to, text| {
            put(
                &mut to.partitions,
                count(text, 1, u64::from(PARTITIONS_MAX)),
            )
        },
    },
    Knob {
        key: "cluster_key_file",
        flag: "cluster-key-file",
        shape: Shape::Value("FILE"),
        default: "none",
        help: "A file with the cluster key, 16 bytes or more, which seals everything between \
               nodes. The key itself may be in NETDB_CLUSTER_KEY instead. Without one only \
               accidents are kept out, and the node listens on loopback only",
        set: |to, text| put_key(&mut to.cluster_key, file(text), "cluster_key"),
    },
    Knob {
        key: "previous_cluster_key_file",
        flag: "previous-cluster-key-file",
        shape: Shape::Value("FILE"),
        default: "none",
        help: "A file with a second key that is still accepted, while the key is being \
               changed. The key itself may be in NETDB_PREVIOUS_CLUSTER_KEY instead",
        set: |to, text| {
            put_key(
                &mut to.previous_cluster_key,
                file(text),
                "previous_cluster_key",
            )
        },
    },
    Knob {
        key: "cluster_key",
        flag: "cluster-key",
        shape: Shape::Secret,
        default: "none",
        help: "The cluster key",
        set: |to, text| put_key(&mut to.cluster_key, secret(text), "cluster_key_file"),
    },
    Knob {
        key: "previous_cluster_key",
        flag: "previous-cluster-key",
        shape: Shape::Secret,
        default: "none",
        help: "The previous cluster key",
        set: |to, text| {
            put_key(
                &mut to.previous_cluster_key,
                secret(text),
                "previous_cluster_key_file",
            )
        },
    },
    Knob {
        key: "insecure",
        flag: "insecure",
        shape: Shape::Switch,
        default: "off",
        help: "Listen beyond loopback without a cluster key: anyone who knows the cluster's \
               name can then read and change everything",
        set: |to, text| put(&mut to.insecure, value::boolean(text)),
    },
    Knob {
        key: "no_repl",
        flag: "no-repl",
        shape: Shape::Switch,
        default: "off",
        help: "Do not start the REPL, even on a terminal",
        set: |to, text| put(&mut to.no_repl, value::boolean(text)),
    },
    Knob {
        key: "log",
        flag: "log",
        shape: Shape::Value("FILTER"),
        default: "warn,netdb=info, and warn while the REPL runs",
        help: "What is logged to standard error: off, error, warn, info, debug or trace, for \
               all or by module: warn,netdb::membership=debug",
        set: |to, text| put(&mut to.log, text_of(text, "write for example info")),
    },
    Knob {
        key: "log_format",
        flag: "log-format",
        shape: Shape::Value("FORMAT"),
        default: "human",
        help: "How it is logged: human, or json with one object per line",
        set: |to, text| put(&mut to.log_format, log_format(text)),
    },
];
