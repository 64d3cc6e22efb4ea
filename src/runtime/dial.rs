//! The outgoing link to one member: dialled, kept, dialled again.

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
use super::outgoing::Outgoing;
use super::stream::{BEAT, Frame, FrameReader, Introduced, SILENCE_MAX, StreamError, introduce};
use crate::membership::Identity;

/// How long connecting and the introduction may take together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);

/// First pause after a failure. Two nodes that start together often dial before the other
/// listens.
const BACKOFF_MIN: Duration = Duration::from_millis(50);

/// The pause doubles up to this: it bounds how long a healed network goes unused.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

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
    let outgoing = Arc::new(Outgoing::new(writer, core.counters.clone()));
    core.links.open(id, &outgoing);
    core.counters.links_opened.one();
    debug!(peer = %id, name = peer.name, addr = %peer.identity.addr, "link up");
    let mut link = Link {
        reader,
        outgoing: outgoing.clone(),
        beats: 0,
    };
    let end = tokio::select! {
        () = cancelled.cancelled() => StreamError::Closed,
        Err(end) = link.serve() => end,
    };
    core.links.close(id, &outgoing);
    core.counters.links_closed.one();
    for message in outgoing.close().await {
        core.counters.dropped(&message);
    }
    end
}

struct Link {
    reader: FrameReader,
    outgoing: Arc<Outgoing>,
    beats: u64,
}

impl Link {
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
                    self.outgoing.send(&Frame::Ping(self.beats)).await?;
                }
                read = self.reader.read() => {
                    read?;
                    heard = Instant::now();
                    self.take_pongs()?;
                }
                () = self.outgoing.handed_over() => {
                    let before = Instant::now();
                    self.outgoing.write().await?;
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
}
