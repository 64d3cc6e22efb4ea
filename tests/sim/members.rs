//! Who belongs to the cluster, and what goes with those who leave it.

use std::time::Duration;

use netdb::membership::Input;
use netdb::node::Note;
use netdb::placement::{PartitionId, Phase, Placement, Roster};

use crate::faults::FAREWELL;
use crate::ghost::Dots;
use crate::node::keyspace;
use crate::plan::Disk;
use crate::world::{Event, World};

/// Rosters that differ for longer than this are more than news on their way.
const NEWS_TAKES: Duration = Duration::from_secs(5);

impl World {
    /// A node starts, new or with what is on its disk.
    pub fn join(&mut self, node: usize, replace: Option<usize>) {
        if self.nodes[node].process.is_none() {
            self.nodes[node].replace = replace.map(|other| self.nodes[other].id);
            self.start(node);
        }
    }

    /// A node begins to leave for good.
    pub fn depart(&mut self, node: usize, force: bool) {
        let Some(process) = &self.nodes[node].process else {
            return;
        };
        if self.nodes[node].leaving || process.data.phase().is_none() {
            return;
        }
        let mut begun = false;
        self.nodes[node].departing = Some(force);
        self.act(node, |process, now| {
            let mut effects = Vec::new();
            begun = process.data.leave(now, force, &mut effects).is_ok();
            process.settle(now, effects)
        });
        if !begun {
            self.nodes[node].departing = None;
        }
    }

    /// An operator has `on` remove a node.
    pub fn remove(&mut self, node: usize, on: usize) {
        let id = self.nodes[node].id;
        let mut removed = false;
        self.act(on, |process, now| {
            let mut effects = Vec::new();
            let is_alive = process.is_active(id);
            let data = &process.data;
            removed = data.remove(now, id, is_alive, &mut effects).is_ok();
            process.settle(now, effects)
        });
        if removed {
            self.met.insert("member that was removed");
            self.see_departures(on);
        }
    }

    /// What a node says of its place.
    pub fn see_place_noted(&mut self, node: usize, note: &Note) {
        match note {
            Note::Phase(Phase::Joining) => {
                if self.nodes[node].departed {
                    self.met.insert("member that came back after it was gone");
                }
                self.see_stay(node);
            }
            Note::Phase(_) => {
                self.see_stay(node);
                self.see_departures(node);
                self.see_activated(node);
            }
            Note::Evicted { .. } => {
                self.met.insert("member that was evicted");
                self.see_departures(node);
            }
            Note::Merged => {
                self.met.insert("clusters that became one");
            }
            Note::Dropped { partition } => self.see_dropped(node, *partition),
            Note::LeftOver { partition } => self.see_left_over(node, *partition),
            _ => {}
        }
    }

    fn see_activated(&mut self, node: usize) {
        let holds = !self.dots_on_disk(node).is_empty();
        let now = &mut self.nodes[node];
        let interrupted = std::mem::take(&mut now.interrupted);
        let roster = now.process.as_ref().map(|process| process.data.roster());
        let claim = roster.as_ref().and_then(|roster| roster.member(now.id));
        let seat = claim.map(|claim| claim.profile.seat);
        let replaces = now.replace.is_some() && seat.is_some_and(|seat| seat != now.id);
        let seen = [
            (
                holds && self.now < self.plan.profile.weather,
                "member that joined under load",
            ),
            (interrupted, "transfer that went on after a crash"),
            (replaces, "member that was replaced"),
        ];
        let seen = seen.into_iter().filter(|(is, _)| *is);
        self.met.extend(seen.map(|(_, what)| what));
    }

    /// The stay that a node has begun.
    fn see_stay(&mut self, node: usize) {
        let id = self.nodes[node].id;
        let process = self.nodes[node].process.as_ref();
        let roster = process.map(|process| process.data.roster());
        if let Some(claim) = roster.as_ref().and_then(|roster| roster.member(id)) {
            self.nodes[node].stay = claim.incarnation;
            self.nodes[node].departed = false;
        }
    }

    /// Notes who is gone for good by what a node knows. What only a stopped one of them has is
    /// given up with that.
    fn see_departures(&mut self, by: usize) {
        let Some(process) = &self.nodes[by].process else {
            return;
        };
        let roster = process.data.roster();
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            let departure = roster.record(node.id).and_then(|record| record.departure);
            let ended = departure.is_some_and(|gone| gone.incarnation >= node.stay);
            if ended && !node.departed {
                node.departed = true;
                if node.process.is_none() {
                    self.give_up(index);
                }
            }
        }
    }

    /// A node's disk is not coming back: nobody can promise what only it has.
    pub fn give_up(&mut self, node: usize) {
        let lost = self.only_on(node, self.dots_on_disk(node));
        self.destroy(&lost, false);
    }

    /// After everything that a node does: one that leaves may have left.
    pub fn see_leaving(&mut self, node: usize) {
        let it = &self.nodes[node];
        let Some(process) = &it.process else { return };
        if let Some(force) = it.departing
            && process.data.phase().is_none()
        {
            let lost = self.only_on(node, self.dots_on_disk(node));
            let removed = self.nodes[node].departed;
            self.nodes[node].departing = None;
            self.nodes[node].departed = true;
            self.nodes[node].farewell = true;
            if !force && !removed && !lost.is_empty() {
                let what = format!("{} left with {lost:?}", self.nodes[node].id);
                self.fail("who_leaves_takes_nothing_along", what);
            }
            self.met.insert(match force {
                true => "member that left by force",
                false => "member that left",
            });
            self.destroy(&lost, false);
        }
        let it = &self.nodes[node];
        let is_gone = |process: &crate::node::Process| process.data.is_gone();
        if it.farewell && it.process.as_ref().is_some_and(is_gone) {
            self.nodes[node].farewell = false;
            self.nodes[node].leaving = true;
            self.act(node, |process, now| process.membership(now, Input::Leave));
            let life = self.nodes[node].life;
            self.schedule(FAREWELL, Event::Stop { node, life });
        }
    }

    /// A node has given up its copy of a partition: all of it must be with those who get its
    /// writes by what that node knows. Of those that gave up theirs or lost a disk since they
    /// said so, others must have it.
    fn see_dropped(&mut self, node: usize, partition: PartitionId) {
        self.met.insert("orphan that was dropped");
        let clock = self.copies.remove(&partition).unwrap_or_default();
        let dropped = self.ghost.issued.keys().filter(|dot| clock.contains(**dot));
        let dropped: Dots = dropped.copied().collect();
        if dropped
            .iter()
            .any(|dot| self.stood_in.contains(&(node, *dot)))
        {
            self.met.insert("write of a stand-in that its owner got");
        }
        self.nodes[node].dropped.insert(partition);
        if !self.plan.profile.drops_watched {
            return;
        }
        let nowhere = self.only_on(node, dropped.clone());
        let nowhere: Vec<_> = nowhere.difference(&self.ghost.destroyed).collect();
        if !nowhere.is_empty() {
            let what = format!("{} dropped {nowhere:?}", self.nodes[node].id);
            self.fail("no_last_copy_is_dropped", what);
        }
        let process = self.nodes[node].process.as_ref().expect("a running node");
        for heir in process.data.view().group(partition).replicas.clone() {
            let index = self.index_of(heir);
            let heir = &self.nodes[index];
            let has = self.dots_on_disk(index);
            let lacks: Vec<_> = dropped.difference(&has).collect();
            if !lacks.is_empty() && !heir.replaced && !heir.dropped.contains(&partition) {
                let what = format!("{} lacks {lacks:?} of {partition:?}", heir.id);
                self.fail("heirs_have_what_is_dropped", what);
            }
        }
    }

    /// The copies of a node, some of which it may be about to give up.
    pub fn see_copies(&mut self, node: usize) {
        let Some(process) = self.nodes[node].process.as_ref() else {
            return;
        };
        let copies = &mut self.copies;
        copies.clear();
        process.data.inspect(|partition| {
            copies.insert(partition.id(), partition.clock().clone());
        });
    }

    /// A node takes what it has of a partition for all that is left of it. It is, but for what
    /// those have who are gone for good as far as it knows.
    fn see_left_over(&mut self, node: usize, partition: PartitionId) {
        self.met.insert("all that was left of a partition");
        let has = self.dots_on_disk(node);
        let process = self.nodes[node].process.as_ref().expect("a running node");
        let roster = process.data.roster();
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            let is_gone = roster.member(self.nodes[other].id).is_none();
            if !self.nodes[other].counts() || is_gone && self.nodes[other].life > 0 {
                continue;
            }
            let more = self.dots_on_disk(other);
            let more = more.difference(&has);
            let of_it = |dot: &&netdb::clock::Dot| self.partition_of(**dot) == partition;
            let more: Vec<_> = more.filter(of_it).collect();
            if !more.is_empty() {
                let (id, other) = (self.nodes[node].id, self.nodes[other].id);
                let what = format!("{id} settled for less of {partition:?} than {other}: {more:?}");
                return self.fail("what_is_left_over_is_all", what);
            }
        }
    }

    fn partition_of(&self, dot: netdb::clock::Dot) -> PartitionId {
        let key = self.ghost.issued[&dot].key;
        crate::clients::partition_of(key)
    }

    /// A node is about to crash in the middle of its transfer.
    pub fn see_interrupted(&mut self, node: usize) {
        let Some(process) = &self.nodes[node].process else {
            return;
        };
        let joining = process.data.phase() == Some(Phase::Joining);
        self.nodes[node].interrupted |= joining && !self.dots_on_disk(node).is_empty();
    }

    /// What all that run know together.
    pub fn newest_roster(&self) -> Roster {
        let mut newest = Roster::default();
        for (_, process) in self.running() {
            let _ = newest.merge(&process.data.roster());
        }
        newest
    }

    /// A node has accepted a write.
    pub fn see_accepted(&mut self, node: usize, key: &[u8]) {
        if !self.plan.profile.resharding {
            return;
        }
        let id = keyspace().partition_of(key);
        let replicas = self.plan.profile.replicas;
        let placement = Placement::of(&self.newest_roster(), keyspace(), replicas);
        if !placement.current(id).contains(&self.nodes[node].id) {
            self.met.insert("write that a former owner accepted");
        }
    }

    /// What can be seen of rosters from time to time.
    pub fn see_rosters(&mut self) {
        let prints: std::collections::BTreeSet<u64> = self
            .running()
            .filter(|(_, process)| process.data.phase().is_some())
            .map(|(_, process)| process.data.roster().fingerprint())
            .collect();
        match (prints.len() > 1, self.rosters_differ_since) {
            (false, _) => self.rosters_differ_since = None,
            (true, None) => self.rosters_differ_since = Some(self.now),
            (true, Some(since)) if self.now - since > NEWS_TAKES => {
                self.met.insert("rosters that differed for long");
            }
            (true, Some(_)) => {}
        }
    }

    /// Who cannot take the place that it was to take is started again to join without.
    pub fn let_join(&mut self) {
        for index in 0..self.nodes.len() {
            let node = &mut self.nodes[index];
            let stuck = node.process.as_ref().and_then(|p| p.data.join_error());
            if stuck.is_some() {
                node.replace = None;
                self.crash(index, Disk::Kept);
                self.start(index);
            }
        }
    }

    /// The weather is over: all that belong to the cluster run.
    pub fn gather(&mut self) {
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            if node.process.is_none() && node.life > 0 && !node.departed {
                self.start(index);
            }
        }
        // Some removed others, and were lost before anyone heard.
        let newest = self.newest_roster();
        for index in 0..self.nodes.len() {
            let node = &self.nodes[index];
            if node.process.is_none() && newest.member(node.id).is_some() {
                self.start(index);
            }
        }
    }
}
