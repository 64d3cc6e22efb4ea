//! Full sync, answering (PROTOCOL 3.6, R16).
//!
//! The source cuts one snapshot into pieces: the rows that the asker may lack, and the set of
//! *all* live dots (N23).

use bytes::Bytes;

use super::Partition;
use super::table::row_bytes;
use crate::clock::{ActorId, Clock, DotSet};
use crate::object::Row;
use crate::placement::PartitionId;
use crate::store::exchange::{FullEnd, FullRequest, FullRows};
use crate::store::mutation::Mutation;

/// The most runs of live dots in one piece: about 100 KiB.
const LIVE_RUNS_PER_PIECE: usize = 32 * 1024;

/// One answer of a [`FullSource`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FullChunk {
    /// A piece.
    Rows(FullRows),
    /// The end.
    End(FullEnd),
}

/// A full sync being served: one snapshot, cut into pieces. Any piece can be asked for any
/// number of times. It shares values with the partition, so it costs little but keeps
/// replaced values alive; drop it when the asker falls silent.
#[derive(Debug)]
pub struct FullSource {
    partition: PartitionId,
    to: ActorId,
    session: u64,
    clock: Clock,
    pieces: Vec<Piece>,
    rows_total: u64,
    live_total: u64,
}

#[derive(Debug, Default)]
struct Piece {
    rows: Vec<(Bytes, Row)>,
    live: DotSet,
}

impl FullSource {
    /// Piece `sequence`; the end after the last of them, and nothing after the end.
    pub fn chunk(&self, sequence: u32) -> Option<FullChunk> {
        let at = usize::try_from(sequence).ok()?;
        if at == self.pieces.len() {
            return Some(FullChunk::End(FullEnd {
                partition: self.partition,
                to: self.to,
                session: self.session,
                rows_total: self.rows_total,
                live_total: self.live_total,
                clock: self.clock.clone(),
            }));
        }
        let piece = self.pieces.get(at)?;
        Some(FullChunk::Rows(FullRows {
            partition: self.partition,
            to: self.to,
            session: self.session,
            sequence,
            rows: piece.rows.clone(),
            live: piece.live.clone(),
        }))
    }

    /// How many pieces there are before the end.
    pub fn pieces(&self) -> usize {
        self.pieces.len()
    }
}

impl Partition {
    /// Takes the snapshot that answers `request` (R7, R16): clock, every row with a live dot
    /// that the asker lacks or with a residual context, and the set of all live dots.
    ///
    /// `session` tells this sync from all others: random bits.
    pub fn full_source(&self, request: &FullRequest, session: u64) -> FullSource {
        let mut rows = Vec::new();
        let mut live = DotSet::new();
        for (key, row) in self.table.iter() {
            let lacking = |dot| !request.clock.contains(dot);
            if !row.residual.is_empty() || row.versions.dots().any(lacking) {
                rows.push((key.clone(), row.clone()));
            }
            let limited = self.options.breaks(Mutation::N23);
            for dot in row.versions.dots() {
                if !limited || request.clock.contains(dot) {
                    live.insert(dot);
                }
            }
        }
        FullSource {
            partition: self.id,
            to: request.asker,
            session,
            clock: self.clock.clone(),
            rows_total: rows.len() as u64,
            live_total: live.count(),
            pieces: cut(rows, &live, self.options.delta_bytes),
        }
    }
}

/// Cuts rows and live dots into pieces, side by side.
fn cut(rows: Vec<(Bytes, Row)>, live: &DotSet, bytes_max: usize) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut bytes = bytes_max;
    for (key, row) in rows {
        let more = row_bytes(&key, &row);
        if bytes.saturating_add(more) > bytes_max || pieces.is_empty() {
            pieces.push(Piece::default());
            bytes = 0;
        }
        bytes += more;
        if let Some(piece) = pieces.last_mut() {
            piece.rows.push((key, row));
        }
    }
    for (at, live) in live.split(LIVE_RUNS_PER_PIECE).into_iter().enumerate() {
        if at == pieces.len() {
            pieces.push(Piece::default());
        }
        if let Some(piece) = pieces.get_mut(at) {
            piece.live = live;
        }
    }
    // The asker stages at least one piece, so that an end always has something to end.
    if pieces.is_empty() {
        pieces.push(Piece::default());
    }
    pieces
}
