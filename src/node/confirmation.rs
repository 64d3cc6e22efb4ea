//! What a shard remembers of those who wait for the disk.

use super::effect::Effect;
use crate::clock::{ActorId, NodeId};
use crate::placement::PartitionId;
use crate::replication::Message;

/// Who is told once what is committed is on the disk.
#[derive(Debug)]
pub(super) enum Confirmation {
    /// The wait of a write that this node coordinates.
    Own { partition: PartitionId, id: u64 },
    /// The coordinator of a push.
    Peer(AppliedPush),
    /// A node that wants to give up its copy of a partition.
    Held {
        partition: PartitionId,
        /// The question's own.
        id: u64,
        asker: NodeId,
        /// The asker's opening.
        actor: ActorId,
    },
}

/// A push that was applied here.
#[derive(Debug)]
pub(super) struct AppliedPush {
    pub(super) partition: PartitionId,
    /// The push's own.
    pub(super) id: u64,
    pub(super) coordinator: NodeId,
    /// The coordinator's opening.
    pub(super) actor: ActorId,
}

impl AppliedPush {
    /// Tells the coordinator.
    pub(super) fn told<W>(self) -> Effect<W> {
        Effect::Send {
            to: self.coordinator,
            message: Message::Pushed {
                partition: self.partition,
                id: self.id,
                to: self.actor,
            },
        }
    }
}
