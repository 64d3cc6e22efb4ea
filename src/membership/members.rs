//! What the rest of the node is told about a member.

use serde::{Deserialize, Serialize};

use super::identity::Identity;
use crate::machine::Now;

/// The incarnation of a `Down` entry that means "left", not "failed".
pub(super) const LEFT_INCARNATION: u16 = u16::MAX;

/// What is believed about a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum State {
    /// It answers.
    Alive,
    /// It did not answer a probe and has not yet proved that it lives. Treat it as alive.
    Suspect,
    /// It did not prove it in time: it crashed, or is cut off.
    Failed,
    /// It said that it leaves.
    Left,
}

impl State {
    /// Whether the member takes part: alive, or suspect and not yet buried.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

/// One member, this node included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who it is.
    pub identity: Identity,
    /// What is believed about it.
    pub state: State,
    /// The SWIM incarnation: how often it refuted a suspicion under this identity.
    pub incarnation: u64,
    /// When the state became what it is, as seen here. For a member that was gone before
    /// this node came, as told by others.
    pub since: Now,
}
