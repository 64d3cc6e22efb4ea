//! What a node says of itself and of the members it knows.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

use super::core::Core;
use super::state::FactsTable;
use super::views::{MemberView, Status};
use crate::membership::{Member, State};

/// The client address of a node that serves no clients.
const NOWHERE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

pub(super) fn members(core: &Core) -> Vec<MemberView> {
    let facts = core.facts.borrow().clone();
    let mut members: Vec<MemberView> = core
        .roster()
        .members
        .values()
        .map(|member| view(core, member, &facts))
        .collect();
    members.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    members
}

fn view(core: &Core, member: &Member, facts: &FactsTable) -> MemberView {
    let identity = member.identity;
    let me = identity.id == core.profile.id;
    let known = facts.get(&identity.id);
    let name = match known {
        _ if me => core.profile.name.clone(),
        Some(facts) => facts.name.clone(),
        None => identity.id.to_string(),
    };
    // A name outlives a restart, an address need not: older facts give no address.
    let current = known.filter(|facts| facts.generation >= identity.generation);
    MemberView {
        name,
        id: identity.id,
        cluster_addr: identity.addr,
        client_addr: match me {
            true => core.profile.client_addr,
            false => current.and_then(|facts| facts.client_addr),
        },
        state: word(member.state),
        incarnation: member.incarnation,
        generation: identity.generation,
        since_ms: member.since.wall_ms,
        me,
    }
}

pub(super) fn word(state: State) -> &'static str {
    match state {
        State::Alive => "alive",
        State::Suspect => "suspect",
        State::Failed => "failed",
        State::Left => "left",
    }
}

pub(super) fn status(core: &Core) -> Status {
    let roster = core.roster();
    let data = core.data.stats();
    let profile = &core.profile;
    let alive = |member: &&Member| member.state == State::Alive;
    let mut counters = vec![
        ("links_up", core.links.count() as u64),
        ("dots_live", data.dots_live),
        ("dots_per_1000_keys", data.dots_per_1000_keys()),
        ("clock_holes", data.holes),
        ("actors_frozen", data.frozen),
        ("dot_conflicts", data.dot_conflicts),
        ("rows_residual", data.rows_residual),
        ("log_rows", data.log_rows),
        ("data_bytes", data.bytes),
        ("opening_ms", core.opening.took_ms),
        ("memory_budget", core.opening.memory_budget),
        ("rows_cached_bytes", data.cached_bytes),
        ("storage_reads_failed", data.unread),
        ("partitions_owned", data.owned),
        ("quarantined_partitions", data.rebuilding),
        ("own_writes_lost", data.own_writes_lost),
        ("writes_waiting", data.waiting),
        ("sync_backlog", data.sync_backlog),
        ("sync_bytes_fetched", data.fetched_bytes),
    ];
    counters.extend(core.counters.iter());
    counters.extend(roster.counters.iter().copied());
    Status {
        name: profile.name.clone(),
        id: profile.id,
        cluster: profile.fingerprint.cluster.clone(),
        version: env!("CARGO_PKG_VERSION"),
        cluster_addr: profile.cluster_addr,
        client_addr: profile.client_addr.unwrap_or(NOWHERE),
        uptime_ms: u64::try_from(core.clock.elapsed().as_millis()).unwrap_or(u64::MAX),
        members_alive: roster.members.values().filter(alive).count(),
        members_total: roster.members.len(),
        partitions: profile.fingerprint.partitions,
        keys: data.keys,
        ending: data.ending,
        data: profile.data.clone(),
        disk: core.disk.view(),
        quarantine: core.opening.quarantine_words(),
        counters,
    }
}
