//! Who a member is, and which of two claims to one name is the newer.
//!
//! A member is named by its [`NodeId`]: SWIM keeps one entry per id, whatever address or
//! life it has. [`Identity::generation`] tells lives of a node apart (it grows with every
//! start of the process), [`Identity::bump`] the names it took within one life after it was
//! wrongly declared failed. The greater `(generation, bump, addr)` replaces the lesser.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::clock::NodeId;

/// Highest generation that is believed. Generations are Unix milliseconds (or a stored
/// number plus one), so this is the year 10889; a forged greater one would shut out the
/// real owner of the name for as long as the cluster remembers it.
pub const GENERATION_MAX: u64 = 1 << 48;

/// Highest bump that is believed. A node renews a few times a day at worst; past this it
/// takes the next generation instead, so a forged highest bump shuts nobody out.
pub const BUMP_MAX: u32 = 1 << 24;

/// One name of one life of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The node: stable over restarts and address changes.
    pub id: NodeId,
    /// Which life of the node: greater than that of every earlier start.
    pub generation: u64,
    /// Which name within this life: raised each time the cluster wrongly buried the node.
    pub bump: u32,
    /// Where the cluster reaches it.
    pub addr: SocketAddr,
}

/// Why an identity from the network is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The id is zero, which names nobody.
    #[error("the node id is zero, a member's id is not")]
    ZeroId,
    /// The generation is zero or above [`GENERATION_MAX`].
    #[error("the generation is outside 1..={GENERATION_MAX}")]
    Generation,
    /// The bump is above [`BUMP_MAX`].
    #[error("the bump is above {BUMP_MAX}")]
    Bump,
    /// Nobody can be reached there: port 0, unspecified, multicast or broadcast.
    #[error("the address is not one member's: port 0, unspecified, multicast or broadcast")]
    Address,
}

impl Identity {
    /// Whether the identity can be one: outside data is checked before anything else.
    ///
    /// # Errors
    /// The first [`IdentityError`] found.
    pub fn check(&self) -> Result<(), IdentityError> {
        if self.id.0 == 0 {
            return Err(IdentityError::ZeroId);
        }
        if self.generation == 0 || self.generation > GENERATION_MAX {
            return Err(IdentityError::Generation);
        }
        if self.bump > BUMP_MAX {
            return Err(IdentityError::Bump);
        }
        if !is_reachable(&self.addr) {
            return Err(IdentityError::Address);
        }
        Ok(())
    }

    /// Whether this is a newer claim to the same name than `other`.
    pub fn supersedes(&self, other: &Self) -> bool {
        self.rank() > other.rank()
    }

    /// An identity of this node that supersedes both itself and `other`, if the bounds
    /// leave one: the next bump of this life, or else the next life, so that a name of
    /// another life is never taken for a name of this one.
    pub fn outranking(&self, other: &Self) -> Option<Self> {
        let (generation, bump) = (self.generation, self.bump).max((other.generation, other.bump));
        let next_bump = (bump < BUMP_MAX).then(|| Self {
            generation,
            bump: bump + 1,
            ..*self
        });
        if generation == self.generation && next_bump.is_some() {
            return next_bump;
        }
        if generation < GENERATION_MAX {
            return Some(Self {
                generation: generation + 1,
                bump: 0,
                ..*self
            });
        }
        next_bump
    }

    fn rank(&self) -> (u64, u32, SocketAddr) {
        (self.generation, self.bump, self.addr)
    }
}

impl foca::Identity for Identity {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        self.outranking(self)
    }

    fn addr(&self) -> NodeId {
        self.id
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.supersedes(adversary)
    }
}

/// Whether one member can be reached at `addr`.
pub(super) fn is_reachable(addr: &SocketAddr) -> bool {
    let ip = addr.ip();
    let broadcast = matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast());
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(generation: u64, bump: u32, addr: &str) -> Identity {
        Identity {
            id: NodeId(7),
            generation,
            bump,
            addr: addr.parse().unwrap(),
        }
    }

    #[test]
    fn only_possible_identities_pass() {
        let good = identity(1, 0, "127.0.0.1:7000");
        assert_eq!(good.check(), Ok(()));
        let zero = Identity {
            id: NodeId(0),
            ..good
        };
        assert_eq!(zero.check(), Err(IdentityError::ZeroId));
        for generation in [0, GENERATION_MAX + 1, u64::MAX] {
            let forged = Identity { generation, ..good };
            assert_eq!(forged.check(), Err(IdentityError::Generation));
        }
        let forged = Identity {
            bump: u32::MAX,
            ..good
        };
        assert_eq!(forged.check(), Err(IdentityError::Bump));
        for addr in [
            "0.0.0.0:1",
            "[::]:1",
            "224.0.0.1:1",
            "[ff02::1]:1",
            "10.0.0.1:0",
            "255.255.255.255:1",
        ] {
            let forged = identity(1, 0, addr);
            assert_eq!(forged.check(), Err(IdentityError::Address), "{addr}");
        }
    }

    #[test]
    fn a_later_life_and_a_later_name_supersede() {
        let old = identity(5, 3, "127.0.0.1:7000");
        assert!(identity(6, 0, "127.0.0.1:1").supersedes(&old));
        assert!(identity(5, 4, "127.0.0.1:1").supersedes(&old));
        assert!(!old.supersedes(&old));
    }

    #[test]
    fn outranking_supersedes_both_and_keeps_the_bounds() {
        let me = identity(5, 3, "127.0.0.1:7000");
        let others = [
            identity(4, 9, "127.0.0.1:7001"),
            identity(5, 3, "127.0.0.1:7001"),
            identity(5, BUMP_MAX, "127.0.0.1:7001"),
            identity(9, 2, "127.0.0.1:7001"),
            identity(GENERATION_MAX, 0, "127.0.0.1:7001"),
        ];
        for other in others {
            let next = me.outranking(&other).unwrap();
            assert!(next.supersedes(&me) && next.supersedes(&other));
            assert_eq!(next.check(), Ok(()));
        }
        let highest = identity(GENERATION_MAX, BUMP_MAX, "127.0.0.1:1");
        assert_eq!(me.outranking(&highest), None);
    }
}
