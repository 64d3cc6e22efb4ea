//! The memory for long frames from peers: one budget for all streams.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most bytes of long frames that are being received at once, from all peers together: a few of
/// the longest. Streams with further ones are not read until others have ended, which takes no
/// longer than the network needs: a stream that stands still is given up.
const LONG_FRAMES_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What is counted is rounded up to this: a semaphore counts in 32 bits.
const UNIT_BYTES: usize = 1024;

/// Grants memory for long frames.
#[derive(Clone, Debug)]
pub(super) struct LongFrames(Arc<Semaphore>);

/// Memory that was granted, until it is dropped.
#[derive(Debug)]
pub(super) struct Grant(#[expect(dead_code, reason = "held, not looked at")] OwnedSemaphorePermit);

impl Default for LongFrames {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LONG_FRAMES_BYTES_MAX / UNIT_BYTES)))
    }
}

impl LongFrames {
    /// Waits for memory for a frame of so many bytes, in the order of asking; none once the
    /// node has stopped. Cancel-safe.
    pub(super) async fn grant(&self, bytes: usize) -> Option<Grant> {
        let units = bytes.min(LONG_FRAMES_BYTES_MAX).div_ceil(UNIT_BYTES);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.0).acquire_many_owned(units).await;
        permit.ok().map(Grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn who_comes_when_all_is_taken_waits_for_another_to_end() {
        let frames = LongFrames::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut poll = |bytes| pin!(frames.grant(bytes)).poll(&mut context);
        let Poll::Ready(Some(first)) = poll(LONG_FRAMES_BYTES_MAX - 10 * UNIT_BYTES) else {
            panic!("nothing was taken");
        };
        let second = poll(10 * UNIT_BYTES);
        assert!(second.is_ready());
        assert!(poll(1).is_pending());
        drop(first);
        assert!(poll(1).is_ready());
        assert!(poll(usize::MAX).is_pending(), "the second is still there");
        drop(second);
        assert!(poll(usize::MAX).is_ready(), "never more than there is");
    }
}
