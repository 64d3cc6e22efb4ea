//! What a shard remembers of those who wait for the disk.

use crate::clock::{ActorId, NodeId};
use crate::placement::PartitionId;

/// Who is told once what is committed is on the disk.
#[derive(Debug)]
pub(super) enum Confirmation {
    /// The wait of a write that this node coordinates.
    Own { partition: PartitionId, id: u64 },
    /// The coordinator of a push.
    Peer {
        partition: PartitionId,
        id: u64,
        to: NodeId,
        actor: ActorId,
    },
}
