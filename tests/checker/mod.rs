//! The history checker: what clients saw, judged without believing the store.
//!
//! It takes a [`History`]: operations with who asked which node, what was answered and
//! between which two moments of one clock, and what every node answered at the end. It
//! trusts no clock, version or context of the store, only that a node which answered `ok`
//! had done the thing. From that it knows some of what each write must have replaced:
//!
//! - A node that acknowledged a write knows it from then on, and one that answered a read
//!   with a value knows the write of that value (if reads are answered from the node's own
//!   state: [`About::local_reads`]).
//! - A write without a context replaces everything its node knows. So it **covers** each
//!   write that its node knew when the write was sent. One with a context covers what the
//!   context says.
//! - Covering is transitive, and knowledge brings it along: a node that knows a write never
//!   again shows what that write covers.
//!
//! That is a lower bound. Writes travel between nodes unseen by clients, so of two writes on
//! different nodes it is mostly unknown whether one replaced the other or a clock decided
//! between them. Nothing is concluded then; that is the blind spot of every rule below.
//!
//! | rule | broken when | blind to |
//! |---|---|---|
//! | [`Rule::ThinAir`] | a value is answered that nobody wrote to that key | nothing: every put has a value of its own |
//! | [`Rule::FailedWrite`] | the value of a refused write is answered | effects of refused deletes |
//! | [`Rule::Future`] | a read ended before the write of its value was sent | delays shorter than the operations |
//! | [`Rule::FalseSibling`] | of two values in one answer one covers the other | answers that show only the winner |
//! | [`Rule::WentBack`] | a node answers a value although it knew before the read a write that covers it: neither a client's own writes nor what it read may be forgotten | siblings hidden behind the winner |
//! | [`Rule::Forgot`] | a node answers nothing although it knew a value that no delete can have covered: every delete ended before the value's write was sent, or was sent after the read ended | keys with a delete whose outcome is unknown |
//! | [`Rule::Stale`] | a node answers a value that had been applied longer than the clocks' disagreement before the write of another value that it knew and that no delete can have covered: last write wins, so the older one cannot win | as above, and histories whose clocks may disagree |
//! | [`Rule::Diverged`] | two nodes answer differently at the end | hidden siblings |
//! | [`Rule::Lost`] | an acknowledged put has no trace at the end: nothing is there and no delete can have covered it; or something older by the clocks is; or, where writes say all that they replaced ([`About::whole`]), no write replaced it | a lost loser: a value that a concurrent one would have hidden anyway. Keys that are written once have no such excuse, so workloads should have many |
//! | [`Rule::Revived`] | a value is there at the end although a write that covers it was applied | values deleted through a node that may not have known them |
//!
//! Why "no delete can have covered it" is enough: a write that covers `v` is made after `v`
//! arrived at its node, so it ends after `v` was sent, and so does whatever covers that one.
//! A chain of puts ends in a value that is there, so an empty answer needs a delete among
//! them, which ended after `v` was sent and was sent before the answer came. And in a chain
//! of puts each has a later timestamp than what it replaced, so what wins is never older
//! than `v`.
//!
//! [`check`] is linear in operations up to logarithms, so histories of a million operations
//! are judged in seconds.
#![allow(dead_code, reason = "each test and bench uses a part of it")]

mod figures;
mod history;
mod order;
mod rules;

pub use figures::Figures;
pub use history::{About, Answer, History, Kind, Operation, Status};
pub use rules::{Rule, Violation};

/// What became of a history.
#[derive(Debug)]
pub struct Verdict {
    /// Everything that must not be, in order of keys.
    pub violations: Vec<Violation>,
    /// How much there was of what.
    pub figures: Figures,
}

impl Verdict {
    /// How often `rule` was broken.
    pub fn count(&self, rule: Rule) -> usize {
        let broken = |violation: &&Violation| violation.rule == rule;
        self.violations.iter().filter(broken).count()
    }
}

/// Judges `history`.
pub fn check(history: &History) -> Verdict {
    let keys = order::Keys::of(history);
    let mut violations = Vec::new();
    let mut figures = Figures::of(history);
    for key in keys.iter() {
        let before = violations.len();
        rules::judge(&history.about, key, &mut violations);
        figures.add_key(key);
        debug_assert!(violations[before..].iter().all(|v| v.key == key.name));
    }
    Verdict {
        violations,
        figures,
    }
}
