//! What goes to one peer: the messages that wait, and the stream that they are written to.
//!
//! Two tasks write. The flusher ([`flush`](super::flush)) takes what waits for any peer and
//! hands it to the kernel as far as that takes it at once. Where there is more, or the peer is
//! slow, the link's own task goes on, and may wait.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{Mutex, Notify};
use tracing::warn;

use super::counters::Counters;
use super::queue::{MESSAGES_KEPT_MAX, Queue};
use super::stream::{Frame, FrameWriter, StreamError};
use crate::replication::Message;
use crate::wire::BatchPacker;

/// Bytes of one frame under load. Larger frames cost less per message and make the first
/// message wait for the last.
const FRAME_BUDGET: usize = 128 * 1024;

/// Bytes sealed before they are written: some frames per call of the system.
const FLUSH_BYTES: usize = 512 * 1024;

/// Bytes of messages that the flusher takes for one peer. It serves all peers: what is more
/// is sealed by the tasks of their links, side by side.
const FLUSHED_BYTES_MAX: usize = 64 * 1024;

/// One peer's messages and stream.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) queue: Queue,
    /// None once the link is down.
    stream: Mutex<Option<Writing>>,
    /// Told when the link's task has to write.
    handed_over: Notify,
}

impl Outgoing {
    pub(super) fn new(writer: FrameWriter, counters: Arc<Counters>) -> Self {
        Self {
            queue: Queue::default(),
            stream: Mutex::new(Some(Writing {
                writer,
                packer: BatchPacker::new(FRAME_BUDGET),
                messages: VecDeque::new(),
                counters,
                failed: None,
            })),
            handed_over: Notify::new(),
        }
    }

    /// Writes what waits if that is little and the stream takes it at once; leaves it to the
    /// link's task otherwise.
    pub(super) fn flush_or_hand_over(&self) {
        let is_flushed = self.stream.try_lock().is_ok_and(|mut stream| {
            let Some(writing) = stream.as_mut() else {
                return false;
            };
            writing.try_write(&self.queue).unwrap_or_else(|error| {
                writing.failed = Some(error);
                false
            })
        });
        if !is_flushed {
            self.handed_over.notify_one();
        }
    }

    /// Waits until the link's task has to write. Cancel-safe.
    pub(super) async fn handed_over(&self) {
        self.handed_over.notified().await;
    }

    /// Writes everything that waits, many messages to a frame. Not cancel-safe.
    pub(super) async fn write(&self) -> Result<(), StreamError> {
        match self.stream.lock().await.as_mut() {
            Some(writing) => writing.write(&self.queue).await,
            None => Err(StreamError::Closed),
        }
    }

    /// Closes the stream; gives what will not be written.
    pub(super) async fn close(&self) -> VecDeque<Message> {
        let mut left = match self.stream.lock().await.take() {
            Some(writing) => writing.messages,
            None => VecDeque::new(),
        };
        let mut waiting = VecDeque::new();
        self.queue.take(&mut waiting);
        left.append(&mut waiting);
        left
    }

    /// Writes one frame. Not cancel-safe.
    pub(super) async fn send(&self, frame: &Frame) -> Result<(), StreamError> {
        match self.stream.lock().await.as_mut() {
            Some(writing) => writing.writer.send(frame).await,
            None => Err(StreamError::Closed),
        }
    }
}

/// The stream of a link, and what is on its way to it.
#[derive(Debug)]
struct Writing {
    writer: FrameWriter,
    packer: BatchPacker,
    /// Taken from the queue, and not packed yet.
    messages: VecDeque<Message>,
    counters: Arc<Counters>,
    /// How the flusher failed, for the link's task to end with.
    failed: Option<StreamError>,
}

impl Writing {
    /// Writes what waits as far as the stream takes it; whether that is all.
    fn try_write(&mut self, queue: &Queue) -> Result<bool, StreamError> {
        // The link's task is not done with what it has.
        let is_idle = self.messages.is_empty() && self.writer.pending() == 0;
        if !is_idle || !queue.take_up_to(FLUSHED_BYTES_MAX, &mut self.messages) {
            return Ok(false);
        }
        while self.pack() {
            let frame = self.packer.frame().unwrap_or_default();
            self.writer.put_whole(frame)?;
        }
        self.writer.try_flush()
    }

    async fn write(&mut self, queue: &Queue) -> Result<(), StreamError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        loop {
            while self.pack() {
                let frame = self.packer.frame().unwrap_or_default();
                self.writer.put(frame).await?;
                if self.writer.pending() >= FLUSH_BYTES {
                    self.writer.flush().await?;
                }
            }
            self.writer.flush().await?;
            if !queue.take(&mut self.messages) {
                return Ok(());
            }
        }
    }

    /// Fills a frame from the front of the messages; whether there is something in it.
    fn pack(&mut self) -> bool {
        self.packer.clear();
        while let Some(message) = self.messages.front() {
            match self.packer.push(message) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    // Larger than any frame: nobody will ever get it in one piece.
                    warn!(%error, "a message to a peer cannot be sent");
                    self.counters.dropped(message);
                }
            }
            self.messages.pop_front();
        }
        if self.messages.is_empty() {
            self.messages.shrink_to(MESSAGES_KEPT_MAX);
        }
        self.counters.peer_messages_sent.add(self.packer.len());
        !self.packer.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_flusher_cannot_write_is_for_the_link() {
        let outgoing = Outgoing::default();
        outgoing.queue.put(Message::Root(1)).unwrap();
        outgoing.flush_or_hand_over();
        outgoing.handed_over().await;
        assert!(matches!(outgoing.write().await, Err(StreamError::Closed)));
        outgoing.queue.put(Message::Root(2)).unwrap();
        let left = outgoing.close().await;
        assert_eq!(left, [Message::Root(1), Message::Root(2)]);
    }
}
