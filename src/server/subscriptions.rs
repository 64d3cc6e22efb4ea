//! What one client has subscribed to.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::failure::Failure;
use super::mailbox::Mailbox;
use super::subscribers::{Kind, Subscribers};

/// Most bytes of names that one client may have subscribed to, with what each costs beside: tens
/// of thousands of usual ones. They stay in memory as long as the client does.
pub(super) const SUBSCRIBED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a subscription costs beyond its name, here and in the table of all.
const SUBSCRIPTION_BYTES: usize = 256;

/// The subscriptions of one client, and its mailbox once it has had any. They end when this
/// leaves scope, however the client's task ended.
pub(super) struct Subscriptions {
    client: u64,
    all: Arc<Subscribers>,
    channels: BTreeSet<Bytes>,
    patterns: BTreeSet<Bytes>,
    bytes: usize,
    mailbox: Option<Arc<Mailbox>>,
}

impl fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriptions")
            .field("client", &self.client)
            .field("channels", &self.channels.len())
            .field("patterns", &self.patterns.len())
            .finish_non_exhaustive()
    }
}

impl Subscriptions {
    pub(super) fn new(client: u64, all: Arc<Subscribers>) -> Self {
        Self {
            client,
            all,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            bytes: 0,
            mailbox: None,
        }
    }

    /// Where messages wait for the client; none if it has never subscribed.
    pub(super) fn mailbox(&self) -> Option<&Arc<Mailbox>> {
        self.mailbox.as_ref()
    }

    /// How many there are of a kind.
    pub(super) fn count_of(&self, kind: Kind) -> usize {
        self.own(kind).len()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.channels.len().saturating_add(self.patterns.len())
    }

    /// All names of a kind.
    pub(super) fn names(&self, kind: Kind) -> Vec<Bytes> {
        self.own(kind).iter().cloned().collect()
    }

    /// Whether there is room for all of these.
    pub(super) fn check_room(&self, kind: Kind, names: &[Bytes]) -> Result<(), Failure> {
        let own = self.own(kind);
        let new = names.iter().filter(|name| !own.contains(*name));
        let bytes = new.map(cost).fold(self.bytes, usize::saturating_add);
        if bytes > SUBSCRIBED_BYTES_MAX {
            return Err(Failure::new(format!(
                "ERR subscriptions of one client take at most {SUBSCRIBED_BYTES_MAX} bytes \
                 together, {SUBSCRIPTION_BYTES} and the name for each"
            )));
        }
        Ok(())
    }

    /// Subscribes, if the client has not yet.
    pub(super) fn add(&mut self, kind: Kind, name: Bytes) {
        let mailbox = Arc::clone(self.mailbox.get_or_insert_default());
        if self.own_mut(kind).insert(name.clone()) {
            self.bytes = self.bytes.saturating_add(cost(&name));
            self.all.add(kind, name, self.client, mailbox);
        }
    }

    /// Unsubscribes, if the client has subscribed.
    pub(super) fn remove(&mut self, kind: Kind, name: &Bytes) {
        if self.own_mut(kind).remove(name) {
            self.bytes = self.bytes.saturating_sub(cost(name));
            self.all.remove(kind, name, self.client);
        }
    }

    /// Unsubscribes from everything.
    pub(super) fn clear(&mut self) {
        for kind in [Kind::Channel, Kind::Pattern] {
            for name in self.names(kind) {
                self.remove(kind, &name);
            }
        }
    }

    fn own(&self, kind: Kind) -> &BTreeSet<Bytes> {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
        }
    }

    fn own_mut(&mut self, kind: Kind) -> &mut BTreeSet<Bytes> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
        }
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        self.clear();
    }
}

fn cost(name: &Bytes) -> usize {
    name.len().saturating_add(SUBSCRIPTION_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Arc<Subscribers> {
        Arc::default()
    }

    #[test]
    fn they_end_with_their_client() {
        let all = all();
        let (mut one, mut two) = (
            Subscriptions::new(1, all.clone()),
            Subscriptions::new(2, all.clone()),
        );
        for client in [&mut one, &mut two] {
            client.add(Kind::Channel, "a".into());
            client.add(Kind::Channel, "a".into());
            client.add(Kind::Pattern, "a*".into());
        }
        assert_eq!((one.count(), all.count(b"a")), (2, 2));
        assert_eq!(all.deliver(&"a".into(), &"x".into()), 4);
        one.remove(Kind::Channel, &"a".into());
        one.remove(Kind::Channel, &"a".into());
        assert_eq!(all.deliver(&"a".into(), &"x".into()), 3);
        drop(two);
        assert_eq!((all.channel_count(), all.pattern_count()), (0, 1));
        drop(one);
        assert_eq!((all.channel_count(), all.pattern_count()), (0, 0));
    }

    #[test]
    fn their_names_are_bounded() {
        let mut client = Subscriptions::new(1, all());
        let names: Vec<Bytes> = (0..1_000).map(|n| format!("{n}").into()).collect();
        client.check_room(Kind::Pattern, &names).unwrap();
        let long = [Bytes::from(vec![b'x'; SUBSCRIBED_BYTES_MAX])];
        assert!(client.check_room(Kind::Channel, &long).is_err());
        for name in names.clone() {
            client.add(Kind::Pattern, name);
        }
        assert!(client.bytes > 1_000 * SUBSCRIPTION_BYTES);
        client.clear();
        assert_eq!(client.bytes, 0);
    }
}
