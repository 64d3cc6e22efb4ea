//! What the model can do wrong on purpose, to show that it would notice (PROTOCOL section 13).
//!
//! Each is a change of a message between two replicas or of how a replica is opened. The code
//! under test is the product's, unchanged.

use netdb::clock::{Clock, DotSet};
use netdb::store::exchange::{Cover, Delta, Digest, Push};

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// N01: after a crash the replica is opened under the actor that it had.
    ReusedActor,
    /// N02: with a push the receiver takes in everything that the push's context includes.
    PushAddsContext,
    /// N03: a push carries the new version without its siblings.
    PushWithoutSiblings,
    /// N05: a delta covers the sender's whole clock, whatever it carries.
    DeltaCoversClock,
    /// N10: who is asked for dots below its floor says that they are void.
    FloorAnsweredAsVoid,
    /// N22: the end of a full sync does not wait for all of its pieces.
    EndCountsOnePiece,
    /// N27: an answer for an earlier opening is taken by the present one.
    StaleAnswerTaken,
    /// N34: a delta leaves out one of the dots of a key whose row it carries.
    DeltaCutsGroup,
}

/// All of them.
pub const ALL: [Mutation; 8] = [
    Mutation::ReusedActor,
    Mutation::PushAddsContext,
    Mutation::PushWithoutSiblings,
    Mutation::DeltaCoversClock,
    Mutation::FloorAnsweredAsVoid,
    Mutation::EndCountsOnePiece,
    Mutation::StaleAnswerTaken,
    Mutation::DeltaCutsGroup,
];

impl Mutation {
    /// The variant in PROTOCOL's catalogue.
    pub fn id(self) -> &'static str {
        match self {
            Self::ReusedActor => "N01",
            Self::PushAddsContext => "N02",
            Self::PushWithoutSiblings => "N03",
            Self::DeltaCoversClock => "N05",
            Self::FloorAnsweredAsVoid => "N10",
            Self::EndCountsOnePiece => "N22",
            Self::StaleAnswerTaken => "N27",
            Self::DeltaCutsGroup => "N34",
        }
    }

    /// A push as it is sent.
    pub fn of_push(self, push: &mut Push) {
        if self == Self::PushWithoutSiblings {
            let new = push.dot;
            push.versions.retain(|dot, _| dot == new);
        }
    }

    /// A delta as it is sent.
    pub fn of_delta(self, delta: &mut Delta, sender: &Clock, digest: &Digest) {
        match self {
            Self::DeltaCoversClock => {
                let taken: Clock = delta.covers.iter().flat_map(|c| c.dots.dots()).collect();
                let missing = sender.minus(&digest.clock);
                let rest: DotSet = missing.dots().filter(|dot| !taken.contains(*dot)).collect();
                if !rest.is_empty() {
                    delta.covers.push(as_void(rest));
                }
            }
            Self::DeltaCutsGroup => {
                for cover in &mut delta.covers {
                    let last = cover.dots.dots().last();
                    cover.dots = cover.dots.dots().filter(|dot| Some(*dot) != last).collect();
                }
            }
            _ => {}
        }
    }

    /// What is sent in place of "you need a full sync".
    pub fn of_floor(self, sender: &Clock, digest: &Digest) -> Option<Delta> {
        (self == Self::FloorAnsweredAsVoid).then(|| Delta {
            partition: digest.partition,
            to: digest.asker,
            base: sender.base_vector(),
            rows: Vec::new(),
            covers: vec![as_void(sender.minus(&digest.clock))],
            more: false,
        })
    }

    /// What the receiver of a push makes of its context: a delta of voids.
    pub fn after_push(self, push: &Push, receiver: &Clock) -> Option<DotSet> {
        if self != Self::PushAddsContext {
            return None;
        }
        let claimed = push.context.iter();
        let dots = claimed
            .flat_map(|(actor, n)| (1..=n).map(move |n| netdb::clock::Dot { actor, n }))
            .filter(|dot| !receiver.contains(*dot))
            .collect();
        Some(dots)
    }
}

/// Covers without a row.
pub fn as_void(dots: DotSet) -> Cover {
    Cover { key: None, dots }
}
