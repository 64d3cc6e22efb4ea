//! Who on this node has subscribed to what.
//!
//! One table for all connections. Publishing reads it, and puts the message into the mailbox of
//! each subscriber before it returns: so what one client publishes has one order for all.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use super::glob;
use super::mailbox::{Delivery, Mailbox};

/// What a subscription is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One channel.
    Channel,
    /// All channels that match a pattern.
    Pattern,
}

/// The clients with one subscription, by their ids.
type Group = BTreeMap<u64, Arc<Mailbox>>;

/// All subscriptions of all clients of this server.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    channels: HashMap<Bytes, Group>,
    patterns: HashMap<Bytes, Group>,
}

impl Table {
    fn groups(&mut self, kind: Kind) -> &mut HashMap<Bytes, Group> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }
}

impl Subscribers {
    /// From now on the client gets what is published there.
    pub(super) fn add(&self, kind: Kind, name: Bytes, client: u64, mailbox: Arc<Mailbox>) {
        let mut table = self.table.write();
        let group = table.groups(kind).entry(name).or_default();
        group.insert(client, mailbox);
    }

    /// From now on it does not.
    pub(super) fn remove(&self, kind: Kind, name: &Bytes, client: u64) {
        let mut table = self.table.write();
        let groups = table.groups(kind);
        if let Some(group) = groups.get_mut(name) {
            group.remove(&client);
            if group.is_empty() {
                groups.remove(name);
            }
        }
    }

    /// Delivers what was published; to how many subscriptions. A client whose subscriptions it
    /// matches several times gets it as often.
    pub(super) fn deliver(&self, channel: &Bytes, payload: &Bytes) -> usize {
        let table = self.table.read();
        let mut delivered = 0;
        let mut deliver_to = |group: &Group, pattern: Option<&Bytes>| {
            let told = group.values().filter(|mailbox| {
                mailbox.put(Delivery {
                    pattern: pattern.cloned(),
                    channel: channel.clone(),
                    payload: payload.clone(),
                })
            });
            delivered += told.count();
        };
        if let Some(group) = table.channels.get(channel) {
            deliver_to(group, None);
        }
        for (pattern, group) in &table.patterns {
            if glob::matches(pattern, channel) {
                deliver_to(group, Some(pattern));
            }
        }
        delivered
    }

    /// The channels that somebody has subscribed to and that match, at most `max`; none if there
    /// are more.
    pub(super) fn channels(&self, pattern: Option<&[u8]>, max: usize) -> Option<Vec<Bytes>> {
        let table = self.table.read();
        let is_asked =
            |channel: &&Bytes| pattern.is_none_or(|pattern| glob::matches(pattern, channel));
        let asked = table.channels.keys().filter(is_asked);
        let mut asked: Vec<Bytes> = asked.take(max.saturating_add(1)).cloned().collect();
        asked.sort_unstable();
        (asked.len() <= max).then_some(asked)
    }

    /// How many clients have subscribed to a channel itself.
    pub(super) fn count(&self, channel: &[u8]) -> usize {
        self.table
            .read()
            .channels
            .get(channel)
            .map_or(0, Group::len)
    }

    /// How many channels somebody has subscribed to.
    pub(super) fn channel_count(&self) -> usize {
        self.table.read().channels.len()
    }

    /// How many different patterns.
    pub(super) fn pattern_count(&self) -> usize {
        self.table.read().patterns.len()
    }
}
