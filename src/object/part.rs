//! What a version is to a counter.

use serde::{Deserialize, Serialize};

use super::amount::Amount;
use crate::clock::Dot;

/// What a version is to a counter, if it is not a plain value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Part {
    /// The base, its end chosen anew.
    Base {
        /// The write that began the counter; none if that began from nothing.
        epoch: Option<Dot>,
        /// When the counter ends, in milliseconds since the Unix epoch, if it does. Not the
        /// version's own end, with which the base alone would go.
        ends_at_ms: Option<u64>,
    },
    /// What one actor has added.
    Sum {
        /// The write that began the counter; none if that began from nothing.
        epoch: Option<Dot>,
        /// All that it added.
        sum: Amount,
        /// When the counter ended, as far as its actor knew: for when there is no base.
        ends_at_ms: Option<u64>,
    },
}

impl Part {
    /// The write that began its counter; none if that began from nothing.
    pub fn epoch(&self) -> Option<Dot> {
        match self {
            Self::Base { epoch, .. } | Self::Sum { epoch, .. } => *epoch,
        }
    }

    /// When it says that its counter ends.
    pub fn ends_at_ms(&self) -> Option<u64> {
        match self {
            Self::Base { ends_at_ms, .. } | Self::Sum { ends_at_ms, .. } => *ends_at_ms,
        }
    }
}
