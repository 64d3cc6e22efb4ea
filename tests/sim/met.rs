//! The rare things that happened in a run, each noticed from outside. A kind of weather that
//! no seed has met proves nothing.

use std::collections::BTreeMap;

use netdb::clock::{Dot, NodeId};
use netdb::node::Note;
use netdb::placement::PartitionId;
use netdb::replication::Message;
use netdb::store::exchange::FullNext;
use netdb::store::{Partition, Refusal};

use crate::world::World;

/// The last piece of a full sync that each node asked for, and whether it had to ask twice.
pub type Asked = BTreeMap<(usize, PartitionId), (FullNext, bool)>;

/// A push that brings a node something.
pub struct News {
    partition: PartitionId,
    dot: Dot,
}

impl World {
    /// Something that an operator would read.
    pub fn note(&mut self, node: usize, note: Note) {
        self.trace.update(format!("{note:?}\n").as_bytes());
        self.tell(|world| format!("{} {note:?}", world.nodes[node].id));
        self.see_place_noted(node, &note);
        match note {
            Note::FullSynced { partition, .. } => {
                self.met.insert("full sync");
                if let Some((_, true)) = self.asked.remove(&(node, partition)) {
                    self.met.insert("full sync that went on after a loss");
                }
            }
            Note::Synced { .. } => {
                self.met.insert("sync that fetched something");
            }
            Note::FullSyncDeferred { .. } => {
                self.met.insert("full sync that had to wait");
            }
            Note::OwnWritesLost { .. } => {
                self.met.insert("own writes that only others still had");
            }
            Note::Rebuilt { .. } => {
                self.met.insert("damaged partition that is whole again");
            }
            // Answers that outlived their question: expected with loss and restarts.
            Note::Refused {
                refusal: Refusal::Stale,
                ..
            } => {
                self.met.insert("answer to an earlier life");
            }
            Note::Refused {
                refusal: Refusal::UnknownSession | Refusal::Incomplete,
                ..
            } => {
                self.met.insert("piece out of turn");
            }
            // See `members`.
            Note::Phase(_)
            | Note::Merged
            | Note::Evicted { .. }
            | Note::Dropped { .. }
            | Note::LeftOver { .. } => {}
            Note::RosterUnkept { .. } => self.fail("no_roster_is_unkept", format!("{note:?}")),
            Note::RosterRefused { .. } => self.fail("no_roster_is_nonsense", format!("{note:?}")),
            Note::Diverged { .. } => self.fail("no_node_sees_a_divergence", format!("{note:?}")),
            Note::Refused { .. } => self.fail("no_message_is_nonsense", format!("{note:?}")),
            Note::Storage { .. } => self.fail("no_commit_fails", format!("{note:?}")),
        }
    }

    /// A node is about to send something.
    pub fn see_sent(&mut self, node: usize, message: &Message) {
        match message {
            Message::Delta(delta) if delta.more => {
                self.met.insert("delta in several pieces");
            }
            Message::Delta(delta) if delta.covers.iter().any(|cover| cover.key.is_none()) => {
                self.met.insert("void dots that were passed on");
            }
            Message::FullRows(rows) if rows.sequence > 0 => {
                self.met.insert("full sync in several pieces");
            }
            Message::FullGone { .. } => {
                self.met.insert("full sync that its source forgot");
            }
            Message::FullNext(next) => {
                let before = self.asked.get(&(node, next.partition));
                let running = before.filter(|(before, _)| before.session == next.session);
                let twice = running.is_some_and(|(before, twice)| *twice || before == next);
                self.asked.insert((node, next.partition), (*next, twice));
            }
            Message::Forward { id, .. } => self.see_forward(*id),
            Message::Forwarded { reply: None, .. } => {
                self.met.insert("forward that was refused");
            }
            _ => {}
        }
    }

    /// A message is about to reach a node; what news it brings if it is a push.
    pub fn see_push(&mut self, node: usize, message: &Message) -> Option<News> {
        let Message::Push { push, .. } = message else {
            return None;
        };
        let (partition, dot) = (push.partition, push.dot);
        let past = &self.ghost.issued.get(&dot)?.past;
        let look = |partition: &Partition| {
            let clock = partition.clock();
            let early = past.iter().any(|dot| !clock.contains(*dot));
            (clock.contains(dot), early)
        };
        let (known, early) = self.look(node, partition, look)?;
        if known {
            return None;
        }
        if early {
            self.met.insert("push that came before what it replaced");
        }
        let view = self.nodes[node].process.as_ref()?.data.view();
        if !view.group(partition).is_replica {
            self.stood_in.insert((node, dot));
        }
        Some(News { partition, dot })
    }

    /// What became of it. A node that refuses anything else says so.
    pub fn see_pushed(&mut self, node: usize, news: Option<News>) {
        let Some(News { partition, dot }) = news else {
            return;
        };
        let known = self.look(node, partition, |partition| partition.clock().contains(dot));
        if known == Some(false) {
            self.met.insert("late dot of a frozen actor, refused");
        }
    }

    /// A node is about to crash.
    pub fn see_crash(&mut self, node: usize) {
        let Some(process) = &self.nodes[node].process else {
            return;
        };
        if !process.data.is_caught_up() {
            self.met.insert("crash of a node that was catching up");
        }
        let mut staged = false;
        process.data.inspect(|p| staged |= p.staged().is_some());
        if staged {
            self.met.insert("crash in the middle of a full sync");
        }
    }

    /// What can be seen from time to time.
    pub fn see_replicas(&mut self) {
        let (mut holes, mut residual, mut closed) = (0, 0, 0);
        for (_, process) in self.running() {
            process.data.inspect(|partition| {
                let stats = partition.stats();
                holes += stats.holes;
                residual += stats.residual_rows;
                closed += stats.closed;
            });
        }
        let paused = |id: NodeId| {
            let node = self.nodes.iter().find(|node| node.id == id);
            node.is_some_and(|node| node.paused_until > self.now && node.process.is_some())
        };
        let lost = |id: NodeId| {
            self.running()
                .any(|(_, other)| !other.alive().contains(&id))
        };
        let forsaken = (self.running()).any(|(node, _)| paused(node.id) && lost(node.id));
        let seen = [
            (holes > 0, "hole in a clock"),
            (residual > 0, "context of a write that had not come yet"),
            (closed > 0, "dead actor that was closed"),
            (forsaken, "pause that outlasted suspicion"),
        ];
        let seen = seen.into_iter().filter(|(is, _)| *is);
        self.met.extend(seen.map(|(_, what)| what));
    }

    fn look<T>(&self, node: usize, id: PartitionId, look: impl Fn(&Partition) -> T) -> Option<T> {
        let process = self.nodes[node].process.as_ref()?;
        let mut found = None;
        process.data.inspect(|partition| {
            if partition.id() == id {
                found = Some(look(partition));
            }
        });
        found
    }
}
