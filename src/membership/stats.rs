//! What the machine counts about itself.

macro_rules! counters {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$doc])* pub $field: u64,)* }

        impl $name {
            /// Every counter with its name, in the order of the fields.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($field), self.$field)),*].into_iter()
            }
        }
    };
}

counters! {
    /// Counters since the machine was made. They only grow.
    pub struct Stats {
        /// Packets received, of any kind.
        packets_in,
        /// Packets sent, of any kind.
        packets_out,
        /// HELLOs received.
        hellos_in,
        /// HELLOs sent: knocks at seeds, at known members, and questions to namesakes.
        knocks,
        /// WELCOMEs that answered a HELLO of ours.
        welcomes_in,
        /// REFUSEDs that answered a HELLO of ours.
        refusals_in,
        /// HELLOs that we refused.
        refusals_out,
        /// SWIM messages received.
        swim_in,
        /// SWIM messages sent.
        swim_out,
        /// Pages of the member list received.
        rosters_in,
        /// Questions for the member list sent.
        roster_asks,
        /// Probes of ours that neither the member nor its helpers answered.
        suspicions,
        /// Members that this node itself declared failed.
        verdicts,
        /// Verdicts dropped because the suspicion had been refuted.
        verdicts_dropped,
        /// Verdicts postponed because this node itself had stalled.
        verdicts_postponed,
        /// Notices sent to suspects.
        notices,
        /// Suspicions of others refuted by their answer to a notice of ours.
        refutations,
        /// Suspicions of this node that it refuted when told.
        refuted_self,
        /// New names that this node took: it was declared failed, or outranked an old life.
        renewals,
        /// Members found to have left of their own will.
        departures,
        /// Identities taken over from node facts.
        heard_applied,
        /// Stalls of the driver noticed.
        stalls,
        /// Rejected: an identity that cannot be one (id, generation, bump or address).
        rejected_identity,
        /// Rejected: bytes that are no SWIM message.
        rejected_malformed,
        /// Rejected: an answer to no question of ours.
        rejected_unasked,
        /// Rejected: more entries or bytes than a packet may have.
        rejected_oversize,
        /// Rejected: news about members beyond the most that a cluster may have.
        rejected_full,
        /// Rejected: a packet in the name of this node itself.
        rejected_own_name,
        /// Rejected: a demand to take a new name too soon after the last one.
        rejected_renewal,
        /// Dropped: old or foreign news about this node's own name.
        dropped_own_news,
        /// Errors that the SWIM implementation returned.
        swim_errors,
    }
}
