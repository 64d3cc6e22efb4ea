//! What a version is beside a plain value: a part of a counter, or an end.

use serde::{Deserialize, Serialize};

use super::amount::Amount;
use crate::clock::Dot;

/// What a version is, if it is not a plain value.
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
    /// When the elements of a key end ([`Lifetime`](super::Lifetime)).
    End {
        /// Elements written before that are gone, in milliseconds since the Unix epoch.
        gone_before_ms: u64,
        /// When the others will be, if they will. Not the version's own end, with which what
        /// says so would go before they are.
        ends_at_ms: Option<u64>,
    },
}

impl Part {
    /// The write that began its counter; none if that began from nothing.
    pub fn epoch(&self) -> Option<Dot> {
        match self {
            Self::Base { epoch, .. } | Self::Sum { epoch, .. } => *epoch,
            Self::End { .. } => None,
        }
    }

    /// When it says that its counter ends, or its elements do.
    pub fn ends_at_ms(&self) -> Option<u64> {
        match self {
            Self::Base { ends_at_ms, .. }
            | Self::Sum { ends_at_ms, .. }
            | Self::End { ends_at_ms, .. } => *ends_at_ms,
        }
    }
}
