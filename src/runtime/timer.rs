//! The data plane's timer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::core::Core;

/// The timer looks again at least this often, because a new deadline does not wake it: a
/// write that begins to wait may time out this much late.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The shortest pause between two turns, whatever is due.
const PAUSE_MIN: Duration = Duration::from_millis(5);

/// Does what is due until the node has stopped.
pub(super) async fn run(core: Arc<Core>) {
    loop {
        let now = Instant::now();
        let due = core
            .data
            .poll_timeout()
            .map_or(now + LOOK_AGAIN, |at| core.clock.when(at));
        let wake = due.clamp(now + PAUSE_MIN, now + LOOK_AGAIN);
        tokio::select! {
            () = core.stopped.cancelled() => return,
            () = tokio::time::sleep_until(wake) => {}
        }
        let mut effects = Vec::new();
        core.data.handle_timeout(core.clock.now(), &mut effects);
        core.execute(effects);
    }
}
