//! What was asked and said about copies that are to be given up; what is done about it is in
//! `handing`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::{Clock, NodeId};
use crate::machine::Instant;
use crate::placement::PartitionId;

/// How long an answer may take before the question is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What was asked about one copy.
#[derive(Debug)]
struct Asked {
    id: u64,
    /// What the copy was.
    clock: Clock,
    at: Instant,
    confirmed: BTreeSet<NodeId>,
}

/// What was asked about the copies that are to be given up.
#[derive(Debug)]
pub(super) struct Holdings {
    asked: BTreeMap<PartitionId, Asked>,
    /// The copies that all heirs had, as they were at some time since the roster changed.
    met: BTreeSet<PartitionId>,
    next_id: u64,
    /// Where the next turn begins.
    cursor: u16,
}

impl Holdings {
    pub(super) fn new(first_id: u64) -> Self {
        Self {
            asked: BTreeMap::new(),
            met: BTreeSet::new(),
            next_id: first_id,
            cursor: 0,
        }
    }

    /// What was said before counts no more.
    pub(super) fn forget(&mut self) {
        self.asked.clear();
        self.met.clear();
    }

    /// Whether all heirs had the copy at some time since the roster changed.
    pub(super) fn is_met(&self, id: PartitionId) -> bool {
        self.met.contains(&id)
    }

    /// Where the next turn begins.
    pub(super) fn cursor(&self) -> u16 {
        self.cursor
    }

    /// The next turn begins there.
    pub(super) fn go_on_at(&mut self, cursor: u16) {
        self.cursor = cursor;
    }

    /// A copy was given up: what was said of it says nothing of the next one.
    pub(super) fn forget_one(&mut self, id: PartitionId) {
        self.asked.remove(&id);
        self.met.remove(&id);
    }

    /// Asks about a copy of `clock`, if it is time; the question's number and who was not heard.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        id: PartitionId,
        clock: &Clock,
        heirs: &BTreeSet<NodeId>,
    ) -> Option<(u64, Vec<NodeId>)> {
        let known = self.asked.get(&id);
        if known.is_some_and(|asked| now.since(asked.at) < ASK_AGAIN_AFTER) {
            return None;
        }
        let asked = self.asked.get_mut(&id);
        let asked = match asked.filter(|asked| asked.clock == *clock) {
            Some(asked) => asked,
            None => {
                let asked = Asked {
                    id: self.next_id,
                    clock: clock.clone(),
                    at: now,
                    confirmed: BTreeSet::new(),
                };
                self.next_id = self.next_id.wrapping_add(1);
                self.asked.insert(id, asked);
                self.asked.get_mut(&id)?
            }
        };
        asked.at = now;
        let silent = heirs.difference(&asked.confirmed).copied().collect();
        Some((asked.id, silent))
    }

    /// Notes that `from` holds what was asked about. Returns whether that was the last of the
    /// `heirs`.
    pub(super) fn note(
        &mut self,
        from: NodeId,
        id: PartitionId,
        question: u64,
        heirs: &BTreeSet<NodeId>,
    ) -> bool {
        let asked = self.asked.get_mut(&id);
        let Some(asked) = asked.filter(|asked| asked.id == question) else {
            return false;
        };
        asked.confirmed.insert(from);
        let is_met = heirs.is_subset(&asked.confirmed);
        if is_met {
            self.met.insert(id);
        }
        is_met
    }

    /// Whether all `heirs` have said that they hold a copy of `clock`.
    pub(super) fn is_held(&self, id: PartitionId, clock: &Clock, heirs: &BTreeSet<NodeId>) -> bool {
        let asked = self.asked.get(&id);
        !heirs.is_empty()
            && asked.is_some_and(|a| a.clock == *clock && heirs.is_subset(&a.confirmed))
    }
}
