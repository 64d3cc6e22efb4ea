//! foca behind a narrow door.
//!
//! Whatever foca wants is collected as [`Effects`] and taken out by the machine; errors are
//! counted there too, since none of them can be acted upon.

use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use foca::{Foca, NoCustomBroadcast, Notification, PeriodicParams, Timer};
use rand::rngs::SmallRng;

use super::codec::Codec;
use super::identity::Identity;
use super::packet::SWIM_BYTES_MAX;
use super::params::Params;

/// What foca wants done, in the order in which it said so.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) sends: Vec<(SocketAddr, Vec<u8>)>,
    pub(super) timers: Vec<(Duration, Timer<Identity>)>,
    /// foca took new names by itself.
    pub(super) renewals: u64,
    /// It became active: some active member is known and can be probed.
    pub(super) became_active: bool,
    /// It is not active any more.
    pub(super) became_inactive: bool,
    pub(super) probe_failures: u64,
    pub(super) errors: u64,
}

/// SWIM proper.
pub(super) struct Swim {
    foca: Foca<Identity, Codec, SmallRng, NoCustomBroadcast>,
    runtime: Collector,
}

impl Swim {
    pub(super) fn new(identity: Identity, params: &Params, rng: SmallRng) -> Self {
        Self {
            foca: Foca::new(identity, config(params), rng, Codec),
            runtime: Collector::default(),
        }
    }

    pub(super) fn identity(&self) -> &Identity {
        self.foca.identity()
    }

    /// This node's own incarnation, as last sent.
    pub(super) fn incarnation(&self) -> u16 {
        self.runtime.incarnation
    }

    /// Whether foca takes part: it knows an active member, and probes.
    pub(super) fn is_active(&self) -> bool {
        self.runtime.active
    }

    /// Everybody that foca remembers, this node not included, in no particular order.
    pub(super) fn members(&self) -> impl Iterator<Item = &foca::Member<Identity>> {
        self.foca.iter_membership_state()
    }

    /// Whether `identity` is a suspect at exactly `incarnation`.
    pub(super) fn is_suspect(&self, identity: &Identity, incarnation: u16) -> bool {
        self.members().any(|member| {
            member.id() == identity
                && member.incarnation() == incarnation
                && member.state() == foca::State::Suspect
        })
    }

    pub(super) fn data(&mut self, bytes: &[u8]) {
        let result = self.foca.handle_data(bytes, &mut self.runtime);
        self.runtime.count(result);
    }

    pub(super) fn timer(&mut self, timer: Timer<Identity>) {
        let result = self.foca.handle_timer(timer, &mut self.runtime);
        self.runtime.count(result);
    }

    pub(super) fn announce(&mut self, to: Identity) {
        let result = self.foca.announce(to, &mut self.runtime);
        self.runtime.count(result);
    }

    /// Takes news over; `broadcast` passes on what was new.
    pub(super) fn apply(
        &mut self,
        news: impl IntoIterator<Item = foca::Member<Identity>>,
        broadcast: bool,
    ) {
        let result = self
            .foca
            .apply_many(news.into_iter(), broadcast, &mut self.runtime);
        self.runtime.count(result);
    }

    /// Refutes a suspicion of this node itself at `incarnation`. Returns the incarnation
    /// that refutes it.
    pub(super) fn refute(&mut self, incarnation: u16) -> u16 {
        let me = *self.identity();
        if incarnation >= self.incarnation() {
            self.apply(
                [foca::Member::new(me, incarnation, foca::State::Suspect)],
                true,
            );
            if *self.identity() == me {
                // foca says its incarnation only with a message, and sends none while it
                // knows nobody.
                self.runtime.incarnation = incarnation.saturating_add(1);
            }
        }
        self.incarnation()
    }

    /// Takes part again after a change of name, if any active member is known: foca alone
    /// would wait until somebody addresses the new name, which nobody may know.
    pub(super) fn resume(&mut self) {
        if !self.is_active() && self.foca.num_members() > 0 {
            self.apply([], false);
        }
    }

    /// Takes another name, declaring the present one gone.
    pub(super) fn rename(&mut self, identity: Identity) {
        let result = self.foca.change_identity(identity, &mut self.runtime);
        self.runtime.renewed();
        self.runtime.count(result);
    }

    pub(super) fn take_effects(&mut self) -> Effects {
        std::mem::take(&mut self.runtime.effects)
    }
}

fn config(params: &Params) -> foca::Config {
    fn at_least_one(n: usize) -> NonZeroUsize {
        NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN)
    }
    foca::Config {
        probe_period: params.probe_period,
        probe_rtt: params.probe_rtt,
        num_indirect_probes: at_least_one(params.indirect_probes),
        max_transmissions: NonZeroU8::new(params.transmissions_max).unwrap_or(NonZeroU8::MIN),
        suspect_to_down_after: params.suspect_to_failed,
        // The view decides when somebody is forgotten (`View::next_forgotten`).
        remove_down_after: None,
        max_packet_size: at_least_one(SWIM_BYTES_MAX),
        notify_down_members: true,
        periodic_announce: params.knocking.then(|| PeriodicParams {
            frequency: params.announce_period,
            num_members: NonZeroUsize::MIN,
        }),
        // We knock at failed members ourselves: foca would also announce to those who
        // left, and would skip the check of the fingerprint.
        periodic_announce_to_down_members: None,
        periodic_gossip: Some(PeriodicParams {
            frequency: params.gossip_period,
            num_members: at_least_one(params.gossip_fanout),
        }),
    }
}

#[derive(Default)]
struct Collector {
    effects: Effects,
    incarnation: u16,
    active: bool,
}

impl Collector {
    fn renewed(&mut self) {
        self.incarnation = 0;
        self.set_active(false);
        self.effects.renewals += 1;
    }

    fn set_active(&mut self, active: bool) {
        if active != self.active {
            self.active = active;
            self.effects.became_active |= active;
            self.effects.became_inactive |= !active;
        }
    }

    fn count(&mut self, result: Result<(), foca::Error>) {
        self.effects.errors += u64::from(result.is_err());
    }
}

impl foca::Runtime<Identity> for Collector {
    fn notify(&mut self, notification: Notification<'_, Identity>) {
        match notification {
            Notification::Active => self.set_active(true),
            Notification::Idle | Notification::Defunct => self.set_active(false),
            Notification::Rejoin(_) => self.renewed(),
            Notification::DataSent(header) => self.incarnation = header.src_incarnation,
            Notification::ProbeFailed(..) => self.effects.probe_failures += 1,
            // The view finds these by comparing.
            Notification::MemberUp(_)
            | Notification::MemberDown(_)
            | Notification::Rename(..)
            | Notification::DataReceived(_) => {}
        }
    }

    fn send_to(&mut self, to: Identity, data: &[u8]) {
        self.effects.sends.push((to.addr, data.to_vec()));
    }

    fn submit_after(&mut self, timer: Timer<Identity>, after: Duration) {
        self.effects.timers.push((after, timer));
    }
}
