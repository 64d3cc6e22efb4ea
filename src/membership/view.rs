//! The member list as the rest of the node sees it.
//!
//! foca holds the truth about who is active; this view adds what it lacks: `Left` apart
//! from `Failed`, since when, and events for changes that foca does not report (becoming a
//! suspect, and ceasing to be one). It is brought up to date by comparing, after every
//! step, so it cannot drift from foca whatever path a change took.
//!
//! Within one identity the states of a gone member are ordered: `Failed < Left`. News that
//! a member left may come after the verdict that it failed, on some members and not on
//! others; the greater wins everywhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::event::Event;
use super::identity::Identity;
use super::members::{LEFT_INCARNATION, Member, State};
use super::packet::RosterEntry;
use crate::clock::NodeId;
use crate::machine::{Instant, Now};

/// The view: this node and every member that is remembered.
pub(super) struct View {
    me: NodeId,
    members: BTreeMap<NodeId, Member>,
    /// Identities known to have left although foca may hold them as failed.
    left: BTreeMap<NodeId, Identity>,
    /// When to forget members that are gone.
    forget_at: BTreeMap<NodeId, Instant>,
    remove_down_after: Duration,
}

impl View {
    pub(super) fn new(me: Identity, remove_down_after: Duration, now: Now) -> Self {
        let member = Member {
            identity: me,
            state: State::Alive,
            incarnation: 0,
            since: now,
        };
        Self {
            me: me.id,
            members: BTreeMap::from([(me.id, member)]),
            left: BTreeMap::new(),
            forget_at: BTreeMap::new(),
            remove_down_after,
        }
    }

    /// Everybody, this node included, ordered by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    /// Everybody but this node.
    pub(super) fn others(&self) -> impl Iterator<Item = &Member> {
        self.members
            .values()
            .filter(|member| member.identity.id != self.me)
    }

    /// How many are remembered, this node included.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// How many others are active.
    pub(super) fn active_count(&self) -> usize {
        self.others()
            .filter(|member| member.state.is_active())
            .count()
    }

    pub(super) fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// Whether `id` is an active member.
    pub(super) fn is_active(&self, id: NodeId) -> bool {
        self.member(id)
            .is_some_and(|member| member.state.is_active())
    }

    /// Brings this node's own entry up to date.
    pub(super) fn set_me(&mut self, identity: Identity, incarnation: u16) {
        if let Some(me) = self.members.get_mut(&self.me) {
            me.identity = identity;
            me.incarnation = u64::from(incarnation);
        }
    }

    /// Makes this node's own entry a departed one.
    pub(super) fn depart(&mut self, now: Now) -> Option<Member> {
        let me = self.members.get_mut(&self.me)?;
        me.state = State::Left;
        me.since = now;
        Some(*me)
    }

    /// Notes that `identity` left of its own will.
    pub(super) fn note_left(&mut self, identity: Identity) {
        let known = self.members.get(&identity.id);
        if known.is_some_and(|member| member.identity == identity) {
            self.left.insert(identity.id, identity);
        }
    }

    /// Takes over foca's list, which `swim` iterates over. Returns what changed.
    pub(super) fn refresh<'a, List>(&mut self, now: Now, swim: impl Fn() -> List) -> Vec<Event>
    where
        List: Iterator<Item = &'a foca::Member<Identity>>,
    {
        let mut events = Vec::new();
        let mut count = 1;
        for member in swim() {
            if member.id().id != self.me {
                count += 1;
                events.extend(self.observe(now, member));
            }
        }
        if self.members.len() > count {
            let seen: BTreeSet<_> = swim()
                .map(|member| member.id().id)
                .chain([self.me])
                .collect();
            self.members.retain(|id, _| seen.contains(id));
            self.left.retain(|id, _| seen.contains(id));
            self.forget_at.retain(|id, _| seen.contains(id));
        }
        events
    }

    fn observe(&mut self, now: Now, swim: &foca::Member<Identity>) -> Option<Event> {
        let identity = *swim.id();
        let state = self.state_of(swim);
        let old = self.members.get(&identity.id).copied();
        let incarnation = match old {
            // The mark of a departure is no incarnation; keep the last real one.
            Some(old) if swim.incarnation() == LEFT_INCARNATION => old.incarnation,
            None if swim.incarnation() == LEFT_INCARNATION => 0,
            _ => u64::from(swim.incarnation()),
        };
        let since = match old {
            Some(old) if old.state == state && same_life(&old.identity, &identity) => old.since,
            _ => now,
        };
        let new = Member {
            identity,
            state,
            incarnation,
            since,
        };
        if old == Some(new) {
            return None;
        }
        self.members.insert(identity.id, new);
        if self
            .left
            .get(&identity.id)
            .is_some_and(|left| *left != identity)
        {
            self.left.remove(&identity.id);
        }
        if state.is_active() {
            self.forget_at.remove(&identity.id);
        } else {
            self.forget_at
                .entry(identity.id)
                .or_insert(now.mono + self.remove_down_after);
        }
        transition(old, new)
    }

    fn state_of(&self, swim: &foca::Member<Identity>) -> State {
        match swim.state() {
            foca::State::Alive => State::Alive,
            foca::State::Suspect => State::Suspect,
            foca::State::Down if swim.incarnation() == LEFT_INCARNATION => State::Left,
            foca::State::Down if self.left.get(&swim.id().id) == Some(swim.id()) => State::Left,
            foca::State::Down => State::Failed,
        }
    }

    /// Backdates a member that was gone before this node heard of it.
    pub(super) fn backdate(&mut self, now: Now, id: NodeId, age_s: u32) {
        let age = Duration::from_secs(u64::from(age_s)).min(self.remove_down_after);
        let Some(member) = self.members.get_mut(&id).filter(|m| !m.state.is_active()) else {
            return;
        };
        let forget_at = now.mono + (self.remove_down_after - age);
        let known = self.forget_at.entry(id).or_insert(forget_at);
        if forget_at < *known {
            *known = forget_at;
            let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            member.since = Now {
                mono: Instant::from_elapsed(now.mono.elapsed().saturating_sub(age)),
                wall_ms: now.wall_ms.saturating_sub(age_ms),
            };
        }
    }

    /// When the next gone member is to be forgotten.
    pub(super) fn next_forgotten(&self) -> Option<(Instant, Identity)> {
        let (id, at) = self.forget_at.iter().min_by_key(|(_, at)| **at)?;
        Some((*at, self.members.get(id)?.identity))
    }

    /// One page of the list for another node: the entries after `after`, and whether more
    /// follow.
    pub(super) fn page(
        &self,
        now: Now,
        after: Option<NodeId>,
        entries_max: usize,
    ) -> (Vec<RosterEntry>, bool) {
        use std::ops::Bound;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.members.range((from, Bound::Unbounded));
        let entries = rest
            .by_ref()
            .take(entries_max)
            .map(|(_, m)| self.entry(now, m))
            .collect();
        (entries, rest.next().is_some())
    }

    /// What is told to others about one member.
    pub(super) fn entry(&self, now: Now, member: &Member) -> RosterEntry {
        let gone_for = self.forget_at.get(&member.identity.id).map(|forget_at| {
            self.remove_down_after
                .saturating_sub(forget_at.since(now.mono))
        });
        let age = gone_for.unwrap_or_else(|| now.mono.since(member.since.mono));
        RosterEntry {
            identity: member.identity,
            incarnation: u16::try_from(member.incarnation).unwrap_or(LEFT_INCARNATION - 1),
            state: member.state,
            age_s: u32::try_from(age.as_secs()).unwrap_or(u32::MAX),
        }
    }

    /// A digest of who is a member and who is gone; equal lists have equal digests.
    /// Suspicion and incarnations are left out: they change while nothing is amiss.
    pub(super) fn digest(&self) -> u64 {
        self.members
            .values()
            .fold(0u64, |sum, member| sum.wrapping_add(hash(member)))
    }
}

fn hash(member: &Member) -> u64 {
    let Identity {
        id,
        generation,
        bump,
        addr,
    } = member.identity;
    let mut bytes = Vec::with_capacity(40);
    bytes.extend(id.0.to_be_bytes());
    bytes.extend(generation.to_be_bytes());
    bytes.extend(bump.to_be_bytes());
    match addr.ip() {
        std::net::IpAddr::V4(ip) => bytes.extend(ip.octets()),
        std::net::IpAddr::V6(ip) => bytes.extend(ip.octets()),
    }
    bytes.extend(addr.port().to_be_bytes());
    bytes.push(match member.state {
        State::Alive | State::Suspect => 0,
        State::Failed => 1,
        State::Left => 2,
    });
    xxh3_64(&bytes)
}

/// Whether two identities are of one life of one process.
fn same_life(a: &Identity, b: &Identity) -> bool {
    a.id == b.id && a.generation == b.generation
}

/// The event that tells of the change from `old` to `new`.
fn transition(old: Option<Member>, new: Member) -> Option<Event> {
    let Some(old) = old else {
        // Somebody who was gone before we heard of him is history, not news.
        return new.state.is_active().then_some(Event::Joined(new));
    };
    let same_life = same_life(&old.identity, &new.identity);
    match (old.state.is_active(), new.state.is_active()) {
        (true, true) if !same_life => Some(Event::Restarted {
            old: old.identity,
            new,
        }),
        (false, true) if !same_life => Some(Event::Joined(new)),
        (false, true) => Some(Event::Recovered(new)),
        (true, true) => match (old.state, new.state) {
            (State::Alive, State::Suspect) => Some(Event::Suspected(new)),
            (State::Suspect, State::Alive) => Some(Event::Recovered(new)),
            _ => None,
        },
        (_, false) if new.state == old.state => None,
        (_, false) if new.state == State::Left => Some(Event::Left(new)),
        (true, false) => Some(Event::Failed(new)),
        // A departed member of which an older or newer name is found failed is still gone.
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(ms: u64) -> Now {
        Now {
            mono: Instant::from_elapsed(Duration::from_millis(ms)),
            wall_ms: 1_000_000 + ms,
        }
    }

    fn identity(id: u64, generation: u64) -> Identity {
        Identity {
            id: NodeId(id),
            generation,
            bump: 0,
            addr: "10.0.0.1:7000".parse().unwrap(),
        }
    }

    fn view() -> View {
        View::new(identity(1, 1), Duration::from_secs(100), now(0))
    }

    fn tell(view: &mut View, at: u64, id: Identity, n: u16, state: foca::State) -> Vec<Event> {
        let list = [foca::Member::new(id, n, state)];
        view.refresh(now(at), || list.iter())
    }

    #[test]
    fn a_suspect_that_dies_and_returns_is_told_step_by_step() {
        use foca::State as S;
        let (mut view, b) = (view(), identity(2, 5));
        assert!(matches!(
            tell(&mut view, 1, b, 0, S::Alive)[..],
            [Event::Joined(_)]
        ));
        assert!(matches!(
            tell(&mut view, 2, b, 0, S::Suspect)[..],
            [Event::Suspected(_)]
        ));
        assert!(matches!(
            tell(&mut view, 3, b, 1, S::Alive)[..],
            [Event::Recovered(_)]
        ));
        assert!(matches!(
            tell(&mut view, 4, b, 1, S::Down)[..],
            [Event::Failed(_)]
        ));
        assert_eq!(view.member(b.id).unwrap().since, now(4));
        let bumped = Identity { bump: 1, ..b };
        assert!(matches!(
            tell(&mut view, 5, bumped, 0, S::Alive)[..],
            [Event::Recovered(_)]
        ));
        let restarted = identity(2, 6);
        assert!(matches!(
            tell(&mut view, 6, restarted, 0, S::Alive)[..],
            [Event::Restarted { .. }]
        ));
        assert!(view.refresh(now(7), || [].iter()).is_empty());
        assert_eq!(view.len(), 1);
    }

    #[test]
    fn left_wins_over_failed_whatever_comes_first() {
        use foca::State as S;
        let (mut view, b) = (view(), identity(2, 5));
        tell(&mut view, 1, b, 0, S::Alive);
        tell(&mut view, 2, b, 0, S::Down);
        assert_eq!(view.member(b.id).unwrap().state, State::Failed);
        view.note_left(b);
        assert!(matches!(
            tell(&mut view, 3, b, 0, S::Down)[..],
            [Event::Left(_)]
        ));
        assert!(tell(&mut view, 4, b, 0, S::Down).is_empty());
        // The next life is not taken for a departed one.
        let next = identity(2, 6);
        assert!(matches!(
            tell(&mut view, 5, next, 0, S::Alive)[..],
            [Event::Joined(_)]
        ));
        assert!(matches!(
            tell(&mut view, 6, next, 0, S::Down)[..],
            [Event::Failed(_)]
        ));
    }

    #[test]
    fn a_gone_member_is_forgotten_at_the_same_age_everywhere() {
        use foca::State as S;
        let (mut a, mut b, gone) = (view(), view(), identity(2, 5));
        tell(&mut a, 0, gone, 0, S::Alive);
        tell(&mut a, 0, gone, 0, S::Down);
        let (entries, more) = a.page(now(60_000), None, 25);
        assert!(!more);
        assert_eq!((entries[1].state, entries[1].age_s), (State::Failed, 60));
        tell(&mut b, 60_000, gone, 0, S::Down);
        b.backdate(now(60_000), gone.id, entries[1].age_s);
        assert_eq!(a.next_forgotten(), b.next_forgotten());
    }

    #[test]
    fn equal_lists_have_equal_digests_and_pages_cover_the_list() {
        use foca::State as S;
        let members: Vec<_> = (2..60)
            .map(|id| foca::Member::new(identity(id, id), 0, S::Alive))
            .collect();
        let (mut a, mut b) = (view(), view());
        a.refresh(now(1), || members.iter());
        assert_ne!(a.digest(), b.digest());
        let reversed: Vec<_> = members.iter().rev().cloned().collect();
        b.refresh(now(2), || reversed.iter());
        assert_eq!(a.digest(), b.digest());

        let (mut after, mut ids) = (None, Vec::new());
        loop {
            let (entries, more) = a.page(now(3), after, 25);
            ids.extend(entries.iter().map(|entry| entry.identity.id.0));
            after = ids.last().copied().map(NodeId);
            if !more {
                break;
            }
        }
        assert_eq!(ids, (1..60).collect::<Vec<_>>());
    }
}
