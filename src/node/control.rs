//! This node's place in the cluster: what it knows of the roster, and what it says of itself.
//!
//! A node is in one of these states, by its own claim in the roster that it knows:
//!
//! - *nobody*: it has no claim. It joins as soon as it knows of a member; if it never does, it
//!   founds a cluster of its own.
//! - *joining*: it fetches what it will own. It says the word `active` when it has all that
//!   the roster with that word makes it own; if it takes a dead member's seat, it says in the
//!   same breath that this one departed.
//! - *active*: it owns.
//! - *leaving*: it owns until everything it holds is held by the owners of the roster without
//!   it; then it departs.
//!
//! Two clusters that began apart may meet. The elder's copies are whole; what the members of
//! the younger have is compared with them before it is served again.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::away::Away;
use super::member::{JoinError, LeaveError, MemberParams, RemoveError};
use super::memory::Memory;
use super::seats::{free_seat, has_heirs, is_last, word};
use super::view::View;
use crate::clock::NodeId;
use crate::machine::Instant;
use crate::placement::{
    Claim, Founding, Keyspace, PartitionId, Phase, Placement, Profile, Record, Roster, RosterError,
};

/// What a node wants to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intent {
    Stay,
    /// Hand everything off and go; by force without waiting for that.
    Leave {
        force: bool,
    },
    Gone,
}

/// What a node has to do about its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    None,
    /// Mark all its copies as not whole, then [`Control::join`].
    Join,
    /// [`Control::activate`], if it holds all of [`Control::to_hold`].
    Activate,
    /// Ask the owners without this node whether they have all that it holds, and
    /// [`Control::depart`] when they do.
    HandOff,
    /// [`Control::depart`].
    Depart,
}

/// What a peer's roster brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Learned {
    /// Something was not known here.
    pub(super) is_news: bool,
    /// The peer's cluster is the elder: what is here is not whole.
    pub(super) is_elder: bool,
}

/// This node's place in the cluster.
pub(super) struct Control {
    me: NodeId,
    keyspace: Keyspace,
    replicas: u8,
    params: MemberParams,
    intent: Intent,
    memory: Memory,
    reachable: BTreeSet<NodeId>,
    placement: Arc<Placement>,
    /// The placement by the roster with what this node is about to say.
    ahead: Option<Arc<Placement>>,
    join_error: Option<JoinError>,
    /// It hands off and takes no more part: nothing new comes to what it holds.
    doors_closed: bool,
    /// The peers that know as much of the roster.
    told: BTreeSet<NodeId>,
    away: Away,
}

impl Control {
    pub(super) fn new(
        me: NodeId,
        keyspace: Keyspace,
        replicas: u8,
        params: MemberParams,
        memory: Memory,
    ) -> Self {
        // Of nobody, until it is known below what is to be placed.
        let placement = Arc::new(Placement::of(&Roster::default(), keyspace, replicas));
        let mut control = Self {
            me,
            keyspace,
            replicas,
            params,
            intent: Intent::Stay,
            memory,
            reachable: BTreeSet::new(),
            placement,
            ahead: None,
            join_error: None,
            doors_closed: false,
            told: BTreeSet::new(),
            away: Away::default(),
        };
        control.changed();
        control
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn roster(&self) -> &Roster {
        &self.memory.roster
    }

    /// The fingerprint of the roster.
    pub(super) fn fingerprint(&self) -> u64 {
        self.memory.roster.fingerprint()
    }

    pub(super) fn join_error(&self) -> Option<JoinError> {
        self.join_error
    }

    /// How far this node has come; none if it is no member.
    pub(super) fn phase(&self) -> Option<Phase> {
        self.claim().map(|claim| claim.phase)
    }

    /// Whether it has left for good.
    pub(super) fn is_gone(&self) -> bool {
        self.intent == Intent::Gone
    }

    fn claim(&self) -> Option<&Claim> {
        self.memory.roster.member(self.me)
    }

    /// Who can be reached now. Returns whether that is news.
    pub(super) fn reach(&mut self, reachable: BTreeSet<NodeId>) -> bool {
        let is_news = self.reachable != reachable;
        self.away.are_back(&reachable);
        self.reachable = reachable;
        is_news
    }

    /// A member that has been out of reach for too long, if it is for this node to say so.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<NodeId> {
        let me = (self.me, &self.memory.roster);
        let evict_after = self.params.evict_after;
        self.away.overdue(now, me, &self.reachable, evict_after)
    }

    pub(super) fn reachable(&self) -> &BTreeSet<NodeId> {
        &self.reachable
    }

    /// `peer` knows a roster with this fingerprint. Returns whether that is as much as this node
    /// knows.
    pub(super) fn told(&mut self, peer: NodeId, fingerprint: u64) -> bool {
        let knows_as_much = fingerprint == self.memory.roster.fingerprint();
        if knows_as_much {
            self.told.insert(peer);
        }
        knows_as_much
    }

    /// Whether some other node knows as much of the roster.
    pub(super) fn is_told(&self) -> bool {
        !self.told.is_empty()
    }

    /// Whether this node leaves, and others have to get what it holds.
    pub(super) fn hands_off(&self) -> bool {
        self.intent == Intent::Leave { force: false } && self.phase().is_some()
    }

    /// Those to whom this node hands off a partition, if it hands off. None of them leaves, since
    /// two that waited for each other would never go. One that is still joining hands off to
    /// those who own now: others wait for it to go, since they do not know that they will own
    /// what it seems to take.
    pub(super) fn heirs(&self, id: PartitionId) -> Option<BTreeSet<NodeId>> {
        let heirs = match self.phase() {
            Some(Phase::Joining) => self.placement.current(id),
            _ => self.placement.heirs(id),
        };
        self.hands_off().then(|| heirs.iter().copied().collect())
    }

    /// Takes no more part in anything. Returns whether that is news.
    pub(super) fn close_doors(&mut self) -> bool {
        !std::mem::replace(&mut self.doors_closed, true)
    }

    pub(super) fn view(&self) -> View {
        let view = View::of(
            self.me,
            &self.memory.roster,
            self.placement.clone(),
            self.ahead.as_deref(),
            self.reachable.clone(),
        );
        match self.doors_closed || self.is_gone() {
            true => view.departing(),
            false => view,
        }
    }

    /// Takes in what a peer knows.
    pub(super) fn learn(
        &mut self,
        founding: Option<Founding>,
        records: &[(NodeId, Record)],
    ) -> Result<Learned, RosterError> {
        let mut learned = Learned::default();
        let mut refused = None;
        for (id, record) in records {
            match self.memory.roster.learn(*id, record) {
                Ok(is_news) => learned.is_news |= is_news,
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        if let Some(theirs) = founding
            && self.memory.founding.is_none_or(|ours| theirs < ours)
        {
            learned.is_elder = self.memory.founding.is_some();
            learned.is_news = true;
            self.memory.founding = Some(theirs);
        }
        if learned.is_news {
            self.changed();
        }
        refused.map_or(Ok(learned), Err)
    }

    /// What is to be done.
    pub(super) fn step(&mut self) -> Step {
        match (self.intent, self.phase()) {
            (Intent::Gone, _) => Step::None,
            (Intent::Leave { .. }, None) => {
                self.intent = Intent::Gone;
                Step::None
            }
            (Intent::Leave { force: true }, Some(_)) => Step::Depart,
            (Intent::Leave { force: false }, Some(_)) if is_last(&self.memory.roster, self.me) => {
                self.intent = Intent::Stay;
                self.doors_closed = false;
                self.changed();
                Step::Activate
            }
            (Intent::Leave { force: false }, Some(_)) => Step::HandOff,
            (Intent::Stay, None) if self.memory.roster.is_empty() => Step::None,
            (Intent::Stay, None) => Step::Join,
            (Intent::Stay, Some(Phase::Joining | Phase::Leaving)) => Step::Activate,
            (Intent::Stay, Some(Phase::Active)) => Step::None,
        }
    }

    /// Founds a cluster, if this node knows of no member.
    pub(super) fn found(&mut self, at_ms: u64) -> Result<bool, RosterError> {
        if !self.memory.roster.is_empty() || self.intent != Intent::Stay {
            return Ok(false);
        }
        self.memory.founding = Some(Founding { at_ms, by: self.me });
        self.state_join(self.me)?;
        self.memory.roster.advance(self.me, Phase::Active)?;
        self.changed();
        Ok(true)
    }

    /// Joins the members that this node knows of.
    pub(super) fn join(&mut self) -> Result<bool, RosterError> {
        let seat = match self.params.replace {
            None => free_seat(&self.memory.roster, self.me),
            Some(replaced) => match self.memory.roster.member(replaced) {
                Some(_) if self.reachable.contains(&replaced) => {
                    self.join_error = Some(JoinError::ReplacedAlive);
                    return Ok(false);
                }
                Some(claim) => claim.profile.seat,
                None => {
                    self.join_error = Some(JoinError::NothingToReplace);
                    return Ok(false);
                }
            },
        };
        self.join_error = None;
        self.state_join(seat)?;
        self.changed();
        Ok(true)
    }

    /// Comes to own, and lets those depart whose seat this node has taken.
    pub(super) fn activate(&mut self) -> Result<(), RosterError> {
        self.memory.roster = word(&self.memory.roster, self.me)?;
        self.changed();
        Ok(())
    }

    /// Goes for good.
    pub(super) fn depart(&mut self) -> Result<(), RosterError> {
        self.intent = Intent::Gone;
        self.memory.roster.depart(self.me)?;
        self.changed();
        Ok(())
    }

    /// Begins to leave.
    pub(super) fn leave(&mut self, force: bool) -> Result<(), LeaveError> {
        let phase = self.phase().ok_or(LeaveError::NotMember)?;
        if !force && !has_heirs(&self.memory.roster, self.me) {
            return Err(LeaveError::LastMember);
        }
        self.intent = Intent::Leave { force };
        // A joining one owns nothing, but may hold what nobody else has: of another cluster, or
        // of a time before it was removed.
        if !force && phase == Phase::Active {
            // Fails for lack of counters only, and then it departs by force.
            let stated = self.memory.roster.advance(self.me, Phase::Leaving);
            if stated.is_err() {
                self.intent = Intent::Leave { force: true };
            }
        }
        self.changed();
        Ok(())
    }

    /// States that another member is gone for good.
    pub(super) fn remove(&mut self, id: NodeId, is_alive: bool) -> Result<(), RemoveError> {
        if id == self.me {
            return Err(RemoveError::Myself);
        }
        let claim = self.memory.roster.member(id);
        let phase = claim.ok_or(RemoveError::NotMember)?.phase;
        if is_alive {
            return Err(RemoveError::Alive);
        }
        if phase.is_current() && !has_heirs(&self.memory.roster, id) {
            return Err(RemoveError::LastMember);
        }
        let stated = self.memory.roster.depart(id);
        stated.map_err(|_| RemoveError::NotMember)?;
        self.changed();
        Ok(())
    }

    /// The partitions that this node must hold before it may own.
    pub(super) fn to_hold(&self) -> Vec<PartitionId> {
        let placement = self.ahead.as_deref().unwrap_or(&self.placement);
        let all = self.keyspace.all();
        all.filter(|id| placement.current(*id).contains(&self.me))
            .collect()
    }

    fn state_join(&mut self, seat: NodeId) -> Result<(), RosterError> {
        let profile = Profile {
            seat,
            ..self.params.profile.clone()
        };
        self.memory
            .roster
            .join(self.me, self.params.generation, profile)
    }

    /// The roster changed.
    fn changed(&mut self) {
        // How a node describes itself is its own to say, and may differ since it joined.
        if self.intent == Intent::Stay
            && let Some(claim) = self.claim()
        {
            let profile = Profile {
                seat: claim.profile.seat,
                ..self.params.profile.clone()
            };
            // Fails for lack of counters only: then the old description stays.
            let _ = self.memory.roster.describe(self.me, profile);
        }
        let roster = &self.memory.roster;
        self.placement = Arc::new(Placement::of(roster, self.keyspace, self.replicas));
        self.told.clear();
        self.look_ahead();
    }

    fn look_ahead(&mut self) {
        let speaks = matches!(self.phase(), Some(Phase::Joining | Phase::Leaving));
        let roster = (speaks && self.intent == Intent::Stay)
            .then(|| word(&self.memory.roster, self.me).ok());
        self.ahead = roster
            .flatten()
            .map(|roster| Arc::new(Placement::of(&roster, self.keyspace, self.replicas)));
    }
}
