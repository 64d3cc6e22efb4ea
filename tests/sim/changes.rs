//! Who comes and goes for good in one run, decided before it begins.
//!
//! Whether a change can be made is known only when its time has come: a node that is alive is
//! not removed, one that is no member does not leave. Then it is left out.

use std::time::Duration;

use rand::RngExt;

use crate::plan::{Disk, Draw, FORMED, Fault};

/// Reconsidered changes come about this soon after what they are about.
const SOON: Duration = Duration::from_secs(1);

/// From a crash until all that are there have noticed it, with a margin.
const NOTICED: Duration = Duration::from_secs(7);

impl Draw<'_> {
    /// Everything about members, with the faults of a moderate storm.
    pub fn resharding(&mut self) {
        self.profile.loss = self.profile.loss.min(0.1);
        for _ in 0..self.rng.random_range(0..2) {
            let one_way = self.rng.random_bool(0.5);
            self.partition(one_way);
        }
        for _ in 0..self.rng.random_range(0..=self.profile.crashes_max) {
            let disk = match self.rng.random_range(0..12) {
                0..4 => Disk::Kept,
                4..6 => Disk::LostSome(self.rng.random_range(1..4)),
                6..10 => Disk::LostTail,
                10 => Disk::Wiped,
                _ => self.back_up(),
            };
            self.crash(disk);
        }
        self.delays();
        self.jumps();
        self.restart();
        let mut spare: Vec<usize> = (self.profile.members..self.profile.nodes).collect();
        if self.rng.random_bool(0.3) {
            self.all_at_once(&mut spare);
        }
        for _ in 0..self.rng.random_range(1..=4) {
            self.change(&mut spare);
        }
    }

    fn change(&mut self, spare: &mut Vec<usize>) {
        let at = self.between(FORMED, self.profile.weather.mul_f64(0.7));
        let node = self.member();
        match self.rng.random_range(0..8) {
            0 | 1 => self.join(at, spare, None),
            2 | 3 => {
                let force = self.rng.random_bool(0.2);
                self.step(at, Fault::Depart { node, force });
                self.perhaps_back(at + NOTICED, node);
            }
            4 => {
                self.step(at, death(node));
                self.removals(at + NOTICED, node);
                self.perhaps_back(at + NOTICED + SOON, node);
            }
            5 => {
                self.step(at, death(node));
                self.perhaps_back(at + NOTICED, node);
            }
            6 => {
                self.step(at, death(node));
                let after = self.between(at + NOTICED / 2, at + 2 * NOTICED);
                self.join(after, spare, Some(node));
                self.perhaps_back(after, node);
            }
            _ => self.split(at),
        }
    }

    /// Two come, one leaves and one dies, while the others are still told of the first.
    fn all_at_once(&mut self, spare: &mut Vec<usize>) {
        let at = self.during();
        for _ in 0..2 {
            let when = self.between(at, at + SOON);
            self.join(when, spare, None);
        }
        let (leaver, victim) = (self.member(), self.member());
        let when = self.between(at, at + SOON);
        let leave = Fault::Depart {
            node: leaver,
            force: false,
        };
        self.step(when, leave);
        let when = self.between(at, at + 2 * SOON);
        self.step(when, death(victim));
    }

    /// Both halves of a split cluster remove members of the other.
    fn split(&mut self, at: Duration) {
        let nodes: Vec<usize> = (0..self.profile.nodes).collect();
        let side: Vec<usize> = nodes
            .iter()
            .copied()
            .filter(|_| self.rng.random_bool(0.5))
            .collect();
        let away: Vec<usize> = nodes.into_iter().filter(|n| !side.contains(n)).collect();
        let one_way = false;
        if side.is_empty() || away.is_empty() {
            return;
        }
        for (from, to) in [(&side, &away), (&away, &side)] {
            let node = from[self.rng.random_range(0..from.len())];
            let on = to[self.rng.random_range(0..to.len())];
            let when = self.between(at + NOTICED, at + NOTICED + 3 * SOON);
            self.step(when, Fault::Remove { node, on });
        }
        self.step(at, Fault::Partition { side, one_way });
        let end = self.between(at + NOTICED, at + 3 * NOTICED);
        self.step(end, Fault::Heal);
    }

    fn join(&mut self, at: Duration, spare: &mut Vec<usize>, replace: Option<usize>) {
        if let Some(node) = spare.pop() {
            self.step(at, Fault::Join { node, replace });
        }
    }

    /// Several are told, for some may not be there.
    fn removals(&mut self, from: Duration, node: usize) {
        for _ in 0..3 {
            let on = self.node();
            let at = self.between(from, from + 3 * SOON);
            self.step(at, Fault::Remove { node, on });
        }
    }

    /// A node comes back with the disk that it had, or not while there is weather.
    fn perhaps_back(&mut self, from: Duration, node: usize) {
        if self.rng.random_bool(0.6) {
            let at = self.between(from, from + NOTICED);
            self.step(at, Fault::Start { node });
        }
    }

    /// Mostly one that is a member from the beginning.
    fn member(&mut self) -> usize {
        match self.rng.random_bool(0.8) {
            true => self.rng.random_range(0..self.profile.members),
            false => self.node(),
        }
    }
}

fn death(node: usize) -> Fault {
    let disk = Disk::Kept;
    Fault::Crash { node, disk }
}
