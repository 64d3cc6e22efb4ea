//! The table of knobs: every setting of `netdb start`, once, one file per group.
//!
//! A row gives the setting's one word, its default, its meaning and how its text is read.
//! The flag (`--write-timeout`), the variable (`NETDB_WRITE_TIMEOUT`) and the key in the
//! file (`write_timeout`) are the same word, and help, precedence and error messages are
//! made from the row, so that none of them can lag behind.

mod data;
mod node;
mod place;
mod process;
mod sync;

use super::knob::Knob;

pub use data::MEMORY_BUDGET_MIN;
pub use place::{EVICT_AFTER_MS_MIN, PARTITIONS_MAX, REPLICAS_MAX};
pub use sync::ARGUMENT_BYTES_MAX;

/// The groups, in the order of the help.
const GROUPS: &[&[Knob]] = &[
    node::KNOBS,
    data::KNOBS,
    sync::KNOBS,
    place::KNOBS,
    process::KNOBS,
];

const COUNT: usize = {
    let (mut count, mut group) = (0, 0);
    while group < GROUPS.len() {
        count += GROUPS[group].len();
        group += 1;
    }
    count
};

static ALL: [Knob; COUNT] = {
    let mut all = [GROUPS[0][0]; COUNT];
    let (mut at, mut group) = (0, 0);
    while group < GROUPS.len() {
        let mut row = 0;
        while row < GROUPS[group].len() {
            all[at] = GROUPS[group][row];
            (at, row) = (at + 1, row + 1);
        }
        group += 1;
    }
    all
};

/// All knobs, in the order of the help.
pub static KNOBS: &[Knob] = &ALL;

impl Knob {
    /// The knob of that key.
    pub fn by_key(key: &str) -> Option<&'static Self> {
        KNOBS.iter().find(|knob| knob.key == key)
    }
}
