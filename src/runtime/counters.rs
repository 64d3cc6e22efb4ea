//! What the runtime counts about itself.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::replication::Message;

/// One number that any task may raise. It orders nothing.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Ordering::Relaxed);
    }

    pub(super) fn one(&self) {
        self.add(1);
    }

    pub(super) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($(#[$meta:meta])* pub(super) struct $name:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Default)]
        pub(super) struct $name { $($(#[$doc])* pub(super) $field: Counter,)* }

        impl $name {
            /// Every counter with its name, in the order of the fields.
            pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field.value())),*].into_iter()
            }
        }
    };
}

counters! {
    /// Counters since the node started. They only grow.
    pub(super) struct Counters {
        /// Datagrams handed to the kernel.
        udp_datagrams_sent,
        /// Their bytes, without IP and UDP headers.
        udp_bytes_sent,
        /// Datagrams taken from the kernel.
        udp_datagrams_received,
        /// Their bytes.
        udp_bytes_received,
        /// Datagrams that the kernel did not take: its buffer was full or it had no route.
        udp_send_failed,
        /// Datagrams that opened and then held nothing that this version understands.
        datagrams_dropped_malformed,
        /// Datagrams about node facts dropped because their reader was behind.
        facts_dropped_full,
        /// Messages about node facts that were none.
        facts_dropped_malformed,
        /// Times the node facts' server ended and was started again.
        facts_restarts,
        /// Turns of the membership loop that came later than they should have.
        loop_stalls,
        /// Bytes written to peer streams, seals included.
        peer_bytes_sent,
        /// Bytes read from peer streams, seals included.
        peer_bytes_received,
        /// Messages about data put on peer streams.
        peer_messages_sent,
        /// Messages about data taken from peer streams.
        peer_messages_received,
        /// Frames put on peer streams; many messages share one under load.
        peer_frames_sent,
        /// Links to peers that came up.
        links_opened,
        /// Links to peers that went down.
        links_closed,
        /// Streams refused or cut because of what they said or did not say.
        streams_refused,
        /// Incoming streams dropped because there were too many.
        streams_over_limit,
        /// Pushes dropped: no link, a full queue, or a link that broke. Sync mends them.
        pushes_dropped,
        /// Other messages to peers dropped for the same reasons.
        messages_dropped,
        /// What clients published, dropped on its way to a peer for the same reasons or because
        /// too much waited already. That peer's subscribers never get it.
        published_dropped,
        copies_dropped,
        /// Replies whose client had gone.
        replies_unclaimed,
        /// Comparisons with a peer after which everything that differed was fetched.
        syncs_finished,
        /// Keys fetched by them.
        sync_keys_fetched,
        /// Partitions fetched as a whole.
        full_syncs,
        /// Requests for a full sync that had to wait.
        full_syncs_deferred,
        /// Messages about data that could not be.
        data_refused,
        /// Comparisons that found equal clocks with different data.
        data_diverged,
        /// Failures of the storage engine.
        storage_errors,
        /// Times everything written was forced to disk.
        disk_syncs,
    }
}

impl Counters {
    /// Counts a message that will not be written.
    pub(super) fn dropped(&self, message: &Message) {
        match message {
            Message::Push { .. } => self.pushes_dropped.one(),
            Message::Published { .. } => self.published_dropped.one(),
            _ => self.messages_dropped.one(),
        }
    }
}
