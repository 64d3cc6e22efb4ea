//! Reads of sets and hashes, and of whether a key holds anything, at a strength beyond one.
//!
//! What several replicas have of one row is merged for the answer (PROTOCOL 3.7). The elements
//! of a key are many rows, and sending all that replicas have of them would cost more than it
//! brings: nearly always they have the same. So here the copy that is read is brought abreast
//! first: as many owners as the strength asks for say what they have of the partition, and once
//! the copy has all of that, it is read alone. What it lacks comes as ever, by pushes that are
//! on their way or by sync.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::Handle;
use super::core::Core;
use super::past::Past;
use super::progress::{PAUSE_MAX, PAUSE_MIN};
use super::views::Submitted;
use crate::clock::{Clock, NodeId};
use crate::node::request::{Consistency, Reply, Request, RequestError, Strength};
use crate::placement::PartitionId;

impl Handle {
    /// Whether the copy that answers a request is to be brought abreast before.
    pub(super) fn is_read_abreast(request: &Request, consistency: Consistency) -> bool {
        let is_of_elements = matches!(
            request,
            Request::Ask { .. } | Request::Exists { .. } | Request::Describe { .. }
        );
        is_of_elements && consistency.read != Strength::One
    }

    /// Does such a request. It changes nothing, so others need not wait for it.
    pub(super) fn read_abreast(
        &self,
        past: Option<Arc<Past>>,
        consistency: Consistency,
        request: Request,
    ) -> Submitted {
        let (answer, waiting) = oneshot::channel();
        let node = self.clone();
        tokio::spawn(async move {
            let partition = request.partition(&node.keyspace());
            let reply = match node.come_abreast(partition, consistency.read).await {
                Ok(()) => {
                    let consistency = Consistency {
                        read: Strength::One,
                        ..consistency
                    };
                    let submitted = node.run_once(past.as_ref(), consistency, request);
                    submitted.wait().await
                }
                Err(error) => Reply::Failed(error),
            };
            // The caller may be gone.
            let _ = answer.send(reply);
        });
        Submitted::Waiting(waiting)
    }

    /// Waits until the copy that serves this node's clients has everything that as many owners
    /// had when they were asked.
    async fn come_abreast(
        &self,
        partition: PartitionId,
        strength: Strength,
    ) -> Result<(), RequestError> {
        let view = self.core().data.view();
        let group = view.group(partition);
        if let Some(refused) = group.refused(strength) {
            return Err(refused);
        }
        let needed = group.needed(strength);
        let since = Instant::now();
        let deadline = since + self.core().profile.timeout;
        let unanswered = |answered| RequestError::Unanswered {
            answered,
            needed,
            waited: since.elapsed(),
        };
        let progress = || Request::Progress {
            partition,
            on_disk: false,
        };
        // The copy that is read is one of them.
        let mut asked: JoinSet<(NodeId, Reply)> = JoinSet::new();
        for owner in &group.voters {
            let (owner, answer) = (*owner, self.ask_owner(*owner, progress()).wait());
            asked.spawn(async move { (owner, answer.await) });
        }
        let is_served_here = self.core().data.serves(partition);
        let others = needed.saturating_sub(is_served_here.into());
        let mut ahead: Vec<Clock> = Vec::with_capacity(others);
        while ahead.len() < others {
            match timeout_at(deadline, asked.join_next()).await {
                Ok(Some(Ok((owner, Reply::Progress(clock))))) => {
                    if is_served_here {
                        self.core().fetch_if_behind(owner, partition, &clock);
                    }
                    ahead.push(clock);
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Err(unanswered(ahead.len())),
            }
        }
        let mut pause = PAUSE_MIN;
        loop {
            let served = self.submit(progress()).wait();
            if let Ok(Reply::Progress(clock)) = timeout_at(deadline, served).await
                && ahead.iter().all(|seen| clock.dominates(seen))
            {
                return Ok(());
            }
            if Instant::now() >= deadline || self.core().stopping.is_cancelled() {
                return Err(unanswered(1));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

impl Core {
    /// Asks an owner for what its copy had and this node's lacks, if anything.
    fn fetch_if_behind(&self, owner: NodeId, partition: PartitionId, seen: &Clock) {
        let (now, mut effects) = (self.clock.now(), Vec::new());
        self.data
            .fetch_if_behind(now, owner, partition, seen, &mut effects);
        self.execute(effects);
    }
}
