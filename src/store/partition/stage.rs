//! The pieces of a full sync that have come so far (PROTOCOL 3.6).

use std::collections::BTreeMap;

use bytes::Bytes;

use super::table::row_bytes;
use crate::clock::DotSet;
use crate::object::Row;
use crate::store::Refusal;
use crate::store::exchange::{FullEnd, FullRows};

/// The pieces of a running full sync that have come so far.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) session: u64,
    pub(super) next: u32,
    pub(super) rows: BTreeMap<Bytes, Row>,
    pub(super) live: DotSet,
    bytes: usize,
}

impl Stage {
    pub(super) fn new(session: u64) -> Self {
        Self {
            session,
            next: 0,
            rows: BTreeMap::new(),
            live: DotSet::new(),
            bytes: 0,
        }
    }

    /// Whether everything that `end` counts is here and within its clock.
    pub(super) fn is_whole(&self, end: &FullEnd) -> bool {
        let mut dots = self.rows.values().flat_map(|row| row.versions.dots());
        self.rows.len() as u64 == end.rows_total
            && self.live.count() == end.live_total
            && end.clock.covers(&self.live)
            && dots.all(|dot| self.live.contains(dot))
    }

    /// Takes a piece in; gives back the session and the piece to ask for next.
    pub(super) fn take(
        &mut self,
        piece: FullRows,
        bytes_max: usize,
    ) -> Result<(u64, u32), Refusal> {
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
