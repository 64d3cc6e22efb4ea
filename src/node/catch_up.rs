//! Having everything that the other members had at one moment: when a backup begins.
//!
//! A write is acknowledged when enough replicas have it, and this node need not be among them.
//! So before a backup it compares itself with every member within reach, by the same questions
//! as ever, and fetches what differs.
//!
//! Answers do not say which question they are to. They come in the order of the questions, and
//! at most two of a kind were on their way when this began: to the comparison that is always
//! going on, and to that of another backup. So the third one is to a question that was asked
//! after, and says what the peer had after.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::clock::NodeId;
use crate::machine::Instant;
use crate::placement::PartitionId;

/// How many answers it takes until one of them is news.
const ANSWERS: u8 = 3;

/// How long nothing may come before the peers that are left are given up. As long as a pull
/// waits for an answer.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// How long an answer may take before the question is asked again: it may have been dropped.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What to ask a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// What differs?
    Compare(NodeId),
    /// What do you have of these that I lack?
    Fetch(NodeId, Vec<PartitionId>),
}

/// How far it is with one peer.
#[derive(Debug)]
enum Step {
    /// It is being compared with; so many answers have come.
    Comparing(u8),
    /// These partitions differ; so many answers are to come.
    Fetching(BTreeMap<PartitionId, u8>),
}

/// Waits until this node has everything that its peers had when this was made.
#[derive(Debug)]
pub(super) struct CatchUp {
    /// The peers that are not done.
    peers: BTreeMap<NodeId, Step>,
    /// Peers that were given up.
    unheard: BTreeSet<NodeId>,
    /// When something last came, and when something was last asked.
    moved: Instant,
    asked: Instant,
}

impl CatchUp {
    /// Begins with `reachable` of `members`; ask the [`questions`](Self::questions).
    pub(super) fn new(
        now: Instant,
        members: &BTreeSet<NodeId>,
        reachable: &BTreeSet<NodeId>,
    ) -> Self {
        let peers = reachable.iter().map(|peer| (*peer, Step::Comparing(0)));
        Self {
            peers: peers.collect(),
            unheard: members.difference(reachable).copied().collect(),
            moved: now,
            asked: now,
        }
    }

    /// The peers that it waits for.
    pub(super) fn waiting(&self) -> Vec<NodeId> {
        self.peers.keys().copied().collect()
    }

    /// The peers that may have had what this node has not.
    pub(super) fn unheard(&self) -> &BTreeSet<NodeId> {
        &self.unheard
    }

    /// What to ask everyone that is not done.
    pub(super) fn questions(&self) -> Vec<Question> {
        let questions = self.peers.iter().map(|(peer, step)| match step {
            Step::Comparing(_) => Question::Compare(*peer),
            Step::Fetching(left) => Question::Fetch(*peer, left.keys().copied().collect()),
        });
        questions.collect()
    }

    /// `peer` said which partitions differ.
    pub(super) fn compared(
        &mut self,
        now: Instant,
        peer: NodeId,
        differing: impl IntoIterator<Item = PartitionId>,
    ) -> Option<Question> {
        let Some(Step::Comparing(answers)) = self.peers.get_mut(&peer) else {
            return None;
        };
        self.moved = now;
        *answers += 1;
        if *answers < ANSWERS {
            return Some(Question::Compare(peer));
        }
        let left: BTreeMap<_, _> = differing.into_iter().map(|id| (id, ANSWERS)).collect();
        if left.is_empty() {
            self.peers.remove(&peer);
            return None;
        }
        let question = Question::Fetch(peer, left.keys().copied().collect());
        self.peers.insert(peer, Step::Fetching(left));
        Some(question)
    }

    /// Something of a partition came from `peer`; `all` that it had, or not yet.
    pub(super) fn fetched(
        &mut self,
        now: Instant,
        peer: NodeId,
        id: PartitionId,
        all: bool,
    ) -> Option<Question> {
        let Some(Step::Fetching(left)) = self.peers.get_mut(&peer) else {
            return None;
        };
        let answers = left.get_mut(&id)?;
        self.moved = now;
        if !all {
            return None;
        }
        *answers -= 1;
        if *answers > 0 {
            return Some(Question::Fetch(peer, vec![id]));
        }
        left.remove(&id);
        if left.is_empty() {
            self.peers.remove(&peer);
        }
        None
    }

    /// Gives up who is gone or silent, and says what to ask again.
    pub(super) fn tick(&mut self, now: Instant, reachable: &BTreeSet<NodeId>) -> Vec<Question> {
        let stalled = now.since(self.moved) >= STALLED_AFTER;
        let unheard = &mut self.unheard;
        self.peers.retain(|peer, _| {
            let stays = reachable.contains(peer) && !stalled;
            if !stays {
                unheard.insert(*peer);
            }
            stays
        });
        if now.since(self.moved.max(self.asked)) < ASK_AGAIN_AFTER {
            return Vec::new();
        }
        self.asked = now;
        self.questions()
    }
}
