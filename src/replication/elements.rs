//! What clients ask of sets and hashes, and do to them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Dot;
use crate::object::{Amount, Kind};

/// The most elements that one [`Alter`] names or takes, and the most that are deleted with a key
/// in one step: about a millisecond during which the key's shard does nothing else.
pub const ELEMENTS_MAX: usize = 512;

/// A question about the elements of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// How many there are.
    Count,
    /// What each of these shows, if it is there. Refused if that is more than one value may be.
    Values {
        /// The elements, at most [`ELEMENTS_MAX`].
        elements: Vec<Bytes>,
    },
    /// Those whose hash is at least this, in the order of hashes.
    Page {
        /// The least hash.
        from: u64,
        /// About how many.
        count: usize,
    },
    /// Some, each once, as chance has it.
    Sample {
        /// The chance.
        seed: u64,
        /// How many, at most [`ELEMENTS_MAX`], if there are as many; fewer if they are long.
        count: usize,
    },
}

/// A change of the elements of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Alter {
    /// These are there from now on, each with its value; that of a set's member is empty.
    Put {
        /// The elements, at most [`ELEMENTS_MAX`].
        elements: Vec<(Bytes, Bytes)>,
        /// What of them is written.
        only: Only,
    },
    /// These are not.
    Remove {
        /// The elements, at most [`ELEMENTS_MAX`].
        elements: Vec<Bytes>,
    },
    /// Adds to what a field shows, a number; one that is not there begins at 0. Every addition
    /// counts, also of those that are made on several nodes at once.
    Add {
        /// The field.
        element: Bytes,
        /// How much.
        amount: Amount,
        /// Whether it must be an integer of 64 bits, before and after.
        whole: bool,
    },
    /// Some are not, as chance has it.
    Pop {
        /// The chance.
        seed: u64,
        /// How many, at most [`ELEMENTS_MAX`], if there are as many; fewer if they are long.
        count: usize,
    },
}

/// What of the elements to [put](Alter::Put) is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Only {
    /// All.
    All,
    /// Those that are not there.
    Absent,
    /// All, and whatever else the key had goes.
    These,
}

impl Ask {
    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Values { elements } => elements.iter().map(Bytes::len).sum(),
            Self::Count | Self::Page { .. } | Self::Sample { .. } => 0,
        }
    }
}

impl Alter {
    /// Whether it may add to what is kept.
    pub fn adds(&self) -> bool {
        matches!(self, Self::Put { .. } | Self::Add { .. })
    }

    /// Whether it depends on what is there and does not merge.
    pub fn is_decided(&self) -> bool {
        match self {
            Self::Put { only, .. } => *only == Only::Absent,
            Self::Pop { .. } => true,
            Self::Remove { .. } | Self::Add { .. } => false,
        }
    }

    /// Whether it takes the place of whatever the key holds.
    pub fn replaces(&self) -> bool {
        matches!(
            self,
            Self::Put {
                only: Only::These,
                ..
            }
        )
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Put { elements, .. } => elements.iter().map(|(e, v)| e.len() + v.len()).sum(),
            Self::Remove { elements } => elements.iter().map(Bytes::len).sum(),
            Self::Add { element, .. } => element.len(),
            Self::Pop { .. } => 0,
        }
    }
}

/// What became of a change of elements.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Altered {
    /// How many elements came, or went.
    pub count: u64,
    /// Those that were taken by chance.
    pub taken: Vec<Bytes>,
    /// What an addition led to.
    pub sum: Option<Amount>,
    /// Whether anything was written.
    pub done: bool,
    /// The last of the writes, if there were any.
    pub dot: Option<Dot>,
    /// Whether the key had elements and has none.
    pub is_emptied: bool,
}

/// What a key holds, without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Of which kind its elements are; none if it has a value.
    pub kind: Option<Kind>,
    /// How many elements; of a value, how many bytes.
    pub size: u64,
    /// When it ends, in milliseconds since the Unix epoch, if it does.
    pub ends_at_ms: Option<u64>,
}
