//! Leaving so that everybody knows.
//!
//! SWIM tells three members and hopes; a member that hears nothing finds the leaver failed
//! a few seconds later. Here the leaver tells every active member itself and repeats until
//! each has confirmed, for less than a second; those who hear pass the mark on by gossip.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::params::Params;
use crate::clock::NodeId;
use crate::machine::Instant;

/// A departure under way.
#[derive(Debug)]
pub(super) struct Farewell {
    unconfirmed: BTreeMap<NodeId, SocketAddr>,
    due: Instant,
    sent: u32,
}

impl Farewell {
    pub(super) fn new(now: Instant, members: BTreeMap<NodeId, SocketAddr>) -> Self {
        Self {
            unconfirmed: members,
            due: now,
            sent: 0,
        }
    }

    /// `by` has noted the departure.
    pub(super) fn confirmed(&mut self, by: NodeId) {
        self.unconfirmed.remove(&by);
    }

    /// Whether nothing is left to be done.
    pub(super) fn is_complete(&self, now: Instant, params: &Params) -> bool {
        self.unconfirmed.is_empty() || (self.sent >= params.farewells_max && self.due <= now)
    }

    pub(super) fn next(&self) -> Instant {
        self.due
    }

    /// To whom to say farewell now.
    pub(super) fn due(&mut self, now: Instant, params: &Params) -> Vec<SocketAddr> {
        if self.due > now || self.sent >= params.farewells_max {
            return Vec::new();
        }
        self.sent += 1;
        self.due = now + params.farewell_period;
        self.unconfirmed.values().copied().collect()
    }
}
