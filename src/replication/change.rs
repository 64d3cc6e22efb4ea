//! What a key's value is to become, depending on what it is.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Dot;
use crate::object::Amount;

/// What to do with the value of a key, given what it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Give the key a value.
    Set {
        /// The value.
        value: Bytes,
        /// When it ends.
        ends: Ends,
        /// Whether it depends on there being a value.
        only_if: OnlyIf,
        /// Whether the value that it replaces is asked for.
        is_swap: bool,
    },
    /// Add bytes at the end of the value; a key without one begins with the empty value. When
    /// it ends stays.
    Append {
        /// What to add.
        tail: Bytes,
    },
    /// Put bytes in the place of those from `offset` on, with zeros before them where the value
    /// is shorter. When it ends stays. No bytes change nothing.
    Overwrite {
        /// Where the bytes go, counted from 0.
        offset: usize,
        /// The bytes.
        bytes: Bytes,
    },
    /// Add to the value, a number; a key without one begins at 0. When it ends stays. Every
    /// addition counts, also of those that are made on several nodes at once.
    Add {
        /// How much.
        amount: Amount,
        /// Whether it must be an integer of 64 bits, before and after.
        whole: bool,
    },
    /// Delete the value.
    Take,
    /// Choose when the value ends.
    End {
        /// In milliseconds since the Unix epoch; a time that has come deletes the value.
        at_ms: u64,
        /// On what it depends, beside that there is a value.
        only_if: EndsIf,
    },
    /// Let the value have no end. Done if it had one.
    Persist,
}

impl Change {
    /// Whether it may add to what is kept.
    pub fn adds(&self) -> bool {
        match self {
            Self::Set { .. } | Self::Append { .. } | Self::Overwrite { .. } | Self::Add { .. } => {
                true
            }
            Self::Take | Self::End { .. } | Self::Persist => false,
        }
    }

    /// Whether it depends on what is there and does not merge: of two such that are made on
    /// two nodes at once, one would be made for nothing. They are made on one owner of the key.
    pub fn is_decided(&self) -> bool {
        match self {
            Self::Set {
                ends,
                only_if,
                is_swap,
                ..
            } => *is_swap || *only_if != OnlyIf::Always || *ends == Ends::Kept,
            Self::Append { .. } | Self::Overwrite { .. } | Self::Take => true,
            Self::End { only_if, .. } => *only_if != EndsIf::Any,
            Self::Add { .. } | Self::Persist => false,
        }
    }

    /// How many bytes of values it has.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Set { value, .. } => value.len(),
            Self::Append { tail } => tail.len(),
            Self::Overwrite { bytes, .. } => bytes.len(),
            Self::Add { .. } | Self::Take | Self::End { .. } | Self::Persist => 0,
        }
    }
}

/// When a new value ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ends {
    /// It does not.
    Never,
    /// When the one that it replaces would have; not at all if there is none.
    Kept,
    /// Then, in milliseconds since the Unix epoch. A time that has come leaves no value.
    At(u64),
}

/// On what a new value depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnlyIf {
    /// On nothing.
    Always,
    /// There is no value.
    Absent,
    /// There is a value.
    Present,
}

/// On what a new end depends. A value that has no end counts as one that ends last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndsIf {
    /// On nothing.
    Any,
    /// The value has no end.
    Endless,
    /// The value has an end.
    Ending,
    /// The new end is later.
    Later,
    /// The new end is earlier.
    Earlier,
    /// The value has an end, and the new one is earlier.
    EndingEarlier,
}

/// What became of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// Whether what it depends on was so.
    pub done: bool,
    /// The value before it, if there was one.
    pub before: Option<Bytes>,
    /// Bytes of the value after it; 0 if there is none.
    pub length: usize,
    /// What an addition led to.
    pub sum: Option<Amount>,
    /// The write that came of it, if one did.
    pub dot: Option<Dot>,
}
