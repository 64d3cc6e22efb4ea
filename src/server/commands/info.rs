//! `INFO`: the text that monitoring reads.

use std::fmt::Write;

use crate::resp::Value;
use crate::runtime::Status;
use crate::server::failure::Failure;
use crate::server::shared::Shared;
use crate::server::spec::{Arg, Args, Context, Outcome, Spec};

/// The Redis version whose commands are followed. Clients and monitoring compare it.
const REDIS_VERSION: &str = "7.0.0";

pub(super) const COMMANDS: &[Spec] = &[Spec {
    name: "info",
    arity: -1,
    flags: &["loading", "stale"],
    summary: "Returns information and statistics about the server.",
    args: &[Arg::new("section", "string").optional().multiple()],
    run: Some(info),
    ..Spec::NONE
}];

/// What the sections are written from.
struct Facts<'a> {
    shared: &'a Shared,
    status: Status,
}

type Section = (&'static str, fn(&Facts<'_>, &mut Text));

const SECTIONS: &[Section] = &[
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("Cluster", cluster),
    ("Keyspace", keyspace),
    ("Netdb", netdb),
];

fn info(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let everything = args.len() == 1
        || ["default", "all", "everything"]
            .iter()
            .any(|word| (1..args.len()).any(|at| args.is(at, word)));
    let facts = Facts {
        shared: context.shared,
        status: context.store.status(),
    };
    let mut text = Text::default();
    for (name, write) in SECTIONS {
        if everything || (1..args.len()).any(|at| args.is(at, name)) {
            text.title(name);
            write(&facts, &mut text);
        }
    }
    let text = text.0.into();
    let format = *b"txt";
    Ok(Value::Verbatim { format, text }.into())
}

/// Lines of `name:value` under titles.
#[derive(Default)]
struct Text(String);

impl Text {
    fn title(&mut self, name: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        let _ = write!(self.0, "# {name}\r\n");
    }

    fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = write!(self.0, "{name}:{value}\r\n");
    }
}

fn server(facts: &Facts<'_>, text: &mut Text) {
    let status = &facts.status;
    text.line("redis_version", REDIS_VERSION);
    text.line("netdb_version", status.version);
    text.line("redis_mode", "standalone");
    text.line("os", std::env::consts::OS);
    text.line("arch_bits", usize::BITS);
    text.line("process_id", std::process::id());
    text.line("run_id", status.id);
    text.line("tcp_port", status.client_addr.port());
    text.line("uptime_in_seconds", status.uptime_ms / 1_000);
    text.line("uptime_in_days", status.uptime_ms / 86_400_000);
}

fn clients(facts: &Facts<'_>, text: &mut Text) {
    text.line("connected_clients", facts.shared.client_count());
    text.line("maxclients", facts.shared.limits.clients_max);
    text.line("blocked_clients", 0);
}

fn memory(facts: &Facts<'_>, text: &mut Text) {
    if let Some(bytes) = resident_bytes() {
        text.line("used_memory", bytes);
        text.line("used_memory_rss", bytes);
    }
    text.line("maxmemory", facts.status.memory_budget());
    text.line("maxmemory_policy", "noeviction");
    text.line("mem_clients_normal", facts.shared.ledger.bytes());
}

/// Memory of the process as the system counts it, where the system says so in a file.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1_024)
}

/// Clients wait for `loading:0` before they send anything.
fn persistence(facts: &Facts<'_>, text: &mut Text) {
    text.line("loading", 0);
    text.line("data", &facts.status.data);
}

fn stats(facts: &Facts<'_>, text: &mut Text) {
    let stats = &facts.shared.stats;
    text.line("total_connections_received", stats.connections.value());
    text.line("total_commands_processed", stats.commands.value());
    text.line("total_net_input_bytes", stats.input_bytes.value());
    text.line("total_net_output_bytes", stats.output_bytes.value());
    text.line("rejected_connections", stats.rejected.value());
    let subscribers = &facts.shared.subscribers;
    text.line("pubsub_channels", subscribers.channel_count());
    text.line("pubsub_patterns", subscribers.pattern_count());
    text.line("protocol_errors", stats.protocol_errors.value());
    text.line("http_requests_dropped", stats.http_dropped.value());
    text.line("stalled_clients_dropped", stats.stalled_dropped.value());
    text.line("idle_clients_dropped", stats.idle_dropped.value());
    text.line(
        "slow_subscribers_dropped",
        stats.subscribers_dropped.value(),
    );
}

/// There are no replicas in Redis's sense: every node takes writes.
fn replication(_: &Facts<'_>, text: &mut Text) {
    text.line("role", "master");
    text.line("connected_slaves", 0);
}

/// `cluster_enabled` means Redis Cluster, with slots and redirections.
fn cluster(facts: &Facts<'_>, text: &mut Text) {
    text.line("cluster_enabled", 0);
    text.line("cluster_name", &facts.status.cluster);
    text.line("members_alive", facts.status.members_alive);
    text.line("members_total", facts.status.members_total);
    text.line("partitions", facts.status.partitions);
}

fn keyspace(facts: &Facts<'_>, text: &mut Text) {
    let keys = facts.status.keys;
    if keys > 0 {
        let expires = facts.status.ending;
        text.line(
            "db0",
            format_args!("keys={keys},expires={expires},avg_ttl=0"),
        );
    }
}

fn netdb(facts: &Facts<'_>, text: &mut Text) {
    text.line("name", &facts.status.name);
    text.line("cluster_addr", facts.status.cluster_addr);
    for (name, value) in &facts.status.counters {
        text.line(name, value);
    }
}
