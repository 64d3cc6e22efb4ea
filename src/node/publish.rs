//! What clients publish: sent to every member within reach, and kept by nobody.
//!
//! Each message goes at most once to each member, over the link that also carries the data; a
//! member that cannot be reached at that moment never gets it. Members do not send on what they
//! are sent, so nothing goes round in circles and nothing has to be remembered to stop it.

use bytes::Bytes;

use super::Data;
use super::effect::Effect;
use crate::replication::Message;

impl<W> Data<W> {
    /// Sends what a client of this node publishes to every member within reach. Telling the
    /// subscribers of this node is the caller's.
    pub fn publish(&self, channel: &Bytes, payload: &Bytes, effects: &mut Vec<Effect<W>>) {
        let view = self.view();
        effects.extend(view.reachable.iter().map(|peer| Effect::Send {
            to: *peer,
            message: Message::Published {
                channel: channel.clone(),
                payload: payload.clone(),
            },
        }));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;
    use crate::clock::NodeId;
    use crate::machine::{Instant, Now};
    use crate::node::tests_support::{params, remembering};
    use crate::store::engine::Memory;

    #[test]
    fn each_member_within_reach_is_told_once_and_sends_nothing_on() {
        let (me, peers) = (NodeId(1), [NodeId(2), NodeId(3)]);
        let now = Now {
            mono: Instant::from_elapsed(Duration::ZERO),
            wall_ms: 0,
        };
        let engine = remembering(Memory::new(), &[me, peers[0], peers[1]]);
        let rng = SmallRng::seed_from_u64(1);
        let node: Data<()> = Data::open(&params(me), &engine, rng, now).unwrap();
        let (channel, payload) = (Bytes::from_static(b"news"), Bytes::from_static(b"hello"));
        let mut effects = Vec::new();
        node.publish(&channel, &payload, &mut effects);
        assert!(effects.is_empty(), "nobody is within reach");

        node.reach(now, peers.into(), &mut Vec::new());
        node.publish(&channel, &payload, &mut effects);
        let message = Message::Published {
            channel: channel.clone(),
            payload: payload.clone(),
        };
        let to = |to| Effect::Send {
            to,
            message: message.clone(),
        };
        assert_eq!(effects, peers.map(to));

        effects.clear();
        node.receive(now, peers[0], message, &mut effects);
        assert_eq!(effects, [Effect::Published { channel, payload }]);
    }
}
