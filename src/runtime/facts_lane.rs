//! How the node facts' gossip travels: chitchat's transport over the node's own sealed
//! datagrams.
//!
//! The membership task opens each datagram and puts the bytes into an inbox; putting
//! things together and decoding, which decompresses, happens on the side of chitchat's own
//! server task. Nothing reaches chitchat that did not authenticate.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use chitchat::transport::{Socket, Transport};
use chitchat::{ChitchatMessage, Deserializable, Serializable};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::counters::Counters;
use super::outbox::Outbox;
use super::time::Clock;
use crate::clock::NodeId;
use crate::wire::{Fragmenter, Part, Reassembler};

/// Datagrams about node facts that may wait for their reader. A round brings three messages
/// from each of a few peers, each of at most some fifty datagrams.
const INBOX_MAX: usize = 256;

/// What one datagram brought.
pub(super) enum Piece {
    /// A message.
    Whole(Vec<u8>),
    /// A part of one.
    Part(Part),
}

pub(super) type Arrival = (NodeId, SocketAddr, Piece);

/// Where the membership task leaves what it opened. Its reader is replaced when chitchat's
/// server is started anew; the old server then finds its end of the channel closed and ends.
pub(super) struct FactsInbox {
    reader: Mutex<Option<mpsc::Sender<Arrival>>>,
    counters: Arc<Counters>,
}

impl FactsInbox {
    pub(super) fn new(counters: Arc<Counters>) -> Self {
        Self {
            reader: Mutex::new(None),
            counters,
        }
    }

    /// Leaves something for the reader, or drops it if the reader is behind or absent.
    pub(super) fn put(&self, sender: NodeId, from: SocketAddr, piece: Piece) {
        let reader = self.reader.lock();
        let left = reader
            .as_ref()
            .is_some_and(|reader| reader.try_send((sender, from, piece)).is_ok());
        if !left {
            self.counters.facts_dropped_full.one();
        }
    }

    pub(super) fn open(&self) -> mpsc::Receiver<Arrival> {
        let (sender, receiver) = mpsc::channel(INBOX_MAX);
        *self.reader.lock() = Some(sender);
        receiver
    }
}

/// Opens chitchat's socket.
pub(super) struct FactsTransport {
    pub(super) inbox: Arc<FactsInbox>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) counters: Arc<Counters>,
    pub(super) clock: Clock,
    pub(super) session: u64,
}

#[async_trait]
impl Transport for FactsTransport {
    async fn open(&self, _listen_addr: SocketAddr) -> anyhow::Result<Box<dyn Socket>> {
        Ok(Box::new(FactsSocket {
            arrivals: self.inbox.open(),
            outbox: self.outbox.clone(),
            counters: self.counters.clone(),
            clock: self.clock,
            fragmenter: Fragmenter::new(self.session),
            reassembler: Reassembler::new(),
            message: Vec::new(),
        }))
    }
}

struct FactsSocket {
    arrivals: mpsc::Receiver<Arrival>,
    outbox: Arc<Outbox>,
    counters: Arc<Counters>,
    clock: Clock,
    fragmenter: Fragmenter,
    reassembler: Reassembler,
    message: Vec<u8>,
}

impl FactsSocket {
    /// The message that an arrival completes, if it does and if it is one.
    fn take_in(&mut self, sender: NodeId, piece: Piece) -> Option<ChitchatMessage> {
        let bytes = match piece {
            Piece::Whole(bytes) => Ok(Some(bytes)),
            Piece::Part(part) => {
                let now = self.clock.now().mono;
                self.reassembler.push(now, sender, part)
            }
        };
        let message = match bytes {
            Ok(Some(bytes)) => ChitchatMessage::deserialize(&mut bytes.as_slice()).ok(),
            Ok(None) => return None,
            Err(_) => None,
        };
        if message.is_none() {
            self.counters.facts_dropped_malformed.one();
        }
        message
    }
}

#[async_trait]
impl Socket for FactsSocket {
    /// Never fails: chitchat would end for one datagram that could not be sent.
    async fn send(&mut self, to: SocketAddr, message: ChitchatMessage) -> anyhow::Result<()> {
        self.message.clear();
        message.serialize(&mut self.message);
        match self.fragmenter.payloads(&self.message) {
            Ok(payloads) => payloads
                .iter()
                .for_each(|payload| self.outbox.send(to, payload)),
            Err(_) => self.counters.udp_send_failed.one(),
        }
        Ok(())
    }

    /// Cancel-safe: it waits only for the channel. Fails only when this socket has been
    /// replaced, never for what a datagram holds.
    async fn recv(&mut self) -> anyhow::Result<(SocketAddr, ChitchatMessage)> {
        loop {
            let (sender, from, piece) = self
                .arrivals
                .recv()
                .await
                .context("this server of node facts has been replaced")?;
            if let Some(message) = self.take_in(sender, piece) {
                return Ok((from, message));
            }
        }
    }
}
