//! What a roster knows of one member: its claim about itself, and its departure.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::clock::NodeId;

/// Longest name of a member, zone or host in bytes: a host name's label, with its dot. A
/// claim with all three fits a datagram several times over.
pub const LABEL_BYTES_MAX: usize = 64;

/// The weight of an ordinary member. A hundred, so that a member can have a little less.
pub const WEIGHT_DEFAULT: u32 = 100;

/// The greatest weight: a hundred ordinary members in one. Beyond it a weight is a typing
/// error, and the score of a member keeps 34 significant bits up to it.
pub const WEIGHT_MAX: u32 = 10_000;

/// Highest incarnation and version that is believed. Incarnations are generations of the
/// membership room, Unix milliseconds or a stored number plus one; a forged greater one
/// would shut a name out for as long as the roster remembers it.
pub const COUNTER_MAX: u64 = 1 << 48;

/// How far a member has come.
///
/// Who departed has no phase: it is in the roster by its [`Departure`] alone.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum Phase {
    /// It takes its share and owns nothing yet.
    #[default]
    Joining,
    /// It owns what placement gives it.
    Active,
    /// It owns what it did, and hands it to those who will.
    Leaving,
}

impl Phase {
    /// Whether a member in this phase owns partitions now.
    pub fn is_current(self) -> bool {
        matches!(self, Self::Active | Self::Leaving)
    }

    /// Whether a member in this phase owns partitions once the changes under way are done.
    pub fn is_target(self) -> bool {
        matches!(self, Self::Joining | Self::Active)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Joining => "joining",
            Self::Active => "active",
            Self::Leaving => "leaving",
        })
    }
}

/// What placement has to know of a member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Profile {
    /// Its name, for people. At most [`LABEL_BYTES_MAX`] bytes, like zone and host.
    pub name: String,
    /// What fails together on a large scale: a room, a site. Empty is a zone like others.
    pub zone: String,
    /// The machine, by its address: what fails together within a zone. The same host in two
    /// zones is two hosts.
    pub host: String,
    /// Its share relative to others', 1 to [`WEIGHT_MAX`].
    pub weight: u32,
    /// By whose id its scores are drawn: its own, or that of the member whose place it
    /// took. A member with the seat, zone, host and weight of another owns what that one
    /// would, so a replacement moves nothing between the others.
    pub seat: NodeId,
}

impl Profile {
    /// An ordinary member alone on its host.
    pub fn new(id: NodeId, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            zone: String::new(),
            host: name.to_owned(),
            weight: WEIGHT_DEFAULT,
            seat: id,
        }
    }

    /// Whether the profile can be one: outside data is checked before anything else.
    ///
    /// # Errors
    /// The first [`ProfileError`] found.
    pub fn check(&self) -> Result<(), ProfileError> {
        for (label, text) in [
            ("name", &self.name),
            ("zone", &self.zone),
            ("host", &self.host),
        ] {
            if text.len() > LABEL_BYTES_MAX {
                return Err(ProfileError::Label(label));
            }
        }
        if self.weight == 0 || self.weight > WEIGHT_MAX {
            return Err(ProfileError::Weight(self.weight));
        }
        if self.seat.0 == 0 {
            return Err(ProfileError::Seat);
        }
        Ok(())
    }
}

/// Why a profile is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ProfileError {
    /// A name, zone or host is too long.
    #[error("the {0} has more than {LABEL_BYTES_MAX} bytes")]
    Label(&'static str),
    /// The weight is none.
    #[error("the weight is {0}, it must be in 1..={WEIGHT_MAX}")]
    Weight(u32),
    /// The seat is zero, which is nobody's id.
    #[error("the seat is zero, which is no member's id")]
    Seat,
}

/// What a member says of itself. Only the member makes claims, each with a version above
/// those of all facts it knows; the greater claim replaces the lesser, and incarnations
/// come before versions.
///
/// All fields take part in the order, so that even two claims that a broken member made
/// under one version are chosen among alike everywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// Which stay in the cluster: set on joining, kept over restarts, greater on joining
    /// again after a departure.
    pub incarnation: u64,
    /// When it was made, in the order of facts: see [`Roster::version`](super::Roster::version).
    pub version: u64,
    /// How far the member has come.
    pub phase: Phase,
    /// What placement has to know of it.
    pub profile: Profile,
}

/// That a member is gone for good: it left, or was removed by another.
///
/// It ends the stays up to its incarnation, whatever the member claims during them; a later
/// stay is none of its business. The greater replaces the lesser.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Departure {
    /// The last stay that it ends.
    pub incarnation: u64,
    /// When it was stated, in the order of facts.
    pub version: u64,
}

/// All that is known of one name. A claim that the departure ends is not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// The member's own word, while it is a member.
    pub claim: Option<Claim>,
    /// Its last departure, if it ever departed.
    pub departure: Option<Departure>,
}

impl Record {
    /// The least record that says what both say: commutative, associative, idempotent.
    /// Returns whether `self` changed.
    pub fn merge(&mut self, other: &Self) -> bool {
        let departure = self.departure.max(other.departure);
        let ended = departure.map_or(0, |departure| departure.incarnation);
        let claim = (&self.claim)
            .max(&other.claim)
            .as_ref()
            .filter(|claim| claim.incarnation > ended);
        let changed = departure != self.departure || claim != self.claim.as_ref();
        if changed {
            (self.claim, self.departure) = (claim.cloned(), departure);
        }
        changed
    }

    /// The greatest version of its facts, zero without any.
    pub fn version(&self) -> u64 {
        let claim = self.claim.as_ref().map_or(0, |claim| claim.version);
        claim.max(self.departure.map_or(0, |departure| departure.version))
    }

    /// The greatest incarnation it knows of, zero without any.
    pub fn incarnation(&self) -> u64 {
        let claim = self.claim.as_ref().map_or(0, |claim| claim.incarnation);
        claim.max(self.departure.map_or(0, |departure| departure.incarnation))
    }

    /// Whether the record can be one.
    ///
    /// # Errors
    /// The first [`RecordError`] found.
    pub fn check(&self) -> Result<(), RecordError> {
        let claim = self.claim.as_ref();
        let counters = claim.map(|claim| (claim.incarnation, claim.version));
        let departed = self.departure.map(|gone| (gone.incarnation, gone.version));
        for (incarnation, version) in counters.into_iter().chain(departed) {
            for counter in [incarnation, version] {
                if counter == 0 || counter > COUNTER_MAX {
                    return Err(RecordError::Counter);
                }
            }
        }
        if let (Some((claimed, _)), Some((ended, _))) = (counters, departed)
            && claimed <= ended
        {
            return Err(RecordError::Ended);
        }
        claim.map_or(Ok(()), |claim| Ok(claim.profile.check()?))
    }
}

/// Why a record is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// An incarnation or version is none.
    #[error("an incarnation or version is outside 1..={COUNTER_MAX}")]
    Counter,
    /// Its departure ends its claim, which is then not kept.
    #[error("the claim is of a stay that has ended")]
    Ended,
    /// The claim's profile is none.
    #[error(transparent)]
    Profile(#[from] ProfileError),
}
