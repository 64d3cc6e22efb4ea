//! The knobs of membership, and three measured settings of them.
//!
//! Detection is from a crash until every live member knows, on virtual time, at 3 and 10
//! nodes (median, and the longest of 20). Traffic is what one node sends when nothing
//! happens, encoded, without the seal and the headers of IP and UDP (another 70 B or so per
//! packet); it does not grow with the cluster.
//!
//! | preset | for | crash known to all | idle traffic |
//! |---|---|---|---|
//! | `local` | processes on one machine, tests | 1.8 to 1.9 s, at most 2.8 s | 10.6 packets/s, 650 B/s |
//! | `lan` | one data centre | 3.3 to 3.7 s, at most 5.2 s | 4.4 packets/s, 280 B/s |
//! | `wan` | round trips up to 500 ms | 11 to 12 s, at most 18 s | 1.3 packets/s, 90 B/s |
//!
//! `tests::cluster` prints these figures.

use std::time::Duration;

/// Shortest period of anything that repeats: with a shorter one the machine would keep its
/// driver busy with nothing else.
pub const PERIOD_MIN: Duration = Duration::from_millis(2);

/// How membership behaves. All members of a cluster should use the same preset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Params {
    /// Time between two probes by one node; each probe asks one member. Must be more than
    /// three times [`probe_rtt`](Self::probe_rtt), or indirect probes have no time to
    /// return. Lower finds crashes sooner and costs messages in proportion.
    pub probe_period: Duration,
    /// How long a direct answer may take before others are asked to probe. At least the
    /// 99.9th percentile of the round trip. Lower starts needless indirect probes, higher
    /// leaves them too little of the period.
    pub probe_rtt: Duration,
    /// How many members are asked to probe in our stead. More survives more loss and
    /// one-way links; each costs four messages per failed direct probe.
    pub indirect_probes: usize,
    /// How long a suspect has to prove that it lives. Lower finds crashes sooner; below
    /// about four [`suspect_notice_period`](Self::suspect_notice_period)s loss or a pause
    /// of the process begins to bury live members.
    pub suspect_to_failed: Duration,
    /// How often a suspect is told of its suspicion, until it answers.
    pub suspect_notice_period: Duration,
    /// How often at most.
    pub suspect_notices_max: u32,
    /// How many times each piece of news is passed on by each member. 12 is enough up to
    /// 1,000 members at 20 % loss; fewer leaves members uninformed, more costs bytes only
    /// while there is news.
    pub transmissions_max: u8,
    /// Time between two rounds of passing news on outside probes.
    pub gossip_period: Duration,
    /// To how many members each round goes.
    pub gossip_fanout: usize,
    /// Time between two announcements to a random member, which answers with members that
    /// it knows.
    pub announce_period: Duration,
    /// Time between two knocks at members that are believed failed. It bounds how long the
    /// halves of a healed split stay apart. Lower heals sooner and costs a few messages
    /// while somebody is down.
    pub failed_knock_period: Duration,
    /// At how many failed members each time.
    pub failed_knock_fanout: usize,
    /// First pause between two knocks at a seed while nobody has let us in.
    pub knock_backoff_min: Duration,
    /// The pause doubles up to this.
    pub knock_backoff_max: Duration,
    /// Pause between two knocks at a seed whose address no member has, for ever: it lets
    /// two clusters that forgot each other, or never met, become one.
    pub seed_period: Duration,
    /// Time between two comparisons of the whole member list with a random member, which
    /// repair whatever gossip missed. They cost one small question and answer while the
    /// lists are equal, and 40 bytes per member when they are not.
    pub roster_period: Duration,
    /// How long an answer about the member list may take before another member is asked.
    pub roster_timeout: Duration,
    /// How often a leaving node repeats its farewell to members that have not confirmed.
    pub farewell_period: Duration,
    /// How many times at most; then it leaves without confirmation.
    pub farewells_max: u32,
    /// How long a failed or departed member is remembered. While it is, it is knocked at
    /// and old news about it has no effect; afterwards it comes back through seeds only.
    pub remove_down_after: Duration,
    /// A turn of the driver that comes later than this is a stall of ours: verdicts that
    /// fell due in it are postponed, since the answers may lie unread in the socket.
    pub stall_threshold: Duration,
    /// By at least this much, or by the stall if that was longer.
    pub stall_grace: Duration,
    /// Test switch: `false` knocks at each seed once and never again, compares no member
    /// lists and knocks at nobody failed, as the bare `foca` crate does.
    pub knocking: bool,
}

impl Params {
    /// For processes on one machine: loopback is fast and loses nothing.
    pub fn local() -> Self {
        Self {
            probe_period: Duration::from_millis(200),
            probe_rtt: Duration::from_millis(60),
            suspect_to_failed: Duration::from_millis(1_500),
            suspect_notice_period: Duration::from_millis(150),
            gossip_period: Duration::from_millis(100),
            failed_knock_period: Duration::from_secs(2),
            knock_backoff_min: Duration::from_millis(100),
            knock_backoff_max: Duration::from_secs(2),
            seed_period: Duration::from_secs(3),
            roster_period: Duration::from_secs(5),
            ..Self::lan()
        }
    }

    /// For one data centre. The default.
    pub fn lan() -> Self {
        Self {
            probe_period: Duration::from_millis(500),
            probe_rtt: Duration::from_millis(150),
            indirect_probes: 3,
            suspect_to_failed: Duration::from_millis(2_500),
            suspect_notice_period: Duration::from_millis(400),
            suspect_notices_max: 8,
            transmissions_max: 12,
            gossip_period: Duration::from_millis(200),
            gossip_fanout: 3,
            announce_period: Duration::from_secs(10),
            failed_knock_period: Duration::from_secs(5),
            failed_knock_fanout: 3,
            knock_backoff_min: Duration::from_millis(300),
            knock_backoff_max: Duration::from_secs(5),
            seed_period: Duration::from_secs(7),
            roster_period: Duration::from_secs(10),
            roster_timeout: Duration::from_millis(300),
            farewell_period: Duration::from_millis(100),
            farewells_max: 8,
            remove_down_after: Duration::from_secs(24 * 60 * 60),
            stall_threshold: Duration::from_millis(500),
            stall_grace: Duration::from_secs(2),
            knocking: true,
        }
    }

    /// For links with round trips up to 500 ms.
    pub fn wan() -> Self {
        Self {
            probe_period: Duration::from_secs(2),
            probe_rtt: Duration::from_millis(600),
            suspect_to_failed: Duration::from_secs(8),
            suspect_notice_period: Duration::from_millis(1_000),
            gossip_period: Duration::from_millis(500),
            failed_knock_period: Duration::from_secs(10),
            knock_backoff_min: Duration::from_secs(1),
            knock_backoff_max: Duration::from_secs(10),
            seed_period: Duration::from_secs(15),
            roster_period: Duration::from_secs(20),
            roster_timeout: Duration::from_millis(1_500),
            farewell_period: Duration::from_millis(600),
            stall_threshold: Duration::from_secs(1),
            ..Self::lan()
        }
    }

    /// The same with every period at least [`PERIOD_MIN`].
    pub(super) fn bounded(mut self) -> Self {
        let periods = [
            &mut self.probe_period,
            &mut self.probe_rtt,
            &mut self.suspect_notice_period,
            &mut self.gossip_period,
            &mut self.announce_period,
            &mut self.failed_knock_period,
            &mut self.knock_backoff_min,
            &mut self.knock_backoff_max,
            &mut self.seed_period,
            &mut self.roster_period,
            &mut self.roster_timeout,
            &mut self.farewell_period,
        ];
        for period in periods {
            *period = (*period).max(PERIOD_MIN);
        }
        self
    }
}

impl Default for Params {
    fn default() -> Self {
        Self::lan()
    }
}
