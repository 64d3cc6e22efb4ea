//! Saying the same thing only once in a while.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::machine::Instant;

/// How long the same address is not reported again: it knocks every few seconds, for ever.
const PAUSE: Duration = Duration::from_secs(60);

/// Most addresses remembered; while there are more, new ones wait.
const ADDRS_MAX: usize = 64;

/// When each address was last reported.
#[derive(Debug, Default)]
pub(super) struct Reported {
    last: BTreeMap<SocketAddr, Instant>,
}

impl Reported {
    /// Whether something about `addr` may be reported now; notes that it is.
    pub(super) fn is_due(&mut self, now: Instant, addr: SocketAddr) -> bool {
        self.last.retain(|_, at| now.since(*at) < PAUSE);
        if self.last.contains_key(&addr) || self.last.len() >= ADDRS_MAX {
            return false;
        }
        self.last.insert(addr, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_once_a_minute() {
        let mut reported = Reported::default();
        let addr = "10.0.0.1:1".parse().unwrap();
        assert!(reported.is_due(Instant::ZERO, addr));
        assert!(!reported.is_due(Instant::ZERO + PAUSE / 2, addr));
        assert!(reported.is_due(Instant::ZERO + PAUSE, addr));
        for port in 1..1_000 {
            reported.is_due(Instant::ZERO + PAUSE, SocketAddr::new(addr.ip(), port));
        }
        assert_eq!(reported.last.len(), ADDRS_MAX);
    }
}
