//! The outgoing link to one member: dialled, kept, dialled again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::RngExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::core::Core;
use super::cuts;
use super::queue::Queue;
use super::stream::{
    BEAT, Frame, FrameReader, FrameWriter, Introduced, SILENCE_MAX, StreamError, introduce,
};
use crate::membership::Identity;
use crate::replication::Message;
use crate::wire::BatchPacker;

/// How long connecting and the introduction may take together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// First pause after a failure. Two nodes that start together often dial before the other
/// listens.
const BACKOFF_MIN: Duration = Duration::from_millis(50);

/// The pause doubles up to this: it bounds how long a healed network goes unused.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Bytes of one frame under load. Larger frames cost less per message and make the first
/// message wait for the last.
const FRAME_BUDGET: usize = 128 * 1024;

/// Bytes sealed before they are written: some frames per call of the system.
const FLUSH_BYTES: usize = 512 * 1024;

/// Keeps a link to `peer` until it is cancelled, and notes in `met` which life of it answers.
pub(super) async fn keep(
    core: Arc<Core>,
    peer: Identity,
    met: Arc<Mutex<Identity>>,
    cancelled: CancellationToken,
) {
    let mut backoff = BACKOFF_MIN;
    loop {
        let end = tokio::select! {
            () = cancelled.cancelled() => return,
            end = dial(&core, &peer) => end,
        };
        match end {
            Ok(introduced) => {
                backoff = BACKOFF_MIN;
                *met.lock() = introduced.peer.identity;
                let end = run(&core, introduced, &cancelled).await;
                if cancelled.is_cancelled() {
                    return;
                }
                debug!(peer = %peer.id, addr = %peer.addr, reason = %end, "link down");
            }
            Err(error) => note_failure(&core, &peer, &error),
        }
        let jittered = backoff.mul_f64(rand::rng().random_range(0.5..1.5));
        backoff = (backoff * 2).min(BACKOFF_MAX);
        tokio::select! {
            () = cancelled.cancelled() => return,
            () = tokio::time::sleep(jittered) => {}
        }
    }
}

fn note_failure(core: &Core, peer: &Identity, error: &StreamError) {
    if error.is_offence() {
        core.counters.streams_refused.one();
        if let Some(more) = core.limiter.admit("dial") {
            warn!(peer = %peer.id, addr = %peer.addr, %error, more, "no link to a member");
            return;
        }
    }
    debug!(peer = %peer.id, addr = %peer.addr, %error, "no link to a member");
}

async fn dial(core: &Core, peer: &Identity) -> Result<Introduced, StreamError> {
    let dialled = timeout(DIAL_TIMEOUT, async {
        if cuts::is_cut(peer.addr) {
            std::future::pending::<()>().await;
        }
        let stream = TcpStream::connect(peer.addr).await?;
        introduce(core, stream, peer).await
    });
    dialled.await.map_err(|_| StreamError::HandshakeTimeout)?
}

/// Serves a link that is up. Returns why it went down.
async fn run(core: &Core, introduced: Introduced, cancelled: &CancellationToken) -> StreamError {
    let Introduced {
        reader,
        writer,
        peer,
    } = introduced;
    let id = peer.identity.id;
    let queue = core.links.open(id);
    core.counters.links_opened.one();
    debug!(peer = %id, name = peer.name, addr = %peer.identity.addr, "link up");
    let mut link = Link {
        core,
        reader,
        writer,
        queue: queue.clone(),
        packer: BatchPacker::new(FRAME_BUDGET),
        beats: 0,
    };
    let end = tokio::select! {
        () = cancelled.cancelled() => StreamError::Closed,
        Err(end) = link.serve() => end,
    };
    core.links.close(id, &queue);
    core.counters.links_closed.one();
    for message in queue.take() {
        core.count_dropped(&message);
    }
    end
}

struct Link<'a> {
    core: &'a Core,
    reader: FrameReader,
    writer: FrameWriter,
    queue: Arc<Queue>,
    packer: BatchPacker,
    beats: u64,
}

impl Link<'_> {
    async fn serve(&mut self) -> Result<std::convert::Infallible, StreamError> {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                biased;
                _ = beat.tick() => {
                    if heard.elapsed() > SILENCE_MAX {
                        self.reader.last_chance().await?;
                    }
                    self.beats = self.beats.wrapping_add(1);
                    self.writer.send(&Frame::Ping(self.beats)).await?;
                }
                read = self.reader.read() => {
                    read?;
                    heard = Instant::now();
                    self.take_pongs()?;
                }
                () = self.queue.ready() => {
                    let before = Instant::now();
                    self.write_queue().await?;
                    // The peer may have been kept from speaking by what we wrote.
                    heard += before.elapsed();
                }
            }
        }
    }

    /// On this stream the peer only beats; what it has to say it says on its own.
    fn take_pongs(&mut self) -> Result<(), StreamError> {
        while let Some(bytes) = self.reader.arrived()? {
            match Frame::decode(&bytes)? {
                Frame::Pong(_) => {}
                Frame::Refused(reason) => return Err(StreamError::Refused(reason)),
                _ => return Err(StreamError::OutOfTurn),
            }
        }
        Ok(())
    }

    /// Writes everything that waits, many messages to a frame.
    async fn write_queue(&mut self) -> Result<(), StreamError> {
        loop {
            let messages = self.queue.take();
            if messages.is_empty() {
                return Ok(());
            }
            self.write(messages).await?;
        }
    }

    async fn write(&mut self, mut messages: VecDeque<Message>) -> Result<(), StreamError> {
        while let Some(message) = messages.front() {
            match self.packer.push(message) {
                Ok(true) => {
                    messages.pop_front();
                }
                Ok(false) => {
                    self.seal_batch().await?;
                    if self.writer.pending() >= FLUSH_BYTES {
                        self.writer.flush().await?;
                    }
                }
                Err(error) => {
                    // Larger than any frame: nobody will ever get it in one piece.
                    warn!(%error, "a message to a peer cannot be sent");
                    self.core.count_dropped(message);
                    messages.pop_front();
                }
            }
        }
        self.seal_batch().await?;
        self.writer.flush().await
    }

    async fn seal_batch(&mut self) -> Result<(), StreamError> {
        if let Some(frame) = self.packer.frame() {
            self.core.counters.peer_messages_sent.add(self.packer.len());
            self.writer.put(frame).await?;
        }
        self.packer.clear();
        Ok(())
    }
}
