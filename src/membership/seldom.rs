//! Doing the same thing about the same address only once in a while.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::machine::Instant;

/// Most addresses remembered; while there are more, new ones wait.
const ADDRS_MAX: usize = 64;

/// When something was last done about each address.
#[derive(Debug)]
pub(super) struct Seldom {
    pause: Duration,
    last: BTreeMap<SocketAddr, Instant>,
}

impl Seldom {
    /// At most once per `pause` and address.
    pub(super) fn every(pause: Duration) -> Self {
        Self {
            pause,
            last: BTreeMap::new(),
        }
    }

    /// Whether something about `addr` may be done now; notes that it is.
    pub(super) fn is_due(&mut self, now: Instant, addr: SocketAddr) -> bool {
        let pause = self.pause;
        self.last.retain(|_, at| now.since(*at) < pause);
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

    const PAUSE: Duration = Duration::from_secs(60);

    #[test]
    fn each_address_once_per_pause() {
        let mut seldom = Seldom::every(PAUSE);
        let addr = "10.0.0.1:1".parse().unwrap();
        assert!(seldom.is_due(Instant::ZERO, addr));
        assert!(!seldom.is_due(Instant::ZERO + PAUSE / 2, addr));
        assert!(seldom.is_due(Instant::ZERO + PAUSE, addr));
        for port in 1..1_000 {
            seldom.is_due(Instant::ZERO + PAUSE, SocketAddr::new(addr.ip(), port));
        }
        assert_eq!(seldom.last.len(), ADDRS_MAX);
    }
}
