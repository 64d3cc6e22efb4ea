//! Full sync, answering (PROTOCOL 3.6, R16).
//!
//! The source is one snapshot, read piece by piece as the asker asks: the rows that the asker
//! may lack, and the set of *all* live dots (N23). Nothing of it is held in memory but where
//! the pieces begin.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use super::Partition;
use super::table::row_bytes;
use crate::clock::{ActorId, Clock, DotSet};
use crate::object::Row;
use crate::placement::PartitionId;
use crate::store::StoreError;
use crate::store::engine::{self, EngineError, Reader};
use crate::store::exchange::{FullEnd, FullRequest, FullRows};
use crate::store::mutation::Mutation;

/// The most live dots of one piece, unless one row has more: some 30 KiB, and few enough rows
/// to look at between two requests of clients.
const LIVE_PER_PIECE: u64 = 8 * 1024;

/// How much more is read for one piece than is sent of it, at most: rows that the asker has.
const READ_PER_SENT: usize = 16;

/// What is read at once.
const READ: engine::Piece = engine::Piece {
    rows: 256,
    bytes: 256 * 1024,
};

/// One answer of a [`FullSource`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FullChunk {
    /// A piece.
    Rows(FullRows),
    /// The end.
    End(FullEnd),
}

/// A full sync being served: one snapshot, cut into pieces. A piece that was asked for can be
/// asked for again any number of times. The engine keeps what is replaced meanwhile: drop it
/// when the asker falls silent.
pub struct FullSource {
    partition: PartitionId,
    to: ActorId,
    session: u64,
    clock: Clock,
    rows: Arc<dyn Reader>,
    /// What the asker has.
    asked: Clock,
    /// Bytes of rows in one piece.
    piece_bytes: usize,
    /// Whether the replica was whole.
    vouches: bool,
    /// N23: the live dots that the asker has not are kept from it.
    limited: bool,
    /// The key after which each piece begins that is known so far.
    begins: Vec<Option<Bytes>>,
    /// There is no piece after those.
    is_read: bool,
    rows_total: u64,
    live_total: u64,
}

impl fmt::Debug for FullSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FullSource")
            .field("partition", &self.partition)
            .field("session", &self.session)
            .field("pieces", &self.begins.len())
            .finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Piece {
    rows: Vec<(Bytes, Row)>,
    live: DotSet,
    /// Bytes of its rows.
    sent: usize,
    /// Bytes of all that were looked at.
    read: usize,
}

impl FullSource {
    /// Piece `sequence`, or the end after the last of them; nothing for a piece before whose
    /// predecessor was asked for, and after the end.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`]: then nobody can have the partition from here.
    pub fn chunk(&mut self, sequence: u32) -> Result<Option<FullChunk>, StoreError> {
        let at = usize::try_from(sequence).unwrap_or(usize::MAX);
        if at == self.begins.len() && self.is_read {
            return Ok(Some(FullChunk::End(FullEnd {
                partition: self.partition,
                to: self.to,
                session: self.session,
                rows_total: self.rows_total,
                live_total: self.live_total,
                clock: self.clock.clone(),
                vouches: self.vouches,
            })));
        }
        let Some(begin) = self.begins.get(at) else {
            return Ok(None);
        };
        let piece = self.read(begin.clone());
        let (piece, next) = piece.map_err(|source| StoreError::Unreadable {
            partition: self.partition,
            source,
        })?;
        if at + 1 == self.begins.len() && !self.is_read {
            self.rows_total += piece.rows.len() as u64;
            self.live_total += piece.live.count();
            self.is_read = next.is_none();
            self.begins.extend(next.map(Some));
        }
        Ok(Some(FullChunk::Rows(FullRows {
            partition: self.partition,
            to: self.to,
            session: self.session,
            sequence,
            rows: piece.rows,
            live: piece.live,
        })))
    }

    /// The piece that begins after the key `after`, and the key after which the next begins.
    fn read(&self, mut after: Option<Bytes>) -> Result<(Piece, Option<Bytes>), EngineError> {
        let mut piece = Piece::default();
        loop {
            let rows = self.rows.rows(self.partition, after.as_deref(), READ)?;
            if rows.is_empty() {
                return Ok((piece, None));
            }
            for (key, row) in rows {
                let bytes = row_bytes(&key, &row);
                let is_sent = self.is_lacking(&row);
                if piece.is_full(is_sent.then_some(bytes), self.piece_bytes) {
                    return Ok((piece, after));
                }
                for dot in row.versions.dots() {
                    if !self.limited || self.asked.contains(dot) {
                        piece.live.insert(dot);
                    }
                }
                piece.read += bytes;
                after = Some(key.clone());
                if is_sent {
                    piece.sent += bytes;
                    piece.rows.push((key, row));
                }
            }
        }
    }

    /// Whether the asker may lack something of a row.
    fn is_lacking(&self, row: &Row) -> bool {
        let lacking = |dot| !self.asked.contains(dot);
        !row.residual.is_empty() || row.versions.dots().any(lacking)
    }
}

impl Piece {
    /// Whether the next row, of which so many bytes are sent if any, belongs to the next piece.
    fn is_full(&self, sent: Option<usize>, bytes_max: usize) -> bool {
        let overflows =
            |bytes| !self.rows.is_empty() && self.sent.saturating_add(bytes) > bytes_max;
        sent.is_some_and(overflows)
            || self.live.count() >= LIVE_PER_PIECE
            || self.read >= bytes_max.saturating_mul(READ_PER_SENT)
    }
}

impl Partition {
    /// Takes the snapshot that answers `request` (R7, R16): clock, every row with a live dot
    /// that the asker lacks or with a residual context, and the set of all live dots.
    ///
    /// `session` tells this sync from all others: random bits.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`]: the engine's opening is over.
    pub fn full_source(
        &self,
        request: &FullRequest,
        session: u64,
    ) -> Result<FullSource, StoreError> {
        let rows = self.engine.snapshot(self.id);
        let rows = rows.map_err(|source| StoreError::Unreadable {
            partition: self.id,
            source,
        })?;
        Ok(FullSource {
            partition: self.id,
            to: request.asker,
            session,
            clock: self.clock.clone(),
            rows,
            asked: request.clock.clone(),
            piece_bytes: self.options.delta_bytes,
            vouches: !self.is_rebuilding(),
            limited: self.options.breaks(Mutation::N23),
            begins: vec![None],
            is_read: false,
            rows_total: 0,
            live_total: 0,
        })
    }
}
