//! Full sync: for a peer that is below the floor of the log, or new (PROTOCOL 3.6, R16).
//!
//! The source cuts one snapshot into pieces: the rows that the asker may lack, and the set of
//! *all* live dots (N23). The asker stages them; nothing takes effect before the end has come
//! and everything is there (N22, N33), and then all of it in one batch.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::absorb::{SharedContext, check_merged, conflicts};
use super::table::row_bytes;
use super::{Advance, Applied, Partition, strip};
use crate::clock::{ActorId, Clock, DotSet};
use crate::object::{Object, Row};
use crate::placement::PartitionId;
use crate::store::exchange::{FullEnd, FullNext, FullRequest, FullRows};
use crate::store::{Refusal, StoreError};

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

/// The pieces of a running full sync that have come so far.
#[derive(Debug)]
pub(super) struct Stage {
    session: u64,
    next: u32,
    rows: BTreeMap<Bytes, Row>,
    live: DotSet,
    bytes: usize,
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
            for dot in row.versions.dots() {
                live.insert(dot);
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

    /// Puts a piece of a full sync aside, and says which to ask for next. The first piece of
    /// another sync takes the place of a running one; a piece that was there already is not
    /// taken twice.
    pub fn stage(&mut self, piece: FullRows) -> Result<FullNext, Refusal> {
        self.check_address(piece.partition, piece.to)?;
        for (key, row) in &piece.rows {
            self.check_row(key, row)?;
        }
        self.check_live(&piece.live)?;
        let running = self.stage.as_ref();
        if piece.sequence == 0 && running.is_none_or(|stage| stage.session != piece.session) {
            self.stage = Some(Stage::new(piece.session));
        }
        let bytes_max = self.options.stage_bytes_max;
        let stage = self.stage.as_mut().ok_or(Refusal::UnknownSession)?;
        let taken = stage.take(piece, bytes_max);
        if taken == Err(Refusal::TooLarge) || taken == Err(Refusal::CoversMismatch) {
            self.stage = None;
        }
        let (session, sequence) = taken?;
        Ok(FullNext {
            partition: self.id,
            session,
            sequence,
        })
    }

    /// Drops the pieces of a full sync whose source has fallen silent.
    pub fn unstage(&mut self) {
        self.stage = None;
    }

    /// Makes a staged full sync take effect, in one batch (R16).
    ///
    /// Staged rows are merged as in a delta. Own versions that the source has known and does
    /// not hold are gone there: overwritten or deleted, so they go here. The clock takes in
    /// the source's whole clock, and the floor rises over what came with it.
    pub fn apply_full(&mut self, end: FullEnd, wall_ms: u64) -> Result<Applied, StoreError> {
        if let Err(refusal) = self.check_end(&end) {
            return Ok(Applied::Refused(refusal));
        }
        let Some(stage) = self.stage.take() else {
            return Ok(Applied::Refused(Refusal::UnknownSession));
        };
        let missing = end.clock.minus(&self.clock);
        let mut advance = Advance::new(&self.clock);
        advance.join(&end.clock);
        let (merged, conflicts) = self.merge_stage(&stage, &end.clock, &advance);
        if let Err(refusal) = check_merged(&advance, merged.values()) {
            return Ok(Applied::Refused(refusal));
        }
        let rows: Vec<_> = merged
            .into_iter()
            .map(|(key, object)| (key, strip(object.versions, object.context, &advance)))
            .filter(|(key, row)| self.table.get(key) != row.as_ref())
            .collect();
        if rows.is_empty() && advance.is_empty() {
            return Ok(Applied::Duplicate);
        }
        let step = self.step(rows, advance, Vec::new());
        self.commit(step)?;
        for (actor, runs) in missing.actors() {
            self.log.raise_floor(actor, runs.last().unwrap_or(0));
        }
        let versions = stage.rows.values().map(|row| &row.versions);
        self.learn(versions, conflicts, wall_ms);
        Ok(Applied::New)
    }

    /// Everything of the sync is there, and it does not contradict itself.
    fn check_end(&mut self, end: &FullEnd) -> Result<(), Refusal> {
        self.check_address(end.partition, end.to)?;
        self.check_clock(&end.clock)?;
        let stage = self.stage.as_ref().ok_or(Refusal::UnknownSession)?;
        if stage.session != end.session {
            return Err(Refusal::UnknownSession);
        }
        if !stage.is_whole(end) {
            self.stage = None;
            return Err(Refusal::Incomplete);
        }
        Ok(())
    }

    /// The rows that the sync touches, merged, and how many dots were in conflict.
    fn merge_stage(
        &self,
        stage: &Stage,
        source: &Clock,
        advance: &Advance<'_>,
    ) -> (BTreeMap<Bytes, Object>, u64) {
        let base = source.base_vector();
        let shared = SharedContext::new(&base, advance);
        let gone = |dot| source.contains(dot) && !stage.live.contains(dot);
        let mut touched = BTreeMap::new();
        let mut broken = 0;
        for (key, row) in &stage.rows {
            let local = self.row(key);
            let remote = shared.object(row, &local.versions);
            broken += conflicts(&local.versions, &row.versions);
            let object = self.fill_for(&local, &row.versions).merge(&remote);
            touched.insert(self.shared_key(key), object);
        }
        for (key, row) in self.table.iter() {
            if !touched.contains_key(key) && row.versions.dots().any(gone) {
                let object = Object {
                    context: row.own_context(),
                    versions: row.versions.clone(),
                };
                touched.insert(key.clone(), object);
            }
        }
        for object in touched.values_mut() {
            object.versions.retain(|dot, _| !gone(dot));
        }
        (touched, broken)
    }
}

impl Stage {
    fn new(session: u64) -> Self {
        Self {
            session,
            next: 0,
            rows: BTreeMap::new(),
            live: DotSet::new(),
            bytes: 0,
        }
    }

    /// Whether everything that `end` counts is here and within its clock.
    fn is_whole(&self, end: &FullEnd) -> bool {
        let mut dots = self.rows.values().flat_map(|row| row.versions.dots());
        self.rows.len() as u64 == end.rows_total
            && self.live.count() == end.live_total
            && end.clock.covers(&self.live)
            && dots.all(|dot| self.live.contains(dot))
    }

    /// Takes a piece in; gives back the session and the piece to ask for next.
    fn take(&mut self, piece: FullRows, bytes_max: usize) -> Result<(u64, u32), Refusal> {
        if piece.session != self.session || piece.sequence > self.next {
            return Err(Refusal::UnknownSession);
        }
        if piece.sequence < self.next {
            return Ok((self.session, self.next));
        }
        const PER_RUN: usize = 64;
        self.bytes += piece.live.len() * PER_RUN;
        for (key, row) in piece.rows {
            self.bytes += row_bytes(&key, &row);
            if self.rows.insert(key, row).is_some() {
                return Err(Refusal::CoversMismatch);
            }
        }
        if self.bytes > bytes_max {
            return Err(Refusal::TooLarge);
        }
        self.live.join(&piece.live);
        self.next = self.next.saturating_add(1);
        Ok((self.session, self.next))
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
