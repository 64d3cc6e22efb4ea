//! Writing to peers what waits for them, for all that is under way at once.

use std::sync::Arc;

use super::core::Core;

/// The task that writes to peers. Whoever has something for a peer only queues it.
///
/// A frame costs its receiver and its sender about as much as some dozens of messages, so
/// where several requests are under way, those that can go on first add what they have. A
/// request that is alone does not wait for anybody.
pub(super) async fn run(core: Arc<Core>) {
    loop {
        tokio::select! {
            () = core.stopped.cancelled() => return,
            () = core.links.queued() => {}
        }
        if core.has_company() || core.links.has_several_waiting() {
            tokio::task::yield_now().await;
        }
        for outgoing in core.links.take_queued() {
            outgoing.flush_or_hand_over();
        }
    }
}
