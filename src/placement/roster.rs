//! The roster: who joined and has not left for good.
//!
//! A roster is a join-semilattice: a map from ids to [`Record`]s, of which each merges on
//! its own, and a record is a pair of two maxima. So nodes that know the same facts have
//! equal rosters, whatever the order in which they learned of them and however often.
//! Nothing here asks who is alive: a crashed member stays until it is removed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use xxhash_rust::xxh3::Xxh3Default;

use super::member::RecordError;
use super::member::{COUNTER_MAX, Claim, Departure, Phase, Profile, ProfileError, Record};
use crate::clock::NodeId;

/// Most members of one roster: four times what membership admits, so that a cluster that
/// grows over its limit by a race still has a placement.
pub const MEMBERS_MAX: usize = 4_096;

/// Most names of one roster, departed ones included: a departure must be remembered, for
/// an old claim would bring the member back. A hundred new names a day for nearly two
/// years, in some 12 MiB.
pub const NAMES_MAX: usize = 65_536;

/// When a cluster began, and which node began it: the elder of two that meet is the one whose
/// copies are whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Founding {
    /// In milliseconds since the Unix epoch, by that node's clock.
    pub at_ms: u64,
    /// The node.
    pub by: NodeId,
}

/// The members of a cluster and those who departed, as far as one node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    try_from = "BTreeMap<NodeId, Record>",
    into = "BTreeMap<NodeId, Record>"
)]
pub struct Roster {
    records: BTreeMap<NodeId, Record>,
    members: usize,
}

/// Why a fact does not enter a roster; the roster is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RosterError {
    /// The id is zero, which names nobody.
    #[error("the node id is zero, a member's id is not")]
    ZeroId,
    /// There is no such member, or it departed.
    #[error("{0} is not a member")]
    NotMember(NodeId),
    /// It joined before and has not departed.
    #[error("{0} is a member already")]
    Member(NodeId),
    /// The counters are at their end.
    #[error("incarnations and versions end at {COUNTER_MAX}")]
    Exhausted,
    /// There would be too many members.
    #[error("more than {MEMBERS_MAX} members")]
    Members,
    /// There would be too many names.
    #[error("more than {NAMES_MAX} names, departed ones included")]
    Names,
    /// The record is none.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl From<ProfileError> for RosterError {
    fn from(error: ProfileError) -> Self {
        Self::Record(error.into())
    }
}

impl Roster {
    /// What is known of `id`.
    pub fn record(&self, id: NodeId) -> Option<&Record> {
        self.records.get(&id)
    }

    /// All that is known, by id: what another node needs to know as much.
    pub fn records(&self) -> impl Iterator<Item = (NodeId, &Record)> {
        self.records.iter().map(|(id, record)| (*id, record))
    }

    /// The claim of `id`, if it is a member.
    pub fn member(&self, id: NodeId) -> Option<&Claim> {
        self.record(id)?.claim.as_ref()
    }

    /// The members, by id.
    pub fn members(&self) -> impl Iterator<Item = (NodeId, &Claim)> {
        self.records()
            .filter_map(|(id, record)| Some((id, record.claim.as_ref()?)))
    }

    /// The number of members.
    pub fn len(&self) -> usize {
        self.members
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.members == 0
    }

    /// How far the roster has come: the greatest version of its facts. A new fact has the
    /// next, as with Lamport's clock, so a roster that knows of a fact has at least its
    /// version. Equal versions do not mean equal rosters; equal
    /// [fingerprints](Self::fingerprint) do.
    pub fn version(&self) -> u64 {
        self.records
            .values()
            .map(Record::version)
            .max()
            .unwrap_or(0)
    }

    /// A hash over all facts: equal on nodes that know the same.
    pub fn fingerprint(&self) -> u64 {
        let mut hash = Xxh3Default::new();
        for (id, record) in &self.records {
            let departure = record.departure.unwrap_or_default();
            for number in [id.0, departure.incarnation, departure.version] {
                hash.update(&number.to_le_bytes());
            }
            let Some(claim) = &record.claim else {
                hash.update(&[0]);
                continue;
            };
            let profile = &claim.profile;
            hash.update(&[1 + claim.phase as u8]);
            for number in [claim.incarnation, claim.version, profile.seat.0] {
                hash.update(&number.to_le_bytes());
            }
            hash.update(&profile.weight.to_le_bytes());
            for label in [&profile.name, &profile.zone, &profile.host] {
                hash.update(&(label.len() as u64).to_le_bytes());
                hash.update(label.as_bytes());
            }
        }
        hash.digest()
    }

    /// Takes in what another node knows of `id`. Returns whether that was news.
    ///
    /// # Errors
    /// What cannot be a fact, and what there is no room for.
    pub fn learn(&mut self, id: NodeId, record: &Record) -> Result<bool, RosterError> {
        if id.0 == 0 {
            return Err(RosterError::ZeroId);
        }
        record.check()?;
        let known = self.records.get(&id);
        let mut merged = known.cloned().unwrap_or_default();
        if !merged.merge(record) {
            return Ok(false);
        }
        let was_member = known.is_some_and(|known| known.claim.is_some());
        let members = self.members - usize::from(was_member) + usize::from(merged.claim.is_some());
        if members > MEMBERS_MAX {
            return Err(RosterError::Members);
        }
        if known.is_none() && self.records.len() >= NAMES_MAX {
            return Err(RosterError::Names);
        }
        self.members = members;
        self.records.insert(id, merged);
        Ok(true)
    }

    /// Takes in all that `other` knows. Returns whether anything was news.
    ///
    /// # Errors
    /// What there is no room for is left out, and the first such error is returned. Only
    /// then does it matter in which order rosters are merged.
    pub fn merge(&mut self, other: &Self) -> Result<bool, RosterError> {
        let mut news = false;
        let mut refused = None;
        for (id, record) in other.records() {
            match self.learn(id, record) {
                Ok(new) => news |= new,
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        refused.map_or(Ok(news), Err)
    }

    /// States that `id` joins: a new stay, in phase `joining`. For `id` itself to say.
    ///
    /// `generation` is that of its process. The incarnation is this or, where the roster
    /// knows of a later one, the next.
    ///
    /// # Errors
    /// It is a member already; the profile is none; there is no room.
    pub fn join(
        &mut self,
        id: NodeId,
        generation: u64,
        profile: Profile,
    ) -> Result<(), RosterError> {
        let record = self.record(id);
        if record.is_some_and(|record| record.claim.is_some()) {
            return Err(RosterError::Member(id));
        }
        let claim = Claim {
            incarnation: generation.max(next(record.map_or(0, Record::incarnation))?),
            version: next(self.version())?,
            phase: Phase::Joining,
            profile,
        };
        self.claim(id, claim)
    }

    /// States that `id` came into `phase`. For `id` itself to say.
    ///
    /// # Errors
    /// It is not a member.
    pub fn advance(&mut self, id: NodeId, phase: Phase) -> Result<(), RosterError> {
        let known = self.member(id).ok_or(RosterError::NotMember(id))?;
        if known.phase == phase {
            return Ok(());
        }
        let claim = Claim {
            version: next(self.version())?,
            phase,
            ..known.clone()
        };
        self.claim(id, claim)
    }

    /// States that `id` is described by `profile` now. For `id` itself to say.
    ///
    /// # Errors
    /// It is not a member; the profile is none.
    pub fn describe(&mut self, id: NodeId, profile: Profile) -> Result<(), RosterError> {
        let known = self.member(id).ok_or(RosterError::NotMember(id))?;
        if known.profile == profile {
            return Ok(());
        }
        let claim = Claim {
            version: next(self.version())?,
            profile,
            ..known.clone()
        };
        self.claim(id, claim)
    }

    /// States that `id` is gone for good. For `id` itself to say when it has left, and for
    /// any node that removes or evicts it.
    ///
    /// # Errors
    /// It is not a member.
    pub fn depart(&mut self, id: NodeId) -> Result<(), RosterError> {
        let known = self.member(id).ok_or(RosterError::NotMember(id))?;
        let departure = Departure {
            incarnation: known.incarnation,
            version: next(self.version())?,
        };
        let record = Record {
            claim: None,
            departure: Some(departure),
        };
        self.learn(id, &record).map(|_| ())
    }

    fn claim(&mut self, id: NodeId, claim: Claim) -> Result<(), RosterError> {
        let record = Record {
            claim: Some(claim),
            departure: None,
        };
        self.learn(id, &record).map(|_| ())
    }
}

/// The counter after `counter`.
fn next(counter: u64) -> Result<u64, RosterError> {
    if counter < COUNTER_MAX {
        Ok(counter + 1)
    } else {
        Err(RosterError::Exhausted)
    }
}

impl TryFrom<BTreeMap<NodeId, Record>> for Roster {
    type Error = RosterError;

    fn try_from(records: BTreeMap<NodeId, Record>) -> Result<Self, RosterError> {
        let mut roster = Self::default();
        for (id, record) in &records {
            roster.learn(*id, record)?;
        }
        Ok(roster)
    }
}

impl From<Roster> for BTreeMap<NodeId, Record> {
    fn from(roster: Roster) -> Self {
        roster.records
    }
}
