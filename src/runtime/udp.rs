//! The membership task: the UDP socket, SWIM, and nothing that waits.
//!
//! A slow turn of this loop makes a node look dead. So it has a thread of its own, where
//! neither a commit to disk nor a long burst of requests can keep it waiting; it touches
//! neither storage nor name resolution; and it empties the socket before it judges any
//! timeout, because the answers to its own questions may lie there.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::core::Core;
use super::events;
use super::facts_lane::Piece;
use super::identity::GenerationFile;
use super::outbox::Outbox;
use super::state::{Command, Roster};
use crate::machine::Machine;
use crate::membership::{Event, Identity, Input, Membership, Output, Packet};
use crate::wire::{DATAGRAM_BYTES_MAX, Datagram, DatagramError, DatagramOpener};

/// Datagrams taken from the socket before timers get their turn. More than a turn ever
/// finds on a healthy network, few enough that a flood cannot keep timers waiting.
const DRAIN_MAX: usize = 256;

/// Requests from other tasks that may wait. They come a few times a second.
pub(super) const COMMANDS_MAX: usize = 64;

/// A turn that comes later than this after it was due is a stall of this process.
const STALL: Duration = Duration::from_millis(500);

/// How often the roster is published when nothing happens, for its counters.
const PUBLISH_INTERVAL: Duration = Duration::from_secs(1);

/// Pause after an error of the socket that is not about one datagram, so that a lasting one
/// does not keep a processor busy.
const ERROR_PAUSE: Duration = Duration::from_millis(10);

/// The state of the membership task.
pub(super) struct Lane {
    pub(super) core: Arc<Core>,
    pub(super) socket: std::net::UdpSocket,
    pub(super) outbox: Arc<Outbox>,
    pub(super) opener: DatagramOpener,
    pub(super) membership: Membership,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) generations: GenerationFile,
    pub(super) namesake: Option<Identity>,
    pub(super) published: Option<Instant>,
}

/// Runs `lane` on a thread of its own. The returned task ends with it; if it is dropped
/// before, as it is when the embedder's runtime goes away, it takes the node down.
pub(super) fn spawn(lane: Lane) -> std::io::Result<impl Future<Output = ()> + use<>> {
    let stopped = lane.core.stopped.clone();
    let (ending, ended) = oneshot::channel::<()>();
    std::thread::Builder::new()
        .name("netdb-membership".to_owned())
        .spawn(move || {
            if let Err(error) = run_here(lane) {
                error!(%error, "the membership task did not start");
            }
            drop(ending);
        })?;
    Ok(async move {
        let _guard = stopped.drop_guard();
        // Nothing is sent: the channel closes when the thread ends, also by a panic.
        let _ = ended.await;
    })
}

fn run_here(lane: Lane) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let socket = UdpSocket::from_std(lane.socket.try_clone()?)?;
        lane.run(socket).await;
        Ok(())
    })
}

impl Lane {
    /// Runs until the node has stopped.
    async fn run(mut self, socket: UdpSocket) {
        self.publish();
        let mut buffer = [0; DATAGRAM_BYTES_MAX + 1];
        let stopped = self.core.stopped.clone();
        loop {
            let wake = self.wake();
            let command = tokio::select! {
                biased;
                () = stopped.cancelled() => return,
                _ = socket.readable() => self.commands.try_recv().ok(),
                command = self.commands.recv() => command,
                () = tokio::time::sleep_until(wake) => None,
            };
            let failed = self.drain(&socket, &mut buffer);
            if let Some(command) = command {
                self.obey(command);
            }
            self.notice_stall(wake);
            let now = self.core.clock.now();
            self.membership.handle_timeout(now);
            self.execute_outputs();
            if failed {
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }

    /// When the loop must turn if nothing arrives.
    fn wake(&self) -> Instant {
        let publish = self.published.unwrap_or_else(Instant::now) + PUBLISH_INTERVAL;
        match self.membership.poll_timeout() {
            Some(at) => self.core.clock.when(at).min(publish),
            None => publish,
        }
    }

    /// Takes in what the socket holds. Returns whether the socket itself failed.
    fn drain(&mut self, socket: &UdpSocket, buffer: &mut [u8]) -> bool {
        for _ in 0..DRAIN_MAX {
            match socket.try_recv_from(buffer) {
                Ok((length, from)) => {
                    self.core.counters.udp_datagrams_received.one();
                    self.core.counters.udp_bytes_received.add(length);
                    self.receive(from, buffer.get(..length).unwrap_or_default());
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
                Err(error) => {
                    if let Some(more) = self.core.limiter.admit("udp receive") {
                        warn!(%error, more, "receiving from the UDP socket failed");
                    }
                    return true;
                }
            }
        }
        false
    }

    fn receive(&mut self, from: SocketAddr, datagram: &[u8]) {
        let now = self.core.clock.now();
        let opened = match self.opener.open(now.mono, datagram) {
            Ok(opened) => opened,
            Err(error) => return self.refuse(from, &error),
        };
        match Datagram::<Packet>::decode(&opened.payload) {
            Ok(Datagram::Control(packet)) => {
                self.membership.handle(now, Input::Packet { from, packet });
                self.execute_outputs();
            }
            Ok(Datagram::Facts(message)) => {
                self.core
                    .inbox
                    .put(opened.sender, from, Piece::Whole(message));
            }
            Ok(Datagram::FactsPart(part)) => {
                self.core.inbox.put(opened.sender, from, Piece::Part(part));
            }
            Err(error) => {
                self.core.counters.datagrams_dropped_malformed.one();
                if let Some(more) = self.core.limiter.admit("datagram malformed") {
                    warn!(%from, %error, more, "dropped a datagram");
                }
            }
        }
    }

    /// The opener has counted it; say so, but not for each.
    fn refuse(&self, from: SocketAddr, error: &DatagramError) {
        let kind = match error {
            // Our own broadcast or a late datagram: nothing that anybody should act on.
            DatagramError::Reflected
            | DatagramError::Replayed
            | DatagramError::TooOld
            | DatagramError::StaleSession { .. } => {
                debug!(%from, %error, "dropped a datagram");
                return;
            }
            DatagramError::UnknownKey { .. } => "datagram key",
            DatagramError::Forged => "datagram forged",
            DatagramError::OldVersion { .. } | DatagramError::NewVersion { .. } => {
                "datagram version"
            }
            _ => "datagram size",
        };
        if let Some(more) = self.core.limiter.admit(kind) {
            warn!(%from, %error, more, "dropped a datagram");
        }
    }

    fn obey(&mut self, command: Command) {
        let input = match command {
            Command::Seeds(seeds) => Input::Seeds(seeds),
            Command::Heard(identities) => Input::Heard(identities),
            Command::Leave => Input::Leave,
        };
        self.membership.handle(self.core.clock.now(), input);
        self.execute_outputs();
    }

    fn notice_stall(&mut self, wake: Instant) {
        let late = Instant::now().saturating_duration_since(wake);
        if late > STALL {
            self.core.counters.loop_stalls.one();
            warn!(
                late_ms = late.as_millis() as u64,
                "this process was held up; verdicts about others are postponed"
            );
            let now = self.core.clock.now();
            self.membership.handle(now, Input::LocalStall(late));
        }
    }

    fn execute_outputs(&mut self) {
        let mut changed = self
            .published
            .is_none_or(|published| published.elapsed() >= PUBLISH_INTERVAL);
        while let Some(output) = self.membership.poll_output() {
            match output {
                Output::Send { to, packet } => match Datagram::Control(packet).encode() {
                    Ok(payload) => self.outbox.send(to, &payload),
                    Err(_) => self.core.counters.udp_send_failed.one(),
                },
                Output::Event(event) => {
                    changed = true;
                    self.happened(event);
                }
            }
        }
        if changed {
            self.publish();
        }
    }

    fn happened(&mut self, event: Event) {
        events::log(&event, &self.core);
        match event {
            Event::Conflict { holder } => self.namesake = Some(holder),
            Event::Joined(_) => self.namesake = None,
            Event::Renewed(identity) => self.remember(identity.generation),
            _ => {}
        }
    }

    /// Stores a generation that membership had to raise. On a thread of its own: this task
    /// does not wait for a disk.
    fn remember(&self, generation: u64) {
        let file = self.generations.clone();
        self.core.tasks.spawn_blocking_on(
            move || {
                if let Err(error) = file.store(generation) {
                    warn!(%error, generation, "the generation could not be stored");
                }
            },
            &self.core.runtime,
        );
    }

    fn publish(&mut self) {
        self.published = Some(Instant::now());
        let opened = self.opener.stats();
        let mut roster = Roster {
            heard: opened.opened > 0,
            namesake: self.namesake,
            ..Roster::of(&self.membership)
        };
        roster.counters.extend([
            ("datagrams_opened", opened.opened),
            ("datagrams_dropped_too_short", opened.too_short),
            ("datagrams_dropped_too_long", opened.too_long),
            ("datagrams_dropped_old_version", opened.old_version),
            ("datagrams_dropped_new_version", opened.new_version),
            ("datagrams_dropped_unknown_key", opened.unknown_key),
            ("datagrams_dropped_forged", opened.forged),
            ("datagrams_dropped_reflected", opened.reflected),
            ("datagrams_dropped_stale_session", opened.stale_session),
            ("datagrams_dropped_replayed", opened.replayed),
            ("datagrams_dropped_too_old", opened.too_old),
            ("datagrams_namesake", opened.namesake),
            ("datagram_senders_evicted", opened.senders_evicted),
        ]);
        self.core.roster.send_replace(Arc::new(roster));
    }
}
