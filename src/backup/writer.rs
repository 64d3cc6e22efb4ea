//! Writing a backup: pieces in, bytes of the file out.

use super::check::{Checker, Totals};
use super::error::{Damage, Flaw};
use super::frame::{Header, Kind, MAGIC, Position, put_frame};
use super::limits::VERSION;

/// Turns pieces into the bytes of a file, in the order in which a node sends them, and checks
/// them as their reader will.
#[derive(Debug)]
pub struct Writer {
    checker: Checker,
    position: Position,
    /// Where the partition begins whose pieces come.
    begins: Position,
}

impl Writer {
    /// Begins a backup, with its first bytes.
    ///
    /// # Errors
    /// A name in the header is too long.
    pub fn begin(header: &Header) -> Result<(Self, Vec<u8>), Damage> {
        let mut writer = Self {
            checker: Checker::new(header),
            position: Position::default(),
            begins: Position::default(),
        };
        let body = header.encode();
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        let readable = Header::decode(&body).map(drop);
        let salt = readable.and_then(|()| writer.frame(&mut out, Kind::Header, [&body, &[]]));
        writer.position.salt = salt.map_err(|flaw| writer.position.damage(None, flaw))?;
        writer.position.at = out.len() as u64;
        writer.begins = writer.position;
        Ok((writer, out))
    }

    /// Some rows of `partition`.
    ///
    /// # Errors
    /// The payload cannot be.
    pub fn rows(&mut self, partition: u16, payload: &[u8]) -> Result<Vec<u8>, Damage> {
        let checked = self.checker.rows(partition, payload);
        self.piece(Kind::Rows, partition, payload, checked)
    }

    /// The end of `partition`.
    ///
    /// # Errors
    /// The payload cannot be, or does not belong to the rows.
    pub fn end(&mut self, partition: u16, payload: &[u8]) -> Result<Vec<u8>, Damage> {
        let checked = self.checker.end(partition, payload);
        let written = self.piece(Kind::End, partition, payload, checked)?;
        self.begins = self.position;
        Ok(written)
    }

    /// The partition that has not ended begins again, from another source: forgets what came of
    /// it. The file goes on after as many bytes as this gives.
    pub fn restart(&mut self) -> u64 {
        self.checker.restart();
        self.position = self.begins;
        self.position.at
    }

    /// The end of the backup, and how much there is.
    ///
    /// # Errors
    /// Partitions are missing.
    pub fn finish(mut self) -> Result<(Vec<u8>, Totals), Damage> {
        let totals = self.checker.totals();
        let body = totals.encode();
        let mut out = Vec::new();
        let whole = self.checker.finish(&body);
        let put = whole.and_then(|()| self.frame(&mut out, Kind::Trailer, [&body, &[]]));
        put.map_err(|flaw| self.position.damage(None, flaw))?;
        Ok((out, totals))
    }

    /// How much there is in the partitions that have ended.
    pub fn totals(&self) -> Totals {
        self.checker.totals()
    }

    fn piece(
        &mut self,
        kind: Kind,
        partition: u16,
        payload: &[u8],
        checked: Result<(), Flaw>,
    ) -> Result<Vec<u8>, Damage> {
        let mut out = Vec::new();
        let body = [&partition.to_le_bytes()[..], payload];
        let put = checked.and_then(|()| self.frame(&mut out, kind, body));
        put.map_err(|flaw| self.position.damage(Some(partition), flaw))?;
        self.position.at += out.len() as u64;
        Ok(out)
    }

    fn frame(&mut self, out: &mut Vec<u8>, kind: Kind, body: [&[u8]; 2]) -> Result<u32, Flaw> {
        let checksum = put_frame(out, &self.position, kind, body)?;
        self.position.frame += 1;
        Ok(checksum)
    }
}
