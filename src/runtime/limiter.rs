//! Warnings at a bounded rate: a stranger must not be able to fill the log.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A reason is logged at most this often; what happened in between is counted with it.
const PAUSE: Duration = Duration::from_secs(10);

/// When each kind of warning was last let through. Kinds are few and fixed: they are
/// reasons, never addresses or other things that a stranger chooses.
#[derive(Debug, Default)]
pub(super) struct Limiter {
    kinds: Mutex<BTreeMap<&'static str, Kind>>,
}

#[derive(Debug)]
struct Kind {
    last: Instant,
    suppressed: u64,
}

impl Limiter {
    /// Whether a warning of this kind may be logged now; then with how many of its kind were
    /// suppressed since the last one.
    pub(super) fn admit(&self, kind: &'static str) -> Option<u64> {
        let now = Instant::now();
        let mut kinds = self.kinds.lock();
        let Some(known) = kinds.get_mut(kind) else {
            let first = Kind {
                last: now,
                suppressed: 0,
            };
            kinds.insert(kind, first);
            return Some(0);
        };
        if now.duration_since(known.last) < PAUSE {
            known.suppressed = known.suppressed.saturating_add(1);
            return None;
        }
        known.last = now;
        Some(std::mem::take(&mut known.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_logged_once_per_pause() {
        let limiter = Limiter::default();
        assert_eq!(limiter.admit("a"), Some(0));
        assert_eq!(limiter.admit("b"), Some(0));
        assert_eq!((limiter.admit("a"), limiter.admit("a")), (None, None));
        let mut kinds = limiter.kinds.lock();
        let since = Instant::now().checked_sub(PAUSE).unwrap();
        kinds.get_mut("a").unwrap().last = since;
        drop(kinds);
        assert_eq!(limiter.admit("a"), Some(2));
    }
}
