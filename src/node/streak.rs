//! Requests of one caller that come one behind the other: the shard of one stays taken for the
//! next.
//!
//! A pipeline often speaks of one key, or of few, and so do many at once. To take a lock that
//! others wait for costs more than most requests, so it is taken once for several of them.
//!
//! While a shard is taken its thread must ask nothing else of the node: it would wait for itself.
//! So effects are left until [`Streak::release`], and what asks the synchroniser before it looks
//! at the shard begins with that.

use std::sync::Arc;

use parking_lot::MutexGuard;

use super::Data;
use super::effect::{Client, Effect};
use super::request::{Consistency, Reply, Request};
use super::requests::Task;
use super::shard::Shard;
use super::view::View;
use crate::machine::Now;
use crate::placement::PartitionId;

/// Requests for which a shard stays taken: others wait for some tens of microseconds, and what
/// taking it costs is little beside so many.
const STREAK_MAX: usize = 32;

/// Requests that come one behind the other.
pub struct Streak<'a, W> {
    data: &'a Data<W>,
    held: Option<Held<'a, W>>,
    again: Option<Request>,
}

/// A shard that stays taken, and how the cluster looked when it was.
struct Held<'a, W> {
    of: PartitionId,
    shard: MutexGuard<'a, Shard<W>>,
    view: Arc<View>,
    /// Requests until others get it.
    left: usize,
}

impl<W> Data<W> {
    /// Begins a streak of requests.
    pub fn streak(&self) -> Streak<'_, W> {
        Streak {
            data: self,
            held: None,
            again: None,
        }
    }

    fn take(&self, of: PartitionId) -> Held<'_, W> {
        Held {
            of,
            view: self.view(),
            shard: self.shard(of).lock(),
            left: STREAK_MAX,
        }
    }
}

impl<W> Streak<'_, W> {
    /// Runs a request like [`Data::submit`]. The effects are for when nothing
    /// [is held](Self::is_held) any more.
    pub fn submit(
        &mut self,
        now: Now,
        request: Request,
        consistency: Consistency,
        waiter: impl FnOnce() -> W,
        effects: &mut Vec<Effect<W>>,
    ) -> Option<Reply> {
        let data = self.data;
        if request.is_decided() {
            self.release();
            self.again = request.may_clear().then(|| request.clone());
            return data.submit(now, request, consistency, waiter, effects);
        }
        let partition = request.partition(&data.keyspace);
        let held = self.held.take();
        let mut held = match held.filter(|held| data.is_same_shard(held.of, partition)) {
            Some(held) => held,
            None => data.take(partition),
        };
        let may_clear = request.may_clear() && held.shard.has_collections(partition);
        self.again = may_clear.then(|| request.clone());
        let task = Task {
            now,
            partition,
            consistency,
            view: &held.view,
        };
        let client = || Some(Client::Here(waiter()));
        let reply = data.begin(&mut held.shard, task, false, request, client, effects);
        held.left = held.left.saturating_sub(1);
        self.held = Some(held).filter(|held| held.left > 0);
        reply
    }

    /// What was submitted last, if elements of its key may have had to go for it: it is done
    /// again where that takes several steps.
    pub fn again(&mut self) -> Option<Request> {
        self.again.take()
    }

    /// Whether a shard is taken.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Gives back what is taken.
    pub fn release(&mut self) {
        self.held = None;
    }
}
