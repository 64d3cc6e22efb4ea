//! The sending side of the UDP socket, shared by membership and node facts.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use parking_lot::Mutex;
use rand::Rng;

use super::counters::Counters;
use super::cuts;
use crate::wire::{DATAGRAM_BYTES_MAX, DatagramSealer};

/// Seals and sends. Sending never waits: a datagram that the kernel does not take at once is
/// dropped and counted, as the network might have done.
pub(super) struct Outbox {
    socket: UdpSocket,
    sealing: Mutex<(DatagramSealer, Vec<u8>)>,
    counters: Arc<Counters>,
}

impl Outbox {
    /// Sends through `socket`, which must not block.
    pub(super) fn new(socket: UdpSocket, sealer: DatagramSealer, counters: Arc<Counters>) -> Self {
        Self {
            socket,
            sealing: Mutex::new((sealer, Vec::with_capacity(DATAGRAM_BYTES_MAX))),
            counters,
        }
    }

    /// Seals and sends one payload, or drops it if the kernel does not take it at once.
    pub(super) fn send(&self, to: SocketAddr, payload: &[u8]) {
        if cuts::is_cut(to) {
            return;
        }
        let mut nonce = [0; 24];
        rand::rng().fill_bytes(&mut nonce);
        let mut sealing = self.sealing.lock();
        let (sealer, sealed) = &mut *sealing;
        let sent = match sealer.seal_into(nonce, payload, sealed) {
            Ok(()) => self.socket.send_to(sealed, to).ok(),
            Err(_) => None,
        };
        match sent {
            Some(bytes) => {
                self.counters.udp_datagrams_sent.one();
                self.counters.udp_bytes_sent.add(bytes);
            }
            None => self.counters.udp_send_failed.one(),
        }
    }
}
