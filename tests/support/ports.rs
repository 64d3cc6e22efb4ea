//! Ports for nodes that will be killed and started again.
//!
//! Port 0 would do for a first start, but the system hands such ports out to outgoing
//! connections too, and one of those may sit on a killed node's port when it comes back.
//! These are below the range that systems use by themselves.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

/// First port of ours; `scripts/cluster.sh` has those from 17,000.
const LOW: u16 = 10_000;

/// How many ports there are.
const SPAN: u16 = 7_000;

/// Where one node listens.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// UDP and TCP, for its peers.
    pub cluster: SocketAddr,
    /// TCP, for its clients.
    pub client: SocketAddr,
}

impl Ports {
    /// Two that are free now and that no other test of this process was given lately.
    pub fn free() -> Self {
        Self {
            cluster: free_port(),
            client: free_port(),
        }
    }
}

fn free_port() -> SocketAddr {
    // Processes that run side by side start apart.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = std::process::id().wrapping_mul(97) % u32::from(SPAN);
    let start = u16::try_from(start).expect("below SPAN");
    let tried = (0..SPAN).map(|_| {
        let offset = (start + NEXT.fetch_add(1, Ordering::Relaxed) % SPAN) % SPAN;
        SocketAddr::from((Ipv4Addr::LOCALHOST, LOW + offset))
    });
    let mut free = tried.filter(|addr| is_free(*addr));
    free.next().expect("every port is taken")
}

/// Whether `addr` can be listened on, UDP and TCP.
pub fn is_free(addr: SocketAddr) -> bool {
    TcpListener::bind(addr).is_ok() && UdpSocket::bind(addr).is_ok()
}
