//! Incoming streams from peers.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::core::Core;
use super::stream::{BEAT, Frame, Introduced, SILENCE_MAX, StreamError, receive};
use crate::clock::{ActorNames, NodeId};
use crate::membership::MEMBERS_MAX;

/// Streams whose peer has not introduced itself yet. Each costs a small buffer. When there
/// are more, the oldest goes: a peer introduces itself within a few round trips, so those
/// that wait longest are the least likely to be one, and strangers that hold streams open
/// do not keep peers out.
const STRANGERS_MAX: usize = 128;

/// How long a peer may take to introduce itself.
const INTRODUCTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Introduced streams at once: one per member, and as many again for those that were
/// replaced and are about to end.
const STREAMS_MAX: usize = 2 * MEMBERS_MAX;

/// How long a peer is not listened to while this node has no link to it: answers go there. A
/// peer that this node does not know to be a member yet is known within some round trips. Less
/// than the silence after which the peer would give the stream up.
const LINK_WAIT: Duration = Duration::from_secs(1);

/// Pause after the listener failed, as it does while the process has no file descriptors
/// left.
const ERROR_PAUSE: Duration = Duration::from_millis(50);

/// The streams that have not introduced themselves, oldest first.
#[derive(Default)]
struct Strangers {
    waiting: Mutex<VecDeque<CancellationToken>>,
}

/// The newest stream of each peer, to be ended when the peer opens another.
#[derive(Default)]
struct Newest {
    streams: Mutex<BTreeMap<NodeId, CancellationToken>>,
}

/// Accepts peers until the node has stopped.
pub(super) async fn run(core: Arc<Core>, listener: TcpListener) {
    let strangers = Strangers::default();
    let streams = Arc::new(Semaphore::new(STREAMS_MAX));
    let newest = Arc::new(Newest::default());
    loop {
        let accepted = tokio::select! {
            () = core.stopped.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if let Some(more) = core.limiter.admit("accept") {
                    warn!(%error, more, "accepting a peer failed");
                }
                tokio::time::sleep(ERROR_PAUSE).await;
                continue;
            }
        };
        let Ok(permit) = streams.clone().try_acquire_owned() else {
            core.counters.streams_over_limit.one();
            if let Some(more) = core.limiter.admit("streams") {
                warn!(%from, more, "dropped a stream: there are too many");
            }
            continue;
        };
        let displaced = strangers.admit(&core);
        let (task_core, newest) = (core.clone(), newest.clone());
        core.spawn(async move {
            let stopped = task_core.stopped.clone();
            tokio::select! {
                () = stopped.cancelled() => {}
                () = serve(&task_core, &newest, stream, from, displaced) => {}
            }
            drop(permit);
        });
    }
}

/// One stream, from its first byte to its end.
async fn serve(
    core: &Core,
    newest: &Newest,
    stream: TcpStream,
    from: SocketAddr,
    displaced: CancellationToken,
) {
    let introduction = timeout(INTRODUCTION_TIMEOUT, receive(core, stream));
    let introduced = tokio::select! {
        () = displaced.cancelled() => Err(StreamError::Displaced),
        introduced = introduction => introduced.unwrap_or(Err(StreamError::HandshakeTimeout)),
    };
    // No stranger any more, whatever became of it.
    displaced.cancel();
    let end = match introduced {
        Ok(introduced) => {
            let peer = introduced.peer.identity.id;
            let replaced = newest.register(peer);
            let end = tokio::select! {
                () = replaced.cancelled() => StreamError::Closed,
                Err(end) = listen(core, introduced) => end,
            };
            newest.forget(peer, &replaced);
            end
        }
        Err(error) => error,
    };
    if end.is_offence() {
        core.counters.streams_refused.one();
        if let Some(more) = core.limiter.admit("stream") {
            warn!(%from, error = %end, more, "dropped a stream");
            return;
        }
    }
    debug!(%from, reason = %end, "stream ended");
}

/// Takes in what a peer says, and beats.
async fn listen(
    core: &Core,
    introduced: Introduced,
) -> Result<std::convert::Infallible, StreamError> {
    let Introduced {
        mut reader,
        mut writer,
        peer,
    } = introduced;
    let from = peer.identity.id;
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    let mut pinged = 0;
    let mut names = ActorNames::default();
    // Lists that are filled and emptied with every frame.
    let (mut room, mut effects) = (Vec::new(), Vec::new());
    // Else what it says first would be answered to nobody.
    let _ = timeout(LINK_WAIT, core.links.opened(from)).await;
    loop {
        tokio::select! {
            biased;
            _ = beat.tick() => {
                if heard.elapsed() > SILENCE_MAX {
                    reader.last_chance().await?;
                }
                writer.send(&Frame::Pong(pinged)).await?;
            }
            read = reader.read() => {
                read?;
                while let Some(bytes) = reader.arrived()? {
                    match Frame::decode_with(&bytes, &mut names, std::mem::take(&mut room))? {
                        Frame::Batch(mut messages) => {
                            core.receive(from, &mut messages, &mut effects);
                            room = messages;
                        }
                        Frame::Ping(number) => pinged = number,
                        Frame::Refused(reason) => return Err(StreamError::Refused(reason)),
                        Frame::Hello(_) | Frame::Pong(_) => return Err(StreamError::OutOfTurn),
                    }
                    // Long batches must not keep other tasks of this thread waiting.
                    tokio::task::consume_budget().await;
                }
                heard = Instant::now();
            }
        }
    }
}

impl Strangers {
    /// Counts a new stranger in. Its token is cancelled when it must make room, and it
    /// cancels the token itself once it is no stranger any more.
    fn admit(&self, core: &Core) -> CancellationToken {
        let mut waiting = self.waiting.lock();
        waiting.retain(|token| !token.is_cancelled());
        if waiting.len() >= STRANGERS_MAX
            && let Some(oldest) = waiting.pop_front()
        {
            core.counters.streams_over_limit.one();
            oldest.cancel();
        }
        let token = CancellationToken::new();
        waiting.push_back(token.clone());
        token
    }
}

impl Newest {
    /// Registers a peer's new stream and ends its old one: a peer has one, so the old one
    /// is what is left of a broken connection.
    fn register(&self, peer: NodeId) -> CancellationToken {
        let token = CancellationToken::new();
        if let Some(old) = self.streams.lock().insert(peer, token.clone()) {
            old.cancel();
        }
        token
    }

    fn forget(&self, peer: NodeId, token: &CancellationToken) {
        let mut streams = self.streams.lock();
        // A cancelled one has been replaced already.
        if !token.is_cancelled() {
            streams.remove(&peer);
        }
    }
}
