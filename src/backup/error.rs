//! Why bytes are no backup.

use thiserror::Error;

use super::limits::{FRAME_BYTES_MAX, VERSION};
use crate::clock::{ClockError, Dot};

/// What is wrong with bytes that should be a backup.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Flaw {
    /// It begins otherwise.
    #[error("not a netdb backup")]
    NotABackup,
    /// It was written in another format.
    #[error("backup has format {0}, this program reads {VERSION}")]
    Version(u16),
    /// The file ends too early.
    #[error("file ends in the middle: it was cut off, or never finished")]
    Truncated,
    /// The file goes on after its end.
    #[error("more bytes after the end of the backup")]
    Trailing,
    /// A frame is not what was written.
    #[error("checksum does not match")]
    Checksum,
    /// A frame longer than any that is written.
    #[error("frame of {0} bytes, at most {FRAME_BYTES_MAX}")]
    FrameTooLong(usize),
    /// A kind of frame that there is not.
    #[error("unknown kind of frame {0}")]
    Kind(u8),
    /// A frame where another should be.
    #[error("{found} where {expected} should be")]
    OutOfTurn {
        /// What there is.
        found: String,
        /// What should be there.
        expected: String,
    },
    /// A frame that ends before what it holds does.
    #[error("frame ends within what it holds")]
    Short,
    /// A frame that goes on after what it holds.
    #[error("{0} bytes too many in a frame")]
    Long(usize),
    /// A number that is not in its one form.
    #[error("number that is none")]
    Number,
    /// Something beyond its limit.
    #[error("{what} beyond the limit of {limit}")]
    Limit {
        /// What.
        what: &'static str,
        /// The most that there may be.
        limit: usize,
    },
    /// Text that is not UTF-8.
    #[error("text that is not UTF-8")]
    Text,
    /// Something that must ascend and does not.
    #[error("{0} not in ascending order")]
    Order(&'static str),
    /// An index that is in no table.
    #[error("actor {0} is not in the table of its frame")]
    NoActor(u64),
    /// Something wrong with a set of dots.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// A row that says nothing.
    #[error("row without a version or context")]
    EmptyRow,
    /// A key in the wrong partition.
    #[error("key of partition {0}")]
    ForeignKey(u16),
    /// A key that came before.
    #[error("key that was there before")]
    KeyTwice,
    /// A write that came before.
    #[error("write {0:?} that was there before")]
    DotTwice(Dot),
    /// A version that the clock does not know.
    #[error("version {0:?} that the clock of its partition does not know")]
    UnknownDot(Dot),
    /// Counts that do not match what was counted.
    #[error("{found} {what}, but {declared} are declared")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: u64,
        /// How many it says there are.
        declared: u64,
    },
}

/// A flaw, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("byte {at}, frame {frame}{}: {flaw}", within(*partition))]
pub struct Damage {
    /// The byte at which the frame begins, or at which the file ends.
    pub at: u64,
    /// The number of the frame, from 0.
    pub frame: u64,
    /// The partition that it is about, if it is known.
    pub partition: Option<u16>,
    /// What is wrong.
    pub flaw: Flaw,
}

fn within(partition: Option<u16>) -> String {
    partition.map_or_else(String::new, |partition| format!(", partition {partition}"))
}
