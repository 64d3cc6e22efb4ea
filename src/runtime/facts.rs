//! The node facts' task: what each node says of itself, gossiped by chitchat.
//!
//! Chitchat carries names, addresses and versions, written by their node alone. Who is alive
//! is SWIM's to say; chitchat's own verdict only chooses whom it gossips with. Two feeds
//! run between them: members that chitchat does not know yet are gossiped with directly,
//! and live nodes that chitchat knows are named to membership, which uses them where it
//! knows nobody.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use chitchat::{
    Chitchat, ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, NodeState,
    spawn_chitchat,
};
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{error, warn};

use super::core::Core;
use super::facts_lane::FactsTransport;
use super::place::own_progress;
use super::place_views::SeatProgress;
use super::state::{Command, FactsTable, NodeFacts};
use crate::clock::NodeId;
use crate::membership::{Identity, MEMBERS_MAX};

/// Time between two rounds of gossip. A fact reaches ten nodes in about a second.
const GOSSIP_INTERVAL: Duration = Duration::from_millis(500);

/// How often the facts are read and published.
const READ_INTERVAL: Duration = Duration::from_millis(250);

/// How often membership is told of the live nodes.
const HEARD_INTERVAL: Duration = Duration::from_secs(2);

/// How long the facts of a dead life of a node are kept. Each costs 57 bytes of every
/// digest; chitchat's own default of 24 hours lets quick restarts fill it.
const DEAD_GRACE: Duration = Duration::from_secs(15 * 60);

/// Members gossiped with directly per turn because chitchat does not know them. A kick for
/// each of many new members at once is a storm; the rest come by gossip.
const KICKS_MAX: usize = 3;

/// Most bytes of all facts of one node, keys included.
const FACTS_BYTES_MAX: usize = 1_024;

/// Pause before chitchat's server is started anew after it ended.
const RESTART_PAUSE: Duration = Duration::from_secs(1);

const NAME: &str = "name";
const CLIENT: &str = "client";
const CLUSTER: &str = "cluster";
const VERSION: &str = "version";
/// What a node has still to move, has moved, the bytes of it, since when and until when:
/// `3,5,1000,1795660788895,0`.
const MOVES: &str = "moves";
/// Which placement that is about, the roster's version and a hash: `7:00000000000000aa`. Set
/// after [`MOVES`], so whoever knows this one knows that one too.
const ROSTER: &str = "roster";

/// How often what a node says of its progress may change: it is gossip, and news for people.
const MOVES_INTERVAL: Duration = Duration::from_secs(1);

/// Runs chitchat until the node has stopped, and starts it anew when it ends: it panics
/// when its digest outgrows a datagram, and a node must survive that.
pub(super) async fn run(core: Arc<Core>, transport: FactsTransport) {
    loop {
        let generation = core.roster().me.generation;
        match start(&core, generation, &transport).await {
            Ok(chitchat) => {
                let end = serve(&core, &chitchat, generation).await;
                chitchat.abort();
                match end {
                    End::Stopped => return,
                    End::NewGeneration => continue,
                    End::Overgrown => {
                        warn!("too many dead nodes in the node facts; starting them anew")
                    }
                    End::Ended(error) => {
                        warn!(error, "the node facts' server ended; starting it anew")
                    }
                }
            }
            Err(error) => error!(%error, "the node facts' server did not start"),
        }
        core.counters.facts_restarts.one();
        tokio::select! {
            () = core.stopped.cancelled() => return,
            () = tokio::time::sleep(RESTART_PAUSE) => {}
        }
    }
}

/// Why chitchat's server is not served any more.
enum End {
    Stopped,
    /// This node's generation was raised, and facts are told apart by it.
    NewGeneration,
    /// It knows so many lives of nodes that its digest comes near its limit.
    Overgrown,
    Ended(String),
}

async fn start(
    core: &Core,
    generation: u64,
    transport: &FactsTransport,
) -> anyhow::Result<ChitchatHandle> {
    let addr = core.profile.cluster_addr;
    let config = ChitchatConfig {
        chitchat_id: ChitchatId::new(core.profile.id.to_string(), generation, addr),
        cluster_id: core.profile.fingerprint.cluster.clone(),
        gossip_interval: GOSSIP_INTERVAL,
        listen_addr: addr,
        seed_nodes: Vec::new(),
        failure_detector_config: FailureDetectorConfig {
            initial_interval: GOSSIP_INTERVAL,
            dead_node_grace_period: DEAD_GRACE,
            ..FailureDetectorConfig::default()
        },
        marked_for_deletion_grace_period: DEAD_GRACE,
        catchup_callback: None,
        extra_liveness_predicate: None,
    };
    spawn_chitchat(config, own_facts(core), transport).await
}

/// This node's facts. Short by construction: the name is bounded, the rest are addresses
/// and the program's version.
fn own_facts(core: &Core) -> Vec<(String, String)> {
    let profile = &core.profile;
    let mut facts = vec![
        (NAME.to_owned(), profile.name.clone()),
        (CLUSTER.to_owned(), profile.cluster_addr.to_string()),
        (VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ];
    facts.extend(
        profile
            .client_addr
            .map(|addr| (CLIENT.to_owned(), addr.to_string())),
    );
    debug_assert!(facts.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>() <= FACTS_BYTES_MAX);
    facts
}

async fn serve(core: &Core, handle: &ChitchatHandle, generation: u64) -> End {
    let ended = handle.termination_watcher();
    tokio::pin!(ended);
    let mut ticks = tokio::time::interval(READ_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = Instant::now();
    let mut said = None;
    loop {
        tokio::select! {
            () = core.stopped.cancelled() => return End::Stopped,
            result = &mut ended => {
                return End::Ended(result.err().map_or_else(String::new, |e| e.to_string()));
            }
            _ = ticks.tick() => {}
        }
        if core.roster().me.generation != generation {
            return End::NewGeneration;
        }
        say_progress(core, handle, &mut said).await;
        let (table, lives) = handle
            .with_chitchat(|chitchat| (read(chitchat), chitchat.node_states().len()))
            .await;
        if lives > MEMBERS_MAX {
            return End::Overgrown;
        }
        kick_unknown(core, handle, &table);
        if told.elapsed() >= HEARD_INTERVAL {
            told = Instant::now();
            // Full means membership has enough to do; it will be told again.
            let _ = core
                .commands
                .try_send(Command::Heard(identities(core, &table)));
        }
        publish(core, table);
    }
}

/// Says how far this node is, if that has changed since it was `said`.
async fn say_progress(
    core: &Core,
    handle: &ChitchatHandle,
    said: &mut Option<(Instant, [String; 2])>,
) {
    if (said.as_ref()).is_some_and(|(when, _)| when.elapsed() < MOVES_INTERVAL) {
        return;
    }
    let (progress, placement) = own_progress(core);
    let words = progress_words(&progress, placement);
    if said.as_ref().is_none_or(|(_, known)| *known != words) {
        let set = |chitchat: &mut Chitchat| {
            let facts = chitchat.self_node_state();
            facts.set(MOVES, &words[0]);
            facts.set(ROSTER, &words[1]);
        };
        handle.with_chitchat(set).await;
    }
    *said = Some((Instant::now(), words));
}

fn progress_words(progress: &SeatProgress, (version, hash): (u64, u64)) -> [String; 2] {
    let SeatProgress {
        to_move,
        moved,
        bytes,
        since_ms,
        until_ms,
        ..
    } = progress;
    [
        format!("{to_move},{moved},{bytes},{since_ms},{until_ms}"),
        format!("{version}:{hash:016x}"),
    ]
}

/// What a node says of its progress, if it is that.
fn progress_of(moves: &str, roster: &str) -> Option<(SeatProgress, (u64, u64))> {
    let mut numbers = moves.split(',').map(|number| number.parse().ok());
    let progress = SeatProgress {
        to_move: numbers.next()??,
        moved: numbers.next()??,
        bytes: numbers.next()??,
        since_ms: numbers.next()??,
        until_ms: numbers.next()??,
        is_current: true,
    };
    let (version, hash) = roster.split_once(':')?;
    let hash = u64::from_str_radix(hash, 16).ok()?;
    Some((progress, (version.parse().ok()?, hash)))
}

fn publish(core: &Core, table: FactsTable) {
    core.facts.send_if_modified(|published| {
        let changed = **published != table;
        if changed {
            *published = Arc::new(table);
        }
        changed
    });
}

/// Gossips with members whose present life chitchat does not know: it has no seeds, and
/// this is how it learns of the first nodes.
fn kick_unknown(core: &Core, handle: &ChitchatHandle, table: &FactsTable) {
    let roster = core.roster();
    let unknown = roster
        .active_others()
        .map(|member| member.identity)
        .filter(|identity| {
            table
                .get(&identity.id)
                .is_none_or(|facts| facts.generation < identity.generation)
        });
    for identity in unknown.take(KICKS_MAX) {
        // Fails only when the server has ended, which its watcher reports.
        let _ = handle.gossip(identity.addr);
    }
}

/// Live nodes as identities for membership.
fn identities(core: &Core, table: &FactsTable) -> Vec<Identity> {
    table
        .iter()
        .filter(|(id, facts)| facts.live && **id != core.profile.id)
        .map(|(id, facts)| Identity {
            id: *id,
            generation: facts.generation,
            bump: 0,
            addr: facts.cluster_addr,
        })
        .collect()
}

/// The facts of the newest life of each node.
fn read(chitchat: &Chitchat) -> FactsTable {
    let mut table = FactsTable::new();
    for (id, state) in chitchat.node_states() {
        let Some((node, facts)) = facts_of(id, state) else {
            continue;
        };
        let newest = table
            .get(&node)
            .is_none_or(|known| known.generation < facts.generation);
        if newest {
            table.insert(node, facts);
        }
    }
    for id in chitchat.live_nodes() {
        let known = node_of(id).and_then(|node| table.get_mut(&node));
        if let Some(facts) = known
            && facts.generation == id.generation_id
        {
            facts.live = true;
        }
    }
    table
}

fn node_of(id: &ChitchatId) -> Option<NodeId> {
    u64::from_str_radix(&id.node_id, 16).ok().map(NodeId)
}

/// What a node says of itself, as far as it is usable. Nothing until its name has arrived.
fn facts_of(id: &ChitchatId, state: &NodeState) -> Option<(NodeId, NodeFacts)> {
    let size: usize = state.key_values().map(|(k, v)| k.len() + v.len()).sum();
    if size > FACTS_BYTES_MAX {
        return None;
    }
    let facts = NodeFacts {
        generation: id.generation_id,
        name: printable(state.get(NAME)?),
        client_addr: state
            .get(CLIENT)
            .and_then(|addr| SocketAddr::from_str(addr).ok()),
        cluster_addr: id.gossip_advertise_addr,
        version: printable(state.get(VERSION).unwrap_or_default()),
        progress: (state.get(MOVES).zip(state.get(ROSTER)))
            .and_then(|(moves, roster)| progress_of(moves, roster)),
        live: false,
    };
    Some((node_of(id)?, facts))
}

/// Another node's text, safe to show on a terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_of_its_progress_is_understood_or_ignored() {
        let progress = SeatProgress {
            to_move: 3,
            moved: u64::MAX,
            bytes: 0,
            since_ms: 5,
            until_ms: 6,
            is_current: true,
        };
        let [moves, roster] = progress_words(&progress, (7, 0xab));
        assert_eq!(roster, "7:00000000000000ab");
        assert_eq!(progress_of(&moves, &roster), Some((progress, (7, 0xab))));
        for (moves, roster) in [
            ("", "7:ab"),
            ("1,2,3,4", "7:ab"),
            ("1,2,-3,4,5", "7:ab"),
            ("1,2,3,4,5", "7"),
            ("1,2,3,4,5", "x:ab"),
            ("1,2,3,4,5", "7:xyz"),
        ] {
            assert_eq!(progress_of(moves, roster), None, "{moves} {roster}");
        }
    }
}
