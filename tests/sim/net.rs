//! The network between simulated nodes: datagrams, and streams that break and come back.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use netdb::clock::NodeId;
use netdb::membership::Packet;
use netdb::replication::Message;
use rand::RngExt;

use crate::world::{Event, World};

/// A broken stream is noticed after about this long without a byte.
const LINK_DEADLINE: Duration = Duration::from_millis(1_750);

/// A missing stream is dialled again this often.
pub const LINK_RETRY: Duration = Duration::from_millis(400);

/// How late a straggler is at most. Longer than a restart and the closing of a dead actor take.
const STRAGGLING_MAX: Duration = Duration::from_secs(20);

/// What is wrong with the network.
#[derive(Debug, Default)]
pub struct Net {
    /// Nodes on one side of the partition, while there is one.
    pub side: BTreeSet<usize>,
    /// Only what leaves the side is cut.
    pub one_way: bool,
}

impl Net {
    fn passes(&self, from: usize, to: usize) -> bool {
        let (from, to) = (self.side.contains(&from), self.side.contains(&to));
        from == to || (self.one_way && !from)
    }
}

impl World {
    /// The delays at which something arrives: none if it is lost, two if it is doubled.
    fn fate(&mut self, from: usize, to: usize) -> Vec<Duration> {
        if !self.net.passes(from, to) || self.rng.random_bool(self.plan.profile.loss) {
            return Vec::new();
        }
        let slow = [from, to]
            .iter()
            .any(|node| self.nodes[*node].slow_until > self.now);
        let copies = 1 + usize::from(self.rng.random_bool(self.plan.profile.duplication));
        (0..copies)
            .map(|_| {
                // Mostly a fast network; now and then something is late, hence reordered.
                let late = self.rng.random_bool(0.02);
                let most = match (slow, late) {
                    (true, _) => 1_500_000,
                    (false, true) => 100_000,
                    (false, false) => 1_000,
                };
                Duration::from_micros(self.rng.random_range(100..=most))
            })
            .collect()
    }

    pub fn send_packet(&mut self, from: usize, to: SocketAddr, packet: Packet) {
        let Some(to) = self.nodes.iter().position(|node| node.addr == to) else {
            return;
        };
        let sender = self.nodes[from].addr;
        for delay in self.fate(from, to) {
            let packet = packet.clone();
            let event = Event::Packet {
                to,
                from: sender,
                packet,
            };
            self.schedule(delay, event);
        }
    }

    pub fn send_message(&mut self, from: usize, to: NodeId, message: Message) {
        let process = self.nodes[from].process.as_ref();
        let linked = process.is_some_and(|process| process.linked.contains(&to));
        let target = self.nodes.iter().position(|node| node.id == to);
        let Some(target) = target.filter(|_| linked) else {
            if matches!(message, Message::Push { .. }) {
                self.met.insert("push without a stream");
            }
            let asked = self.see_forwarded(from, &message);
            self.act(from, |process, now| process.dropped(now, to, &message));
            if let Some((op, before)) = asked {
                self.note_turn(op, from, &before);
            }
            return;
        };
        let sender = self.nodes[from].id;
        let mut delays = self.fate(from, target);
        // A stream may break, but carries nothing twice, nor into a later life of its ends.
        let is_once = matches!(message, Message::Forward { .. } | Message::Forwarded { .. });
        if is_once {
            delays.truncate(1);
        }
        for mut delay in delays {
            if !is_once && self.rng.random_bool(self.plan.profile.straggling) {
                delay += STRAGGLING_MAX.mul_f64(self.rng.random());
            }
            let message = message.clone();
            let event = Event::Message {
                to: target,
                from: sender,
                message,
            };
            self.schedule(delay, event);
        }
    }

    /// Streams come up when both ends run, know each other and nothing is cut; they go down
    /// some time after that ended.
    pub fn check_links(&mut self) {
        for a in 0..self.nodes.len() {
            for b in 0..self.nodes.len() {
                let peer = self.nodes[b].id;
                let Some(process) = self.nodes[a].process.as_ref().filter(|_| a != b) else {
                    continue;
                };
                let up = process.linked.contains(&peer);
                let possible = process.alive().contains(&peer)
                    && self.net.passes(a, b)
                    && self.net.passes(b, a)
                    && self.nodes[b].process.is_some()
                    && [a, b]
                        .iter()
                        .all(|node| self.nodes[*node].paused_until <= self.now);
                if possible != up && (possible || self.rng.random_bool(chance_to_notice())) {
                    self.act(a, |process, now| process.link(now, peer, possible));
                }
            }
        }
    }
}

/// Chance per check that a dead stream is noticed: on average after [`LINK_DEADLINE`].
fn chance_to_notice() -> f64 {
    LINK_RETRY.as_secs_f64() / LINK_DEADLINE.as_secs_f64()
}
