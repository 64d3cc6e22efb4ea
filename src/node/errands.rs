//! What is to be done about this node's copies, for those who look on. What is done about them
//! is in `rostering` and `holdings`.

use super::Data;
use super::progress::{Errand, Progress};
use super::view::View;
use crate::machine::Now;
use crate::placement::PartitionId;

impl<W> Data<W> {
    /// How far this node is with what it has to fetch and to give up.
    pub fn progress(&self, now: Now) -> Progress {
        let view = self.view();
        let is_owned = |id: &PartitionId| view.group(*id).is_owner;
        let owned = self.keyspace.all().filter(is_owned).count() as u64;
        self.look(now);
        self.progress.lock().progress(now, owned)
    }

    /// Whether a request for a key of the partition is served here, not forwarded.
    pub fn serves(&self, id: PartitionId) -> bool {
        let view = self.view();
        let shard = self.known_shard(id);
        shard.is_some_and(|shard| {
            let shard = shard.lock();
            shard.serves(&view, id)
        })
    }

    /// Notes what is to be done.
    pub(super) fn look(&self, now: Now) {
        let view = self.view();
        let is_gone = self.control.lock().is_gone();
        let errands = self.keyspace.all().map(|id| match is_gone {
            true => Errand::Nothing,
            false => self.errand(&view, id),
        });
        let errands: Vec<Errand> = errands.collect();
        self.progress.lock().look(now, errands);
    }

    fn errand(&self, view: &View, id: PartitionId) -> Errand {
        if self.heirs(view, id).is_none() {
            return match self.is_whole(id) {
                true => Errand::Keep,
                false => Errand::Fetch,
            };
        }
        match self.is_handed_over(view, id) {
            true => Errand::Nothing,
            false => Errand::GiveUp,
        }
    }

    /// So much came of a partition.
    pub(super) fn note_brought(&self, id: PartitionId, bytes: u64) {
        self.progress.lock().brought(id, bytes);
    }
}
