//! Laws of the clocks, each against the simplest model there is: a set of dots.

mod closed;
mod encoding;
mod hlc;
mod names;
mod sets;

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{ActorId, Clock, Dot, DotSet, Entry, NodeId};

/// The model of a clock and of a dot set.
type Model = BTreeSet<Dot>;

pub(super) fn actor(at: u64) -> ActorId {
    ActorId {
        node: NodeId(at % 2),
        incarnation: at,
    }
}

/// Few actors and counters, so that runs meet.
fn any_dot() -> impl Strategy<Value = Dot> {
    (0u64..3, 1u64..24).prop_map(|(at, n)| Dot {
        actor: actor(at),
        n,
    })
}

/// Dots in an arbitrary order, with repeats.
fn any_dots() -> impl Strategy<Value = Vec<Dot>> {
    prop::collection::vec(any_dot(), 0..40)
}

fn model(dots: &[Dot]) -> Model {
    dots.iter().copied().collect()
}

fn clock(dots: &[Dot]) -> Clock {
    dots.iter().copied().collect()
}

/// All dots of a small clock.
fn dots_of(clock: &Clock) -> Model {
    clock
        .entries()
        .flat_map(|(actor, entry)| entry.runs().map(move |run| (actor, run)))
        .flat_map(|(actor, (start, last))| (start..=last).map(move |n| Dot { actor, n }))
        .collect()
}

fn is_normal(entry: &Entry) -> bool {
    let mut next = entry.base() + 2;
    for (start, last) in entry.above().iter() {
        if start < next || last < start {
            return false;
        }
        next = last + 2;
    }
    true
}

fn set(dots: &[Dot]) -> DotSet {
    dots.iter().copied().collect()
}
