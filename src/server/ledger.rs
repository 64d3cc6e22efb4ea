//! What clients take of the node's memory, all together: requests that are read or executed,
//! answers that are not sent yet, commands that a transaction has queued.
//!
//! It is bounded. A request that does not fit is refused as soon as it says how long it is,
//! and while there is no room nothing is begun that may need some: a client that is told so
//! early can try again, a node that the system has killed cannot.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::failure::Failure;

/// What one connection may take without being counted: most take less, and cost no more than a
/// comparison then. Ten thousand of them take 160 MB at most.
const FREE_BYTES: usize = 16 * 1024;

/// What all clients take, and may take.
#[derive(Debug)]
pub(super) struct Ledger {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl Ledger {
    /// They may take so many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes: AtomicUsize::new(0),
            bytes_max,
        }
    }

    /// What they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether anything may be begun that may take more.
    ///
    /// # Errors
    /// What clients are told.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match self.bytes() < self.bytes_max {
            true => Ok(()),
            false => Err(self.full()),
        }
    }

    /// What clients are told when there is no room.
    pub(super) fn full(&self) -> Failure {
        Failure::new(format!(
            "OOM command not allowed when used memory > 'maxmemory-clients': requests and \
             answers take {} of {} bytes; try again later",
            self.bytes(),
            self.bytes_max
        ))
    }

    /// One more connection takes part.
    pub(super) fn account(self: &Arc<Self>) -> Account {
        Account {
            ledger: Arc::clone(self),
            counted: 0,
            reading: 0,
            executing: 0,
            kept: 0,
        }
    }

    /// Takes so many bytes if they are there.
    fn try_take(&self, more: usize) -> bool {
        let fits = |bytes: usize| {
            let bytes = bytes.checked_add(more)?;
            (bytes <= self.bytes_max).then_some(bytes)
        };
        let taken = self
            .bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        taken.is_ok()
    }
}

/// What one connection takes; given back when it leaves scope.
#[derive(Debug)]
pub(super) struct Account {
    ledger: Arc<Ledger>,
    /// What of it is counted in the ledger.
    counted: usize,
    /// The command that is being read, by what it has said of its length.
    reading: usize,
    /// Commands that have been read and whose answers are not known.
    executing: usize,
    /// Answers that wait to be sent, and commands that are queued.
    kept: usize,
}

impl Account {
    /// The command that is being read takes so many bytes from now on, if they are there.
    pub(super) fn admit(&mut self, bytes: usize) -> bool {
        if bytes <= FREE_BYTES {
            return true;
        }
        let countable = countable(bytes, self.executing, self.kept);
        let more = countable.saturating_sub(self.counted);
        let fits = more == 0 || self.ledger.try_take(more);
        if fits {
            self.counted = self.counted.max(countable);
            self.reading = bytes;
        }
        fits
    }

    /// Whether a command is being read for which memory is kept.
    pub(super) fn is_reading(&self) -> bool {
        self.reading > 0
    }

    /// The command that was read is executed, or was refused.
    pub(super) fn read(&mut self) {
        self.executing = self.executing.saturating_add(self.reading);
        self.reading = 0;
    }

    /// All commands that were read are answered; so many bytes of answers wait to be sent, and
    /// of commands are queued. They are there, so they are counted beyond the bound too.
    pub(super) fn answered(&mut self, unsent: usize, queued: usize) {
        let kept = unsent.saturating_add(queued);
        self.executing = 0;
        self.kept = kept;
        let countable = countable(self.reading, 0, kept);
        let bytes = &self.ledger.bytes;
        if countable > self.counted {
            bytes.fetch_add(countable - self.counted, Ordering::Relaxed);
        } else if countable < self.counted {
            bytes.fetch_sub(self.counted - countable, Ordering::Relaxed);
        }
        self.counted = countable;
    }
}

fn countable(reading: usize, executing: usize, kept: usize) -> usize {
    let bytes = reading.saturating_add(executing).saturating_add(kept);
    bytes.saturating_sub(FREE_BYTES)
}

impl Drop for Account {
    fn drop(&mut self) {
        self.ledger.bytes.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1_000_000;

    #[test]
    fn a_request_fits_or_not_and_gives_back_what_it_took() {
        let ledger = Arc::new(Ledger::new(MAX));
        let (mut first, mut second) = (ledger.account(), ledger.account());
        assert!(first.admit(MAX));
        assert!(first.is_reading());
        assert!(!second.admit(FREE_BYTES + FREE_BYTES + 1));
        assert!(!second.is_reading());
        assert!(second.admit(FREE_BYTES), "most are not counted");
        assert!(ledger.check().is_ok());
        first.read();
        assert!(!second.admit(MAX), "it is executed still");
        first.answered(0, 0);
        assert_eq!(ledger.bytes(), 0);
        assert!(second.admit(MAX));
        drop(second);
        assert_eq!(ledger.bytes(), 0);
    }

    #[test]
    fn answers_are_counted_though_there_is_no_room() {
        let ledger = Arc::new(Ledger::new(MAX));
        let mut account = ledger.account();
        account.answered(2 * MAX, 0);
        assert!(ledger.check().unwrap_err().0.starts_with("OOM "));
        assert!(!account.admit(FREE_BYTES + 1));
        account.answered(40, 60);
        assert_eq!(ledger.bytes(), 0);
        assert!(ledger.check().is_ok());
    }

    #[test]
    fn a_request_that_grows_is_counted_once() {
        let ledger = Arc::new(Ledger::new(MAX));
        let mut account = ledger.account();
        for bytes in [100_000, 200_000, 300_000] {
            assert!(account.admit(bytes));
        }
        assert_eq!(ledger.bytes(), 300_000 - FREE_BYTES);
        account.read();
        assert!(account.admit(200_000));
        assert_eq!(ledger.bytes(), 500_000 - FREE_BYTES);
        assert!(!account.admit(800_000));
        account.answered(0, 0);
        assert_eq!(
            ledger.bytes(),
            200_000 - FREE_BYTES,
            "it is being read still"
        );
    }
}
