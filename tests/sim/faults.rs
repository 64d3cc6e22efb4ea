//! What happens to nodes from outside.

use std::time::Duration;

use netdb::clock::Dot;
use netdb::membership::Input;
use netdb::replication::Durability;

use crate::ghost::Dots;
use crate::history::Outcome;
use crate::plan::{Disk, Fault};
use crate::world::{Event, World};

/// A process that leaves goes on for this long, so that its farewells are heard.
const FAREWELL: Duration = Duration::from_millis(1_500);

impl World {
    pub fn step(&mut self, fault: Fault) {
        match fault {
            Fault::Crash { node, disk } => self.crash(node, disk),
            Fault::Start { node } => {
                if self.nodes[node].process.is_none() {
                    self.start(node);
                }
            }
            Fault::Leave { node } => self.leave(node),
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
    fn crash(&mut self, node: usize, disk: Disk) {
        self.see_crash(node);
        let had = self.dots_on_disk(node);
        self.nodes[node].crash(disk);
        self.disk_replaced |= matches!(disk, Disk::Wiped | Disk::Restored);
        let lost: Dots = had.difference(&self.dots_on_disk(node)).copied().collect();
        if lost.is_empty() {
            return;
        }
        self.met.insert("disk that forgot");
        let elsewhere: Vec<Dots> = (0..self.nodes.len())
            .filter(|other| *other != node)
            .map(|other| self.dots_on_disk(other))
            .collect();
        let nowhere = |dot: &&Dot| !elsewhere.iter().any(|dots| dots.contains(dot));
        let destroyed: Dots = lost.iter().filter(nowhere).copied().collect();
        self.ghost.destroyed.extend(destroyed.iter().copied());
        for record in &mut self.history.records {
            let Some(dot) = record.dot else { continue };
            if destroyed.contains(&dot) {
                record.destroyed = true;
                let forced = record.operation.durability == Durability::Always;
                let acknowledged = record.outcome == Outcome::Ok;
                record.betrayed |= forced && acknowledged && !self.disk_replaced;
                self.met.insert("write whose every copy was destroyed");
            }
        }
    }

    /// The issued dots that a node's disk, synced or not, has in its clocks.
    fn dots_on_disk(&self, node: usize) -> Dots {
        let clocks = self.nodes[node].clocks_on_disk();
        let issued = self.ghost.issued.keys().copied();
        issued
            .filter(|dot| clocks.iter().any(|clock| clock.contains(*dot)))
            .collect()
    }
}
