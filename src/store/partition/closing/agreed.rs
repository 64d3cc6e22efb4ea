//! What may still be taken in of a dead actor.

use crate::clock::{ActorId, Clock, Dot, DotSet, Entry};
use crate::store::partition::Partition;

impl Partition {
    /// Whether `dot` must not be taken in: it is news of a dead actor beyond what its replicas
    /// agreed on, or are agreeing on (PROTOCOL 3.9).
    pub(in crate::store::partition) fn refuses(&self, dot: Dot) -> bool {
        !self.clock.contains(dot)
            && self
                .agreed(dot.actor)
                .is_some_and(|entry| !entry.has(dot.n))
    }

    /// The same for the clock of a full sync. A source that has closed an actor is right about
    /// it.
    pub(in crate::store::partition) fn refuses_clock(
        &self,
        source: &Clock,
        missing: &DotSet,
    ) -> bool {
        missing.actors().any(|(actor, runs)| {
            let agreed = self.agreed(actor);
            let beyond = |entry: Entry| {
                let mut both = entry.clone();
                both.join(&Entry::of_runs(runs));
                both != entry
            };
            !source.is_closed(actor) && agreed.is_some_and(beyond)
        })
    }

    /// What may be taken in of an actor that is frozen or closed; none if anything may.
    fn agreed(&self, actor: ActorId) -> Option<Entry> {
        if self.clock.is_closed(actor) {
            return self.clock.entry(actor).cloned();
        }
        if !self.closings.is_frozen(actor) {
            return None;
        }
        let mut agreed = Entry::default();
        for entry in self.closings.voices().filter_map(|v| v.frozen.get(&actor)) {
            agreed.join(entry);
        }
        Some(agreed)
    }
}
