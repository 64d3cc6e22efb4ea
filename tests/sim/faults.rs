//! What happens to nodes from outside.

use std::time::Duration;

use netdb::membership::Input;
use netdb::replication::Durability;

use crate::ghost::Dots;
use crate::history::Outcome;
use crate::plan::{Disk, Fault};
use crate::world::{Event, World};

/// A process that leaves goes on for this long, so that its farewells are heard.
pub const FAREWELL: Duration = Duration::from_millis(1_500);

impl World {
    pub fn step(&mut self, fault: Fault) {
        self.tell(|_| format!("{fault:?}"));
        match fault {
            Fault::Crash { node, disk } => self.crash(node, disk),
            Fault::Start { node } => {
                if self.nodes[node].process.is_none() {
                    self.start(node);
                }
            }
            Fault::Leave { node } => self.leave(node),
            Fault::Join { node, replace } => self.join(node, replace),
            Fault::Depart { node, force } => self.depart(node, force),
            Fault::Remove { node, on } => self.remove(node, on),
            Fault::Backup { node } => self.nodes[node].back_up(),
            Fault::Partition { side, one_way } => {
                self.net.side = side.into_iter().collect();
                self.net.one_way = one_way;
            }
            Fault::Heal => self.net.side.clear(),
            Fault::Pause { node, length } => {
                self.nodes[node].paused_until = self.now + length;
            }
            Fault::Slow { node, length } => self.nodes[node].slow_until = self.now + length,
            Fault::Jump { node, ms } => self.nodes[node].skew_ms += ms,
            Fault::Operation(operation) => self.operate(operation),
        }
    }

    fn leave(&mut self, node: usize) {
        self.met.insert("graceful leave");
        self.nodes[node].leaving = true;
        self.act(node, |process, now| process.membership(now, Input::Leave));
        let life = self.nodes[node].life;
        self.schedule(FAREWELL, Event::Stop { node, life });
    }

    /// Kills a process and does to its disk what the crash does. Writes of which that
    /// destroyed the last copy can be promised by nobody.
    pub fn crash(&mut self, node: usize, disk: Disk) {
        self.see_crash(node);
        self.see_interrupted(node);
        let had = self.dots_on_disk(node);
        self.nodes[node].crash(disk);
        self.disk_replaced |= matches!(disk, Disk::Wiped | Disk::Restored);
        let lost: Dots = had.difference(&self.dots_on_disk(node)).copied().collect();
        if !lost.is_empty() {
            self.met.insert("disk that forgot");
            let destroyed = self.only_on(node, lost);
            self.destroy(&destroyed, true);
        }
        // Whoever is gone for good need not come back.
        if self.nodes[node].departed {
            self.give_up(node);
        }
    }

    /// Those of the dots that no disk has but this node's.
    pub fn only_on(&self, node: usize, mut dots: Dots) -> Dots {
        for other in (0..self.nodes.len()).filter(|other| *other != node) {
            if !dots.is_empty() && self.nodes[other].counts() {
                let has = self.dots_on_disk(other);
                dots.retain(|dot| !has.contains(dot));
            }
        }
        dots
    }

    /// The last copies of these writes are gone, by a crash or because a member is.
    pub fn destroy(&mut self, destroyed: &Dots, by_crash: bool) {
        self.ghost.destroyed.extend(destroyed.iter().copied());
        for record in &mut self.history.records {
            let Some(dot) = record.dot else { continue };
            if destroyed.contains(&dot) {
                record.destroyed = true;
                let forced = record.operation.durability == Durability::Always;
                let acknowledged = record.outcome == Outcome::Ok;
                record.betrayed |= by_crash && forced && acknowledged && !self.disk_replaced;
                self.met.insert("write whose every copy was destroyed");
            }
        }
    }

    /// A node starts that was given up: what is on its disk is not destroyed.
    pub fn take_back(&mut self, node: usize) {
        let has = self.dots_on_disk(node);
        let revived: Dots = has
            .into_iter()
            .filter(|dot| self.ghost.revive(*dot))
            .collect();
        for record in &mut self.history.records {
            if record.dot.is_some_and(|dot| revived.contains(&dot)) {
                record.destroyed = false;
            }
        }
    }

    /// The issued dots that a node's disk, synced or not, has in its clocks.
    pub fn dots_on_disk(&self, node: usize) -> Dots {
        let clocks = self.nodes[node].clocks_on_disk();
        let issued = self.ghost.issued.keys().copied();
        issued
            .filter(|dot| clocks.iter().any(|clock| clock.contains(*dot)))
            .collect()
    }
}
