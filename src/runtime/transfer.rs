//! Backups and restores through a [`Handle`], step by step.

use super::Handle;
use crate::node::transfer::{TransferError, TransferReply, TransferRequest};

impl Handle {
    /// Does one step of the backup or restore of `client`, a number that the caller gives to
    /// each. Never waits; takes as long as one partition's rows take to be read or written.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub fn transfer(
        &self,
        client: u64,
        request: TransferRequest,
    ) -> Result<TransferReply, TransferError> {
        let core = self.core();
        if core.stopping.is_cancelled() {
            return Err(TransferError::ShuttingDown);
        }
        let mut effects = Vec::new();
        let now = core.clock.now();
        let done = core.data.transfer(now, client, request, &mut effects);
        core.execute(effects);
        done
    }

    /// Forgets what `client` has begun and not ended.
    pub fn forget_transfers(&self, client: u64) {
        self.core().data.forget_transfers(client);
    }
}
