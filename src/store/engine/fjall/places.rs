//! Places: how the keys of the database are made and read.

use std::ops::Bound;

use blake2::{Blake2s256, Digest};
use bytes::Bytes;

use crate::clock::{ActorId, NodeId};
use crate::placement::PartitionId;
use crate::store::derived::Index;
use crate::store::engine::EngineError;

/// Names up to this long are whole in their place. The database's own limit is 65,535 bytes,
/// all else of the place included; a longer name is cut there and followed by its hash, so
/// that it still lies among its neighbours, and is whole in the record.
pub(super) const PLAIN_NAME_MAX: usize = 32 * 1024;

/// Bytes of the partition that every place begins with.
pub(super) const PARTITION_BYTES: usize = 2;

/// Bytes of the partition and the kind of an index.
const INDEX_BYTES: usize = PARTITION_BYTES + 1;

/// Tags of the kinds of indexes, in the order of [`Index`].
const TAG_HASH: u8 = 0;
const TAG_RESIDUAL: u8 = 1;
const TAG_ENDS: u8 = 2;
const TAG_OVERSIZED: u8 = 3;
const TAG_ELEMENTS: u8 = 4;

/// Tags of the kinds of marks.
const TAG_FROZEN: u8 = 0;
const TAG_PEER: u8 = 1;
const TAG_REBUILDING: u8 = 2;

/// The place of everything about a partition that there is one of, and what the places of all
/// else of it begin with.
pub(super) fn partition_place(partition: PartitionId) -> Vec<u8> {
    partition.0.to_be_bytes().to_vec()
}

pub(super) fn row_place(partition: PartitionId, key: &[u8]) -> Vec<u8> {
    let mut place = partition_place(partition);
    put_name(&mut place, key);
    place
}

pub(super) fn index_place(partition: PartitionId, index: Index, key: &[u8]) -> Vec<u8> {
    let mut place = index_prefix(partition, index);
    put_name(&mut place, key);
    place
}

/// What the places of all keys of one index begin with.
pub(super) fn index_prefix(partition: PartitionId, index: Index) -> Vec<u8> {
    let mut place = partition_place(partition);
    match index {
        Index::Hash(hash) => {
            place.push(TAG_HASH);
            place.extend_from_slice(&hash.to_be_bytes());
        }
        Index::Residual(actor, n) => {
            place.push(TAG_RESIDUAL);
            put_actor(&mut place, actor);
            place.extend_from_slice(&n.to_be_bytes());
        }
        Index::Ends(at_ms) => {
            place.push(TAG_ENDS);
            place.extend_from_slice(&at_ms.to_be_bytes());
        }
        Index::Oversized => place.push(TAG_OVERSIZED),
        Index::Elements => place.push(TAG_ELEMENTS),
    }
    place
}

/// The index that a place is of, and where the name in it begins.
pub(super) fn index_of(place: &[u8]) -> Result<(Index, usize), EngineError> {
    let at = INDEX_BYTES;
    let index = match (place.get(PARTITION_BYTES), word(place, at)) {
        (Some(&TAG_HASH), Some(hash)) => Some((Index::Hash(hash), at + 8)),
        (Some(&TAG_RESIDUAL), Some(node)) => {
            let rest = (word(place, at + 8), word(place, at + 16));
            match rest {
                (Some(incarnation), Some(n)) => {
                    let node = NodeId(node);
                    let actor = ActorId { node, incarnation };
                    Some((Index::Residual(actor, n), at + 24))
                }
                _ => None,
            }
        }
        (Some(&TAG_ENDS), Some(at_ms)) => Some((Index::Ends(at_ms), at + 8)),
        (Some(&TAG_OVERSIZED), _) => Some((Index::Oversized, at)),
        (Some(&TAG_ELEMENTS), _) => Some((Index::Elements, at)),
        _ => None,
    };
    index.ok_or(EngineError::Damaged("unknown form of an index"))
}

/// What a record holds of a name that is not whole in the record's place.
pub(super) fn long_name(key: &Bytes) -> Option<&Bytes> {
    (key.len() > PLAIN_NAME_MAX).then_some(key)
}

/// The key whose name begins at `at` in `place`, of which the record holds `whole`.
pub(super) fn key_of(place: &[u8], at: usize, whole: Option<Bytes>) -> Result<Bytes, EngineError> {
    let name = place.get(at..).unwrap_or_default();
    match (name.len() > PLAIN_NAME_MAX, whole) {
        (false, None) => Ok(Bytes::copy_from_slice(name)),
        (true, Some(key)) => Ok(key),
        _ => Err(EngineError::Damaged("unknown form of a key")),
    }
}

fn put_name(place: &mut Vec<u8>, key: &[u8]) {
    match key.split_at_checked(PLAIN_NAME_MAX) {
        Some((begin, rest)) if !rest.is_empty() => {
            place.extend_from_slice(begin);
            place.extend_from_slice(&Blake2s256::digest(key));
        }
        _ => place.extend_from_slice(key),
    }
}

/// The first place after all that begin with `prefix`.
pub(super) fn end_of(mut prefix: Vec<u8>) -> Bound<Vec<u8>> {
    while let Some(last) = prefix.pop() {
        if let Some(next) = last.checked_add(1) {
            prefix.push(next);
            return Bound::Excluded(prefix);
        }
    }
    Bound::Unbounded
}

pub(super) fn clock_place(partition: PartitionId, actor: ActorId) -> Vec<u8> {
    let mut place = partition_place(partition);
    put_actor(&mut place, actor);
    place
}

fn put_actor(place: &mut Vec<u8>, actor: ActorId) {
    place.extend_from_slice(&actor.node.0.to_be_bytes());
    place.extend_from_slice(&actor.incarnation.to_be_bytes());
}

pub(super) fn actor_of(place: &[u8]) -> Result<ActorId, EngineError> {
    match (word(place, 2), word(place, 10), place.len()) {
        (Some(node), Some(incarnation), 18) => Ok(ActorId {
            node: NodeId(node),
            incarnation,
        }),
        _ => Err(EngineError::Damaged("unknown form of an actor")),
    }
}

/// Something about a partition that is so or is not.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    Frozen(ActorId),
    Peer(NodeId),
    Rebuilding,
}

impl Mark {
    /// Whether it says that there is, or was, another replica: one is known, or is waited for
    /// because it has what is not here.
    pub(super) fn is_of_another(self) -> bool {
        match self {
            Self::Peer(_) | Self::Rebuilding => true,
            Self::Frozen(_) => false,
        }
    }
}

pub(super) fn mark_place(partition: PartitionId, mark: Mark) -> Vec<u8> {
    let mut place = partition_place(partition);
    match mark {
        Mark::Frozen(actor) => {
            place.push(TAG_FROZEN);
            put_actor(&mut place, actor);
        }
        Mark::Peer(node) => {
            place.push(TAG_PEER);
            place.extend_from_slice(&node.0.to_be_bytes());
        }
        Mark::Rebuilding => place.push(TAG_REBUILDING),
    }
    place
}

pub(super) fn mark_of(place: &[u8]) -> Result<Mark, EngineError> {
    match (place.get(2), word(place, 3), word(place, 11), place.len()) {
        (Some(&TAG_FROZEN), Some(node), Some(incarnation), 19) => Ok(Mark::Frozen(ActorId {
            node: NodeId(node),
            incarnation,
        })),
        (Some(&TAG_PEER), Some(node), _, 11) => Ok(Mark::Peer(NodeId(node))),
        (Some(&TAG_REBUILDING), _, _, 3) => Ok(Mark::Rebuilding),
        _ => Err(EngineError::Damaged("unknown form of a mark")),
    }
}

fn word(place: &[u8], at: usize) -> Option<u64> {
    let bytes = place.get(at..at.checked_add(8)?)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}
