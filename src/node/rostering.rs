//! What a node does about the roster: learns it, spreads it, and goes its own way in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Data;
use super::control::Step;
use super::effect::{Effect, Note};
use super::member::{JoinError, LeaveError, RemoveError};
use super::seats::replaced;
use super::view::View;
use crate::clock::NodeId;
use crate::machine::{Instant, Now};
use crate::placement::{Founding, PartitionId, Phase, Record, Roster, RosterError};
use crate::replication::{Input, Message};

/// Records of one message: with the longest names about a megabyte.
const RECORDS_MAX: usize = 4_096;

/// How long one member is asked for a partition before another one is.
const SOURCE_TURN_MS: u64 = 5_000;

impl<W> Data<W> {
    /// These nodes can be reached now, and no others.
    pub fn reach(&self, now: Now, reachable: BTreeSet<NodeId>, effects: &mut Vec<Effect<W>>) {
        if self.control.lock().reach(reachable) {
            self.refresh(now, effects);
        }
    }

    /// Nobody is there whose cluster this node could join: it founds one, unless it knows of
    /// one. Returns whether it did.
    pub fn found(&self, now: Now, effects: &mut Vec<Effect<W>>) -> bool {
        if !self.control.lock().roster().is_empty() {
            return false;
        }
        // Before it says that it owns, so that a crash in between leaves it a nobody.
        self.mark_all(false, effects);
        let founded = self.control.lock().found(now.wall_ms);
        let founded = self.stated(founded, effects);
        if founded {
            self.place_changed(now, &[self.me], effects);
            effects.push(Effect::Note(Note::Phase(Phase::Active)));
        }
        founded
    }

    /// Begins to leave for good: [`is_gone`](Self::is_gone) says when it has. By force it does
    /// not wait until others have what only this node has.
    ///
    /// # Errors
    /// See [`LeaveError`].
    pub fn leave(
        &self,
        now: Now,
        force: bool,
        effects: &mut Vec<Effect<W>>,
    ) -> Result<(), LeaveError> {
        self.control.lock().leave(force)?;
        self.place_changed(now, &[self.me], effects);
        Ok(())
    }

    /// States that a member that is dead is gone for good. What only it has is lost.
    ///
    /// # Errors
    /// See [`RemoveError`].
    pub fn remove(
        &self,
        now: Now,
        id: NodeId,
        is_alive: bool,
        effects: &mut Vec<Effect<W>>,
    ) -> Result<(), RemoveError> {
        self.control.lock().remove(id, is_alive)?;
        self.place_changed(now, &[id], effects);
        Ok(())
    }

    /// Whether this node has left for good, and some other knows.
    pub fn is_gone(&self) -> bool {
        let control = self.control.lock();
        control.is_gone() && (control.is_told() || control.roster().is_empty())
    }

    /// Whether this node has left for good, known to others or not.
    pub fn has_departed(&self) -> bool {
        self.control.lock().is_gone()
    }

    /// How far this node has come; none if it is no member.
    pub fn phase(&self) -> Option<Phase> {
        self.control.lock().phase()
    }

    /// Whether it has come to own, and clients are served by that: what it knows of its place is
    /// kept on the disk before it is acted on.
    pub fn is_in_place(&self) -> bool {
        let (phase, known) = {
            let control = self.control.lock();
            (control.phase(), control.view().placement)
        };
        phase.is_some_and(Phase::is_current) && Arc::ptr_eq(&known, &self.view().placement)
    }

    /// Why it does not join, if something is wrong.
    pub fn join_error(&self) -> Option<JoinError> {
        self.control.lock().join_error()
    }

    /// What it knows of the cluster's members.
    pub fn roster(&self) -> Roster {
        self.control.lock().roster().clone()
    }

    /// A peer says what it knows of the cluster's members.
    pub(super) fn learn(
        &self,
        now: Now,
        from: NodeId,
        founding: Option<Founding>,
        (fingerprint, records): (u64, &[(NodeId, Record)]),
        effects: &mut Vec<Effect<W>>,
    ) {
        let learned = self.control.lock().learn(founding, records);
        let learned = learned.unwrap_or_else(|reason| {
            effects.push(Effect::Note(Note::RosterRefused { peer: from, reason }));
            Default::default()
        });
        if learned.is_elder {
            effects.push(Effect::Note(Note::Merged));
            self.mark_all(true, effects);
        }
        if learned.is_news {
            self.place_changed(now, &[], effects);
        }
        self.control.lock().told(from, fingerprint);
    }

    /// Tells a peer all that this node knows of the cluster's members.
    pub(super) fn tell_roster(&self, to: NodeId, mutual: bool, effects: &mut Vec<Effect<W>>) {
        let records: Vec<(NodeId, Record)> = {
            let control = self.control.lock();
            let records = control.roster().records();
            records.map(|(id, record)| (id, record.clone())).collect()
        };
        let mut pieces: Vec<&[(NodeId, Record)]> = records.chunks(RECORDS_MAX).collect();
        if pieces.is_empty() {
            pieces.push(&[]);
        }
        let last = pieces.len() - 1;
        for (at, piece) in pieces.into_iter().enumerate() {
            let message = self.roster_message(piece.to_vec(), mutual && at == last);
            effects.push(Effect::Send { to, message });
        }
    }

    fn roster_message(&self, records: Vec<(NodeId, Record)>, mutual: bool) -> Message {
        let has_whole = self.any(|partition| !partition.is_rebuilding());
        let control = self.control.lock();
        Message::Roster {
            founding: control.memory().founding.filter(|_| has_whole),
            fingerprint: control.roster().fingerprint(),
            records,
            mutual,
        }
    }

    /// What this node knows of the members has changed: keeps it, tells everyone what it has
    /// to say itself about `stated`, and acts on it.
    fn place_changed(&self, now: Now, stated: &[NodeId], effects: &mut Vec<Effect<W>>) {
        self.holdings.lock().forget();
        self.keep_memory(effects);
        let (records, reachable): (Vec<(NodeId, Record)>, Vec<NodeId>) = {
            let control = self.control.lock();
            let roster = control.roster();
            let known = |id: &NodeId| Some((*id, roster.record(*id)?.clone()));
            let records = stated.iter().filter_map(known).collect();
            (records, control.reachable().iter().copied().collect())
        };
        if !records.is_empty() {
            for to in reachable {
                let message = self.roster_message(records.clone(), true);
                effects.push(Effect::Send { to, message });
            }
        }
        self.refresh(now, effects);
    }

    /// Makes the view anew and acts on it.
    pub(super) fn refresh(&self, now: Now, effects: &mut Vec<Effect<W>>) {
        let view = self.control.lock().view();
        self.view_changed(now, view, effects);
        self.tend_place_soon(now.mono);
    }

    /// There may be something to do about this node's place.
    pub(super) fn tend_place_soon(&self, at: Instant) {
        let mut due = self.place_due.lock();
        *due = at.min(*due);
    }

    /// Does what is to be done about this node's place in the cluster.
    pub(super) fn tend_place(&self, now: Now, effects: &mut Vec<Effect<W>>) {
        if self.gate.is_closed() {
            return;
        }
        let evicted = self.control.lock().overdue(now.mono);
        if let Some(member) = evicted
            && self.remove(now, member, false, effects).is_ok()
        {
            effects.push(Effect::Note(Note::Evicted { member }));
        }
        let step = self.control.lock().step();
        match step {
            Step::None => {}
            Step::Join => {
                self.mark_all(true, effects);
                let joined = self.control.lock().join();
                if self.stated(joined, effects) {
                    self.place_changed(now, &[self.me], effects);
                    effects.push(Effect::Note(Note::Phase(Phase::Joining)));
                }
            }
            Step::Activate => {
                let to_hold = self.control.lock().to_hold();
                if to_hold.into_iter().all(|id| self.is_whole(id)) {
                    let before = replaced(self.control.lock().roster(), self.me);
                    let stated = self.control.lock().activate().map(|()| true);
                    if self.stated(stated, effects) {
                        let changed: Vec<NodeId> = before.into_iter().chain([self.me]).collect();
                        self.place_changed(now, &changed, effects);
                        effects.push(Effect::Note(Note::Phase(Phase::Active)));
                    }
                }
            }
            Step::HandOff => self.hand_off(now, effects),
            Step::Depart => self.depart(now, effects),
        }
        self.look(now);
        self.fetch_wanted(now, effects);
        self.ask_heirs(now, effects);
    }

    pub(super) fn depart(&self, now: Now, effects: &mut Vec<Effect<W>>) {
        let departed = self.control.lock().depart().map(|()| true);
        if self.stated(departed, effects) {
            self.place_changed(now, &[self.me], effects);
        }
    }

    fn stated(&self, stated: Result<bool, RosterError>, effects: &mut Vec<Effect<W>>) -> bool {
        stated.unwrap_or_else(|reason| {
            let peer = self.me;
            effects.push(Effect::Note(Note::RosterRefused { peer, reason }));
            false
        })
    }

    /// Fetches the partitions that this node should hold and does not hold whole, each from one
    /// owner after another until it does.
    fn fetch_wanted(&self, now: Now, effects: &mut Vec<Effect<W>>) {
        let view = self.view();
        let turn = now.wall_ms / SOURCE_TURN_MS;
        let mut asked: BTreeMap<NodeId, Vec<PartitionId>> = BTreeMap::new();
        for id in self.keyspace.all() {
            let group = view.group(id);
            if !group.is_wanted || self.is_whole(id) {
                continue;
            }
            if let Some(source) = source(&view, id, turn.wrapping_add(u64::from(id.0))) {
                asked.entry(source).or_default().push(id);
            }
        }
        for (peer, partitions) in asked {
            let input = Input::Differ {
                peer,
                partitions,
                mutual: true,
            };
            self.tell_sync(now, input, effects);
        }
    }

    pub(super) fn is_whole(&self, id: PartitionId) -> bool {
        let shard = self.shard(id).lock();
        shard.partition(id).is_some_and(|p| !p.is_rebuilding())
    }

    /// Marks all copies as not whole, or as whole those that never had another replica. The
    /// former is on disk before it returns: what this node then says of its place is kept
    /// whether or not later batches are.
    fn mark_all(&self, rebuilding: bool, effects: &mut Vec<Effect<W>>) {
        let mut is_news = false;
        for shard in &self.shards {
            for (id, partition) in &mut shard.lock().partitions {
                if !rebuilding && partition.has_had_peers() {
                    continue;
                }
                is_news |= !partition.is_marked(rebuilding);
                if let Err(error) = partition.set_rebuilding(rebuilding) {
                    effects.push(Effect::storage(*id, &error));
                }
            }
        }
        if is_news
            && rebuilding
            && let Err(error) = self.engine.read().clone().sync()
        {
            let error = error.to_string();
            effects.push(Effect::Note(Note::RosterUnkept { error }));
        }
    }

    fn keep_memory(&self, effects: &mut Vec<Effect<W>>) {
        let note = self.control.lock().memory().encode();
        let engine = self.engine.read().clone();
        let kept = note.and_then(|note| Ok(engine.keep_note(&note)?));
        if let Err(error) = kept {
            let error = error.to_string();
            effects.push(Effect::Note(Note::RosterUnkept { error }));
        }
    }
}

/// Whom to ask for a partition in its turn: the owners one after another, and by the first of
/// them everyone in between, since it is for the first to know when nobody has a whole copy.
fn source(view: &View, id: PartitionId, turn: u64) -> Option<NodeId> {
    let is_first = view.placement.current(id).first() == Some(&view.me);
    let owners = &view.group(id).voters;
    if owners.is_empty() || is_first && turn % 2 == 1 {
        let at = (turn / 2).checked_rem(view.reachable.len() as u64)?;
        return view
            .reachable
            .iter()
            .nth(usize::try_from(at).ok()?)
            .copied();
    }
    let at = turn.checked_rem(owners.len() as u64)?;
    owners.get(usize::try_from(at).ok()?).copied()
}
