//! The machine.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;

use super::event::{Input, Output};
use super::fingerprint::Fingerprint;
use super::identity::Identity;
use super::members::{Member, State};
use super::params::Params;
use super::stats::Stats;
use crate::clock::NodeId;
use crate::machine::{Instant, Machine, Now};

/// SWIM and everything built around it, as one value.
pub struct Membership {
    me: Identity,
    members: BTreeMap<NodeId, Member>,
    stats: Stats,
}

impl Membership {
    /// A member that knows nobody yet.
    pub fn new(
        identity: Identity,
        _fingerprint: Fingerprint,
        _params: Params,
        _rng: SmallRng,
        now: Now,
    ) -> Self {
        let me = Member {
            identity,
            state: State::Alive,
            incarnation: 0,
            since: now,
        };
        Self {
            me: identity,
            members: BTreeMap::from([(identity.id, me)]),
            stats: Stats::default(),
        }
    }

    /// This node's identity now.
    pub fn me(&self) -> &Identity {
        &self.me
    }

    /// Every member that is remembered, this node, failed and departed ones included,
    /// ordered by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// This node's SWIM incarnation.
    pub fn incarnation(&self) -> u64 {
        0
    }
}

impl Machine for Membership {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, _now: Now, _input: Input) {}

    fn handle_timeout(&mut self, _now: Now) {}

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    fn poll_output(&mut self) -> Option<Output> {
        None
    }
}
