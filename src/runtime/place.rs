//! A node's place in the cluster, and that of others, through a [`Handle`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::warn;

use super::Handle;
use super::core::Core;
use super::lifecycle::LOOK_AGAIN;
use super::place_views::{
    OwnerView, OwnersView, PlacementView, PlanView, PlannedJoin, PlannedMember, RebalanceView,
    SeatProgress, SeatView,
};
use super::state::{FactsTable, NodeFacts, Roster as Members};
use super::{identity, status};
use crate::clock::NodeId;
use crate::node::{LeaveError, RemoveError};
use crate::placement::{Phase, Placement, Plan, Profile, Roster, Tally};

/// The longest pause within a change, in milliseconds: members give up copies after others have
/// come to own them, and clocks differ a little.
const CHANGE_PAUSE_MS: u64 = 10_000;

/// How long others may take to say that they know that this node has left: a few comparisons.
const TELL_WAIT: Duration = Duration::from_secs(10);

/// The state of a member that membership does not know.
const UNKNOWN: &str = "unknown";

impl Handle {
    /// Who holds what, by the roster that this node knows.
    pub fn placement(&self) -> PlacementView {
        let seen = Seen::of(self.core());
        PlacementView {
            roster_version: seen.placement.roster_version(),
            roster_fingerprint: seen.roster.fingerprint(),
            fingerprint: seen.placement.fingerprint(),
            partitions: seen.placement.keyspace().partitions,
            replicas: seen.placement.replicas(),
            members: seen.seats(),
        }
    }

    /// Who holds a key.
    pub fn owners(&self, key: &[u8]) -> OwnersView {
        let core = self.core();
        let seen = Seen::of(core);
        let keyspace = seen.placement.keyspace();
        let partition = keyspace.partition_of(key);
        let owners = seen.placement.recipients(partition);
        let decider = core.data.decider(core.clock.now(), partition);
        let view = core.data.view();
        OwnersView {
            partition: partition.0,
            hash: keyspace.hash(key),
            owners: owners
                .map(|id| OwnerView {
                    name: seen.name(id),
                    id,
                    client_addr: seen.client_addr(id),
                    state: seen.state(id),
                    phase: seen.roster.member(id).map_or(UNKNOWN, |c| word(c.phase)),
                    owns_now: seen.placement.current(partition).contains(&id),
                    will_own: seen.placement.target(partition).contains(&id),
                    reachable: id == view.me || view.reachable.contains(&id),
                    decides: decider == Some(id),
                    me: id == core.profile.id,
                })
                .collect(),
            serves: core.data.serves(partition),
        }
    }

    /// How far the change of the roster is that is under way, if one is.
    pub fn rebalance(&self) -> RebalanceView {
        let core = self.core();
        let progress = core.data.progress(core.clock.now());
        let seen = Seen::of(core);
        let copies = Plan::between(&seen.placement, &seen.placement).copies();
        let members = seen.seats();
        let whole = together(&members);
        RebalanceView {
            phase: core.data.phase().map_or("none", word),
            own: progress,
            copies,
            to_move: whole.to_move,
            moved: whole.moved,
            bytes_moved: whole.bytes,
            is_settled: copies == 0 && members.iter().all(is_settled),
            members,
        }
    }

    /// What would move if these nodes joined and these members left.
    ///
    /// # Errors
    /// What cannot be, in words: the name of a member or of none, or a description of none.
    pub fn plan(&self, joins: &[PlannedJoin], leaves: &[String]) -> Result<PlanView, String> {
        let core = self.core();
        let seen = Seen::of(core);
        let mut names: BTreeMap<NodeId, String> = BTreeMap::new();
        let mut after = seen.roster.clone();
        for name in leaves {
            let id = seen.member(name).ok_or(format!("{name} is no member"))?;
            after.depart(id).map_err(|error| error.to_string())?;
        }
        for join in joins {
            let (id, profile) = planned(core, &seen.roster, join)?;
            let joined = after.join(id, 1, profile);
            joined.map_err(|_| format!("{} is a member already", join.name))?;
            let stated = after.advance(id, Phase::Active);
            stated.map_err(|error| error.to_string())?;
            names.insert(id, join.name.clone());
        }
        if after.is_empty() {
            return Err("nobody would be left to hold anything".to_owned());
        }
        let (keyspace, replicas) = (seen.placement.keyspace(), seen.placement.replicas());
        let planned = Placement::of(&after, keyspace, replicas);
        let plan = Plan::between(&seen.placement, &planned);
        let stats = core.data.stats();
        let held = core.data.progress(core.clock.now()).held.max(1);
        let mut members: Vec<PlannedMember> = (plan.nodes.iter())
            .map(|(id, tally)| PlannedMember {
                name: names.get(id).cloned().unwrap_or_else(|| seen.name(*id)),
                change: match (seen.roster.member(*id), after.member(*id)) {
                    (None, _) => "joins",
                    (_, None) => "leaves",
                    _ => "stays",
                },
                before: tally.before,
                after: tally.after,
                takes: tally.gains,
                gives: tally.losses,
            })
            .collect();
        members.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(PlanView {
            members,
            copies: plan.copies(),
            copies_min: plan.copies_min(),
            bytes: stats.bytes.saturating_mul(plan.copies()) / held,
            imbalance: plan.imbalance(),
        })
    }

    /// Begins to leave the cluster for good: [`left`](Self::left) tells when others have what
    /// this node holds. By force it does not wait for that.
    ///
    /// # Errors
    /// See [`LeaveError`].
    pub fn leave(&self, force: bool) -> Result<(), LeaveError> {
        let core = self.core();
        let mut effects = Vec::new();
        let begun = core.data.leave(core.clock.now(), force, &mut effects);
        core.execute(effects);
        begun
    }

    /// Waits until this node has left for good and some other member knows, or none can be told.
    /// It is a node still, and of no cluster: [`shutdown`](Self::shutdown) is the next thing to do.
    pub async fn left(&self) {
        let data = &self.core().data;
        let mut departed = None;
        while !data.is_gone() {
            let waited = departed.map_or(Duration::ZERO, |at: Instant| at.elapsed());
            if waited >= TELL_WAIT {
                warn!(
                    "left for good, and nobody was told: others keep this node's place until it is removed there"
                );
                return;
            }
            if departed.is_none() && data.has_departed() {
                departed = Some(Instant::now());
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits until this node, which has begun to leave, stays after all: every other member leaves
    /// too, and it is the last that owns data.
    pub async fn stays(&self) {
        while self.core().data.phase() != Some(Phase::Active) {
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Removes a member that is dead, by its name, for good: what it held is made again on
    /// others. What only it had is lost.
    ///
    /// # Errors
    /// See [`RemoveError`].
    pub fn remove(&self, name: &str) -> Result<(), RemoveError> {
        let core = self.core();
        let seen = Seen::of(core);
        let id = seen.member(name).ok_or(RemoveError::NotMember)?;
        let is_alive = (seen.members.members.get(&id)).is_some_and(|m| m.state.is_active());
        let mut effects = Vec::new();
        let now = core.clock.now();
        let removed = core.data.remove(now, id, is_alive, &mut effects);
        core.execute(effects);
        removed
    }
}

/// What this node says of its own progress, as a node fact, with the placement that it is about.
pub(super) fn own_progress(core: &Core) -> (SeatProgress, (u64, u64)) {
    let view = core.data.view();
    let progress = core.data.progress(core.clock.now());
    let seat = SeatProgress {
        to_move: progress.to_move(),
        moved: progress.moved(),
        bytes: progress.bytes,
        since_ms: progress.since_ms,
        until_ms: progress.until_ms,
        is_current: true,
    };
    (seat, known(&view.placement))
}

/// Which placement a node knows: the roster's version, and a hash over all owners.
fn known(placement: &Placement) -> (u64, u64) {
    (placement.roster_version(), placement.fingerprint())
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Joining => "joining",
        Phase::Active => "active",
        Phase::Leaving => "leaving",
    }
}

/// Whether a member has nothing to do. One that is away does nothing, and keeps its place.
fn is_settled(seat: &SeatView) -> bool {
    let is_done = |progress: &SeatProgress| progress.is_current && progress.to_move == 0;
    match seat.state {
        "alive" | "suspect" => seat.progress.as_ref().is_some_and(is_done),
        _ => true,
    }
}

/// What all members together have done and have to do in the change that is under way. One that
/// was done before any that has something to do began was so in an earlier change.
fn together(members: &[SeatView]) -> SeatProgress {
    let said = || members.iter().filter_map(|seat| seat.progress);
    let busy = said().filter(|one| one.to_move > 0);
    let began_ms = busy.map(|one| one.since_ms).min().unwrap_or(u64::MAX);
    let is_in_it = |one: &SeatProgress| {
        one.to_move > 0 || one.until_ms.saturating_add(CHANGE_PAUSE_MS) >= began_ms
    };
    let mut whole = SeatProgress::default();
    for one in said().filter(is_in_it) {
        whole.to_move = whole.to_move.saturating_add(one.to_move);
        whole.moved = whole.moved.saturating_add(one.moved);
        whole.bytes = whole.bytes.saturating_add(one.bytes);
    }
    whole
}

/// The id and profile of a node that would join. Its machine is not known: it is taken to be
/// alone there, unless all members are on one.
fn planned(core: &Core, roster: &Roster, join: &PlannedJoin) -> Result<(NodeId, Profile), String> {
    identity::check_name(&join.name).map_err(|error| error.to_string())?;
    let id = identity::node_id(&core.profile.fingerprint.cluster, &join.name);
    let own = Profile::new(id, &join.name);
    let mut hosts = roster.members().map(|(_, claim)| &claim.profile.host);
    let first = hosts
        .next()
        .filter(|first| hosts.all(|host| host == *first));
    let profile = Profile {
        zone: join.zone.clone(),
        host: first.unwrap_or(&own.host).clone(),
        weight: join.weight,
        ..own
    };
    let checked = profile.check();
    checked.map_err(|error| format!("{}: {error}", join.name))?;
    Ok((id, profile))
}

/// What is known of the members, from all who say something about them.
struct Seen<'a> {
    core: &'a Core,
    roster: Roster,
    placement: Arc<Placement>,
    members: Arc<Members>,
    facts: Arc<FactsTable>,
}

impl<'a> Seen<'a> {
    fn of(core: &'a Core) -> Self {
        Self {
            core,
            roster: core.data.roster(),
            placement: core.data.view().placement.clone(),
            members: core.roster(),
            facts: core.facts.borrow().clone(),
        }
    }

    /// The member of that name, or of that id.
    fn member(&self, name: &str) -> Option<NodeId> {
        let mut members = self.roster.members();
        let is_it = |(id, _): &(NodeId, _)| self.name(*id) == name || id.to_string() == name;
        members.find(is_it).map(|(id, _)| id)
    }

    fn name(&self, id: NodeId) -> String {
        let claim = self.roster.member(id);
        let name = claim.map(|claim| claim.profile.name.clone());
        let fact = || Some(self.facts.get(&id)?.name.clone());
        name.or_else(fact).unwrap_or_else(|| id.to_string())
    }

    fn state(&self, id: NodeId) -> &'static str {
        let member = self.members.members.get(&id);
        member.map_or(UNKNOWN, |member| status::word(member.state))
    }

    fn client_addr(&self, id: NodeId) -> Option<std::net::SocketAddr> {
        match id == self.core.profile.id {
            true => self.core.profile.client_addr,
            false => self.facts.get(&id)?.client_addr,
        }
    }

    /// The members, by name, with their places.
    fn seats(&self) -> Vec<SeatView> {
        let plan = Plan::between(&self.placement, &self.placement);
        let members = self.roster.members();
        let mut seats: Vec<SeatView> = members
            .map(|(id, claim)| {
                let profile = &claim.profile;
                let tally = plan.nodes.get(&id).copied();
                let Tally { before, after, .. } = tally.unwrap_or_default();
                SeatView {
                    name: profile.name.clone(),
                    id,
                    zone: profile.zone.clone(),
                    host: profile.host.clone(),
                    weight: profile.weight,
                    phase: word(claim.phase),
                    state: self.state(id),
                    owns: before,
                    will_own: after,
                    progress: self.progress(id),
                    me: id == self.core.profile.id,
                }
            })
            .collect();
        seats.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        seats
    }

    fn progress(&self, id: NodeId) -> Option<SeatProgress> {
        if id == self.core.profile.id {
            return Some(own_progress(self.core).0);
        }
        let NodeFacts { progress, .. } = self.facts.get(&id)?;
        let (progress, about) = (*progress)?;
        Some(SeatProgress {
            is_current: about == known(&self.placement),
            ..progress
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(to_move: u64, moved: u64, (since_ms, until_ms): (u64, u64)) -> SeatView {
        SeatView {
            name: "n".to_owned(),
            id: NodeId(1),
            zone: String::new(),
            host: String::new(),
            weight: 100,
            phase: "active",
            state: "alive",
            owns: 0,
            will_own: 0,
            progress: Some(SeatProgress {
                to_move,
                moved,
                bytes: moved,
                since_ms,
                until_ms,
                is_current: true,
            }),
            me: false,
        }
    }

    #[test]
    fn what_was_done_in_an_earlier_change_is_not_counted() {
        let earlier = seat(0, 100, (1_000, 2_000));
        let just_done = seat(0, 7, (90_000, 99_000));
        let busy = seat(3, 4, (100_000, 0));
        let whole = together(&[earlier.clone(), just_done, busy]);
        assert_eq!((whole.to_move, whole.moved, whole.bytes), (3, 11, 11));
        assert_eq!(together(&[earlier]).moved, 0);
    }

    #[test]
    fn who_is_there_must_have_heard_of_the_change_and_be_done() {
        let done = seat(0, 1, (1, 2));
        assert!(is_settled(&done) && !is_settled(&seat(1, 0, (1, 0))));
        let mut silent = done.clone();
        silent.progress = None;
        assert!(!is_settled(&silent));
        silent.state = "failed";
        assert!(is_settled(&silent), "it does nothing, and keeps its place");
        let mut behind = done;
        behind.progress = behind.progress.map(|one| SeatProgress {
            is_current: false,
            ..one
        });
        assert!(!is_settled(&behind));
    }
}
