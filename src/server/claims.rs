//! Which far keys the batches of this node are about.
//!
//! Whether a far key has changed is asked of an owner before a batch has its turn. Of two batches
//! that watch the same key both could be told that it has not, and one of them would undo what
//! the other did. So a batch claims its far keys before it asks, until all its commands are on
//! their way; who finds a key claimed takes it for changed. Its client tries again, as it would
//! after the write that is about to come.
//!
//! Deliberately absent: waiting. An owner that does not answer keeps nobody but who asked it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// The keys that are claimed.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<BTreeSet<Bytes>>);

/// The keys of one batch, which are claimed until it goes out of scope.
#[derive(Debug)]
pub(super) struct Claim {
    claims: Arc<Claims>,
    keys: Vec<Bytes>,
}

impl Claims {
    /// Claims all of these keys; none if one of them is claimed already.
    pub(super) fn claim(self: &Arc<Self>, keys: Vec<Bytes>) -> Option<Claim> {
        let mut claimed = self.0.lock();
        if keys.iter().any(|key| claimed.contains(key)) {
            return None;
        }
        claimed.extend(keys.iter().cloned());
        let claims = Arc::clone(self);
        Some(Claim { claims, keys })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claimed = self.claims.0.lock();
        for key in &self.keys {
            claimed.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_claimed_once_at_a_time() {
        let claims = Arc::new(Claims::default());
        let keys = |names: &[&'static str]| names.iter().map(|name| Bytes::from(*name)).collect();
        let one = claims.claim(keys(&["a", "b"]));
        assert!(one.is_some());
        assert!(claims.claim(keys(&["b", "c"])).is_none());
        // What was not claimed whole is not claimed at all.
        assert!(claims.claim(keys(&["c"])).is_some());
        drop(one);
        assert!(claims.claim(keys(&["a", "b"])).is_some());
    }
}
