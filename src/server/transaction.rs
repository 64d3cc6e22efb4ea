//! What a connection has queued between `MULTI` and `EXEC`, and the keys that it watches.
//!
//! A watched key is noted by what is known of it, and compared with what is known when `EXEC`
//! comes. A key that this node serves (a near one) is noted at once and compared in the turn in
//! which the batch runs. Of a far key an owner is asked, by `WATCH` and again by `EXEC` before
//! that turn; what is written there between its answer and the batch is not noticed, but that
//! another batch of this node is about to write it is (`claims`).
//!
//! Invariants: what is queued and what is watched is bounded; a key of which it is not known
//! whether it has changed counts as changed. Deliberately absent: the table of commands, answers
//! and turns; `batch` runs what is queued here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::vec;

use bytes::Bytes;

use super::claims::{Claim, Claims};
use super::failure::Failure;
use super::outcome::Work;
use super::store::Store;
use crate::node::request::{Consistency, Reply, Request, RequestError, Strength};
use crate::resp::{ARG_OVERHEAD_BYTES, BULK_BYTES_MAX_DEFAULT, Value};
use crate::runtime::Submitted;

/// Most commands of one transaction: some tens of milliseconds during which no other client
/// has its turn, and as many as may wait for other owners at once.
pub(super) const QUEUED_COMMANDS_MAX: usize = 16_384;

/// Most bytes of one transaction's commands, with what their arguments cost beyond their bytes:
/// as many as the longest single argument. They are in memory until `EXEC`.
pub(super) const QUEUED_BYTES_MAX: usize = BULK_BYTES_MAX_DEFAULT;

/// Most keys that one connection watches: all are looked at in the turn of the transaction, and
/// their names are in memory until then.
pub(super) const WATCHED_KEYS_MAX: usize = 1_024;

/// The transaction of one connection, if it has one.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    stage: Stage,
    watches: Watches,
}

#[derive(Debug, Default)]
enum Stage {
    /// Commands are executed as they come.
    #[default]
    None,
    /// Commands are queued.
    Queueing(Queue),
    /// What was queued is executed.
    Running(Batch),
}

#[derive(Debug, Default)]
struct Queue {
    commands: Vec<Vec<Bytes>>,
    bytes: usize,
    /// A command was refused, so that none will be executed.
    is_aborted: bool,
}

/// A batch that `EXEC` has asked for.
#[derive(Debug)]
pub(super) struct Batch {
    commands: vec::IntoIter<Vec<Bytes>>,
    /// How many commands it has in all.
    pub(super) count: usize,
    /// The keys that must not have changed.
    pub(super) watches: Watches,
    /// Whether its client wants answers.
    pub(super) is_answered: bool,
    /// Whether its answer has begun.
    pub(super) is_begun: bool,
}

impl Batch {
    /// The next command to execute.
    pub(super) fn next(&mut self) -> Option<Vec<Bytes>> {
        self.commands.next()
    }
}

impl Transaction {
    /// Whether commands are queued.
    pub(super) fn is_queueing(&self) -> bool {
        matches!(self.stage, Stage::Queueing(_))
    }

    /// Whether a batch is to be executed, or is not over.
    pub(super) fn is_running(&self) -> bool {
        matches!(self.stage, Stage::Running(_))
    }

    /// How many commands are queued; none outside a transaction.
    pub(super) fn queued(&self) -> Option<usize> {
        match &self.stage {
            Stage::None => None,
            Stage::Queueing(queue) => Some(queue.commands.len()),
            Stage::Running(batch) => Some(batch.count),
        }
    }

    /// How many keys are watched.
    pub(super) fn watched(&self) -> usize {
        self.watches.keys.len()
    }

    /// `MULTI`.
    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        if self.is_queueing() {
            return Err(Failure::new("ERR MULTI calls can not be nested"));
        }
        self.stage = Stage::Queueing(Queue::default());
        Ok(())
    }

    /// Bytes of the commands that are queued.
    pub(super) fn queued_bytes(&self) -> usize {
        match &self.stage {
            Stage::Queueing(queue) => queue.bytes,
            Stage::None | Stage::Running(_) => 0,
        }
    }

    /// Keeps a command for later. One that does not fit aborts the transaction.
    pub(super) fn queue(&mut self, command: Vec<Bytes>) -> Result<(), Failure> {
        let Stage::Queueing(queue) = &mut self.stage else {
            return Ok(());
        };
        // As in Redis: what follows a refused command is still answered as if it were queued.
        if queue.is_aborted {
            return Ok(());
        }
        let size = |arg: &Bytes| arg.len().saturating_add(ARG_OVERHEAD_BYTES);
        let bytes = command
            .iter()
            .map(size)
            .fold(queue.bytes, usize::saturating_add);
        let too_much = if queue.commands.len() >= QUEUED_COMMANDS_MAX {
            format!("{QUEUED_COMMANDS_MAX} commands")
        } else if bytes > QUEUED_BYTES_MAX {
            format!("{QUEUED_BYTES_MAX} bytes")
        } else {
            queue.bytes = bytes;
            queue.commands.push(command);
            return Ok(());
        };
        self.abort();
        Err(Failure::new(format!(
            "ERR a transaction has at most {too_much}: this one is discarded, divide it"
        )))
    }

    /// A command was refused: `EXEC` will execute none.
    pub(super) fn abort(&mut self) {
        if let Stage::Queueing(queue) = &mut self.stage {
            *queue = Queue {
                is_aborted: true,
                ..Queue::default()
            };
        }
    }

    /// `EXEC`: the batch is to be executed. Whatever comes of it, watches end here.
    pub(super) fn run(&mut self) -> Result<(), Failure> {
        match std::mem::take(self) {
            Self {
                stage: Stage::Queueing(queue),
                watches,
            } => {
                if queue.is_aborted {
                    return Err(Failure::new(
                        "EXECABORT Transaction discarded because of previous errors.",
                    ));
                }
                self.stage = Stage::Running(Batch {
                    count: queue.commands.len(),
                    commands: queue.commands.into_iter(),
                    watches,
                    is_answered: true,
                    is_begun: false,
                });
                Ok(())
            }
            unchanged => {
                *self = unchanged;
                Err(Failure::new("ERR EXEC without MULTI"))
            }
        }
    }

    /// The batch, while one is to be executed.
    pub(super) fn batch(&mut self) -> Option<&mut Batch> {
        match &mut self.stage {
            Stage::Running(batch) => Some(batch),
            _ => None,
        }
    }

    /// `DISCARD`.
    pub(super) fn discard(&mut self) -> Result<(), Failure> {
        if !self.is_queueing() {
            return Err(Failure::new("ERR DISCARD without MULTI"));
        }
        self.forget();
        Ok(())
    }

    /// Forgets what is queued or running, and what is watched.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// `UNWATCH`.
    pub(super) fn unwatch(&mut self) {
        self.watches = Watches::default();
    }

    /// `WATCH`. Far keys are noted by the work that is returned, if there are any.
    pub(super) fn watch(
        &mut self,
        store: &Arc<dyn Store>,
        keys: Vec<Bytes>,
    ) -> Result<Option<Work>, Failure> {
        if self.is_queueing() {
            return Err(Failure::new("ERR WATCH inside MULTI is not allowed"));
        }
        self.watches.add(store, keys)
    }
}

/// What is known of a key, as far as two states of it are told apart. Every write makes it another
/// one, so a key of which it is the same has not been written, unless it had nothing then and has
/// nothing again.
#[derive(Debug, PartialEq, Eq)]
struct Known(u64);

/// What a reply to [`look`] says of the key.
fn known(reply: Reply) -> Result<Known, RequestError> {
    match reply {
        Reply::Number(fingerprint) => Ok(Known(fingerprint)),
        Reply::Failed(error) => Err(error),
        other => Err(RequestError::Storage(format!("unexpected reply {other:?}"))),
    }
}

/// Asks what this node knows of a key, or else what an owner knows: others are not asked, as
/// the batch could not wait for them.
fn look(store: &Arc<dyn Store>, key: Bytes) -> Submitted {
    let one = Consistency {
        read: Strength::One,
        ..store.consistency()
    };
    store.submit(one, Request::Fingerprint { key })
}

/// The keys that one connection watches.
#[derive(Debug, Default)]
pub(super) struct Watches {
    keys: BTreeMap<Bytes, Watch>,
    /// A key has changed, or it cannot be known whether one has.
    is_changed: Arc<AtomicBool>,
    /// The far keys, from when they are looked at again to the end of the batch.
    claim: Option<Claim>,
}

/// What was known of a key when it began to be watched.
#[derive(Debug)]
enum Watch {
    Near(Known),
    /// There once the owner has answered.
    Far(Arc<OnceLock<Known>>),
}

impl Watches {
    /// Keys that are watched already stay as they were noted. After a failure nothing can be
    /// said for the keys that were meant, so all count as changed.
    fn add(&mut self, store: &Arc<dyn Store>, keys: Vec<Bytes>) -> Result<Option<Work>, Failure> {
        let mut far = Vec::new();
        for key in keys {
            if self.keys.contains_key(&key) {
                continue;
            }
            if self.keys.len() >= WATCHED_KEYS_MAX {
                self.change();
                return Err(Failure::new(format!(
                    "ERR a connection watches at most {WATCHED_KEYS_MAX} keys"
                )));
            }
            let watch = match look(store, key.clone()) {
                Submitted::Ready(reply) => {
                    let known = known(reply);
                    Watch::Near(known.inspect_err(|_| self.change())?)
                }
                waiting => {
                    let place = Arc::new(OnceLock::new());
                    far.push((waiting, Arc::clone(&place)));
                    Watch::Far(place)
                }
            };
            self.keys.insert(key, watch);
        }
        let is_changed = Arc::clone(&self.is_changed);
        let has_far = !far.is_empty();
        let work = async move {
            let mut answer = Value::ok();
            for (waiting, place) in far {
                match known(waiting.wait().await) {
                    Ok(known) => {
                        // Nobody else fills it.
                        let _ = place.set(known);
                    }
                    Err(error) => {
                        is_changed.store(true, Ordering::Relaxed);
                        answer = Value::error(Failure::from(error).0);
                    }
                }
            }
            answer
        };
        Ok(has_far.then(|| Box::pin(work) as Work))
    }

    fn change(&self) {
        self.is_changed.store(true, Ordering::Relaxed);
    }

    /// Whether a near key has changed, or any was found to have.
    pub(super) fn is_changed(&self, store: &Arc<dyn Store>) -> bool {
        let is_same = |(key, watch): (&Bytes, &Watch)| match watch {
            Watch::Far(_) => true,
            Watch::Near(before) => match look(store, key.clone()) {
                Submitted::Ready(reply) => known(reply).as_ref() == Ok(before),
                // It is far now.
                Submitted::Waiting(_) | Submitted::Deferred(_) => false,
            },
        };
        self.is_changed.load(Ordering::Relaxed) || !self.keys.iter().all(is_same)
    }

    /// Looks whether far keys have changed, if there are any. They are not looked at again. One
    /// that another batch is about counts as changed.
    pub(super) fn check_far(
        &mut self,
        store: &Arc<dyn Store>,
        claims: &Arc<Claims>,
    ) -> Option<Work> {
        let is_far = |_: &Bytes, watch: &mut Watch| matches!(watch, Watch::Far(_));
        let far: Vec<_> = self.keys.extract_if(.., is_far).collect();
        if far.is_empty() {
            return None;
        }
        self.claim = claims.claim(far.iter().map(|(key, _)| key.clone()).collect());
        if self.claim.is_none() {
            self.change();
            return None;
        }
        let ask = |(key, watch)| (look(store, key), watch);
        let asked: Vec<(Submitted, Watch)> = far.into_iter().map(ask).collect();
        let is_changed = Arc::clone(&self.is_changed);
        Some(Box::pin(async move {
            for (waiting, watch) in asked {
                let now = known(waiting.wait().await);
                let is_same = match watch {
                    Watch::Far(before) => before.get() == now.as_ref().ok(),
                    Watch::Near(before) => now.as_ref() == Ok(&before),
                };
                if now.is_err() || !is_same {
                    is_changed.store(true, Ordering::Relaxed);
                }
            }
            Value::Null
        }))
    }
}
