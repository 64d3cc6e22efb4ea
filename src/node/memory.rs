//! What a node remembers of its cluster over restarts.

use thiserror::Error;

use crate::clock::NodeId;
use crate::placement::{Founding, Phase, Profile, Record, Roster, RosterError};
use crate::store::StoreError;
use crate::store::codec::{decode, encode};

/// What a node knows of its cluster.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    /// When the cluster began whose copies are whole here.
    pub(super) founding: Option<Founding>,
    pub(super) roster: Roster,
}

/// What is kept of a [`Memory`]: a version, when the cluster began, what is known of members.
type Kept = (u8, Option<Founding>, Vec<(NodeId, Record)>);

/// Version of [`Kept`].
const KEPT_VERSION: u8 = 1;

/// What a kept memory may take decoded: as many names as a roster may have, with the longest
/// names of everything.
const KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;

impl Memory {
    /// As bytes.
    pub(super) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let records = self.roster.records();
        let records = records.map(|(id, record)| (id, record.clone())).collect();
        let kept: Kept = (KEPT_VERSION, self.founding, records);
        encode(&kept).map_err(|error| StoreError::Engine(error.into()))
    }

    /// Of bytes; nothing if they are none: then it is learned again.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, founding, records) = decode::<Kept, KEPT_BYTES_MAX>(bytes).ok()?;
        let mut roster = Roster::default();
        for (id, record) in &records {
            roster.learn(*id, record).ok()?;
        }
        (version == KEPT_VERSION).then_some(Self { founding, roster })
    }
}

/// What a node remembers, as bytes for [`Engine::keep_note`](crate::store::engine::Engine::keep_note),
/// that has been one of these active members from the beginning: for tests and benchmarks that
/// begin in the middle.
///
/// # Errors
/// They cannot be a roster: one of them twice, or zero.
pub fn settled(members: &[NodeId]) -> Result<Vec<u8>, SettledError> {
    let mut roster = Roster::default();
    for id in members {
        roster.join(*id, 1, Profile::new(*id, &id.to_string()))?;
        roster.advance(*id, Phase::Active)?;
    }
    let founding = members
        .iter()
        .min()
        .map(|by| Founding { at_ms: 0, by: *by });
    Ok(Memory { founding, roster }.encode()?)
}

/// Why members are not remembered.
#[derive(Debug, Error)]
pub enum SettledError {
    /// They are no roster.
    #[error(transparent)]
    Roster(#[from] RosterError),
    /// They have no encoding.
    #[error(transparent)]
    Store(#[from] StoreError),
}
