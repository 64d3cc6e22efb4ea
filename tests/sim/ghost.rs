//! What is really true, kept outside the nodes: which write each dot names, what it
//! replaced and what its coordinator knew (PROTOCOL section 2).

use std::collections::{BTreeMap, BTreeSet};

use netdb::clock::{ActorId, Clock, Dot, VersionVector};

use crate::history::Value;

pub type Dots = BTreeSet<Dot>;

/// One write, as its coordinator accepted it.
#[derive(Clone, Debug)]
pub struct Issue {
    pub key: u8,
    /// The value of a put; a delete has none.
    pub value: Option<Value>,
    /// Every dot of the key that it replaced.
    pub past: Dots,
    /// Every dot of the key that the coordinator's object then included, this one too.
    pub whole: Dots,
}

/// The writes of a run.
#[derive(Debug, Default)]
pub struct Ghost {
    pub issued: BTreeMap<Dot, Issue>,
    /// Writes of which the last copy was destroyed. When their actor is closed their dots are
    /// void: sealed holes, without an effect (PROTOCOL 3.9, S10).
    pub destroyed: Dots,
    /// Actors that some replica has closed.
    closed: BTreeSet<ActorId>,
}

impl Ghost {
    /// The dots of `key` whose effect a replica with this clock has (S8).
    pub fn knowledge(&self, clock: &Clock, key: u8) -> Dots {
        let mut known = Dots::new();
        for (dot, issue) in &self.issued {
            let void = self.is_void(*dot);
            if issue.key == key && !known.contains(dot) && clock.contains(*dot) && !void {
                known.extend(issue.whole.iter().copied());
            }
        }
        known
    }

    /// The dots of `key` that what a client read of it includes (S4).
    pub fn included(&self, context: &VersionVector, key: u8) -> Dots {
        let of_key = self.issued.iter().filter(|(_, issue)| issue.key == key);
        let dots = of_key.map(|(dot, _)| *dot);
        dots.filter(|dot| context.contains(*dot) && !self.is_void(*dot))
            .collect()
    }

    fn is_void(&self, dot: Dot) -> bool {
        self.destroyed.contains(&dot) && self.closed.contains(&dot.actor)
    }

    /// What must be live at a replica that knows these dots of a key: the puts that nothing
    /// known replaced (S3).
    pub fn maximal(&self, known: &Dots) -> BTreeMap<Dot, Value> {
        let replaced: Dots = (known.iter())
            .filter_map(|dot| self.issued.get(dot))
            .flat_map(|issue| issue.past.iter().copied())
            .collect();
        (known.difference(&replaced))
            .filter_map(|dot| Some((*dot, self.issued.get(dot)?.value?)))
            .collect()
    }

    /// A disk that was given up is back, with this dot. Returns whether the write was taken for
    /// destroyed and is not.
    pub fn revive(&mut self, dot: Dot) -> bool {
        !self.closed.contains(&dot.actor) && self.destroyed.remove(&dot)
    }

    /// Looks at what replicas have: a destroyed write that a late message brought to one is
    /// not destroyed, unless its actor has been closed and the dot is void.
    pub fn look(&mut self, clocks: &[&Clock]) {
        let entries = clocks.iter().flat_map(|clock| clock.entries());
        let closed = entries.filter(|(_, entry)| entry.is_closed());
        self.closed.extend(closed.map(|(actor, _)| actor));
        self.destroyed.retain(|dot| {
            let found = clocks.iter().any(|clock| clock.contains(*dot));
            self.closed.contains(&dot.actor) || !found
        });
    }

    /// Notes that `dot` was issued for `key` by a coordinator that knew `known` and was told
    /// to replace `seen`, or everything if it was not told. False if it names another write.
    pub fn issue(
        &mut self,
        dot: Dot,
        key: u8,
        value: Option<Value>,
        known: Dots,
        seen: Option<Dots>,
    ) -> bool {
        let past = seen.unwrap_or_else(|| known.clone());
        let mut whole = known;
        whole.extend(past.iter().copied());
        whole.insert(dot);
        let issue = Issue {
            key,
            value,
            past,
            whole,
        };
        self.issued.insert(dot, issue).is_none()
    }

    /// The values that write `dot` replaced.
    pub fn replaced(&self, dot: Dot) -> BTreeSet<Value> {
        let past = self.issued.get(&dot).map(|issue| &issue.past);
        past.into_iter()
            .flatten()
            .filter_map(|dot| self.issued.get(dot)?.value)
            .collect()
    }

    /// The values that any write replaced.
    pub fn replaced_by_any(&self) -> BTreeSet<Value> {
        self.issued
            .keys()
            .flat_map(|dot| self.replaced(*dot))
            .collect()
    }
}
