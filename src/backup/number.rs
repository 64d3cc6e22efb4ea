//! Numbers and byte strings, read with bounds.

use super::error::Flaw;

/// Appends a number: 7 bits per byte, lowest first.
pub(super) fn put_number(out: &mut Vec<u8>, mut n: u64) {
    while n > 0x7f {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Appends how many of something follow.
pub(super) fn put_count(out: &mut Vec<u8>, count: usize) {
    put_number(out, count as u64);
}

/// Appends a byte string.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_count(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Reads what a frame holds, from its start. Nothing that it gives was allocated for.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn u8(&mut self) -> Result<u8, Flaw> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Flaw> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Flaw> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Flaw> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A number, in the one form that [`put_number`] gives it.
    pub(super) fn number(&mut self) -> Result<u64, Flaw> {
        let mut n = 0u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(Flaw::Number);
            }
            n |= bits << shift;
            if byte & 0x80 == 0 {
                let padded = byte == 0 && shift > 0;
                return if padded { Err(Flaw::Number) } else { Ok(n) };
            }
        }
        Err(Flaw::Number)
    }

    /// How many of something follow, each of which takes `bytes_min` bytes at least.
    pub(super) fn count(
        &mut self,
        what: &'static str,
        limit: usize,
        bytes_min: usize,
    ) -> Result<usize, Flaw> {
        let count = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        if count > limit {
            return Err(Flaw::Limit { what, limit });
        }
        if count.saturating_mul(bytes_min) > self.rest.len() {
            return Err(Flaw::Short);
        }
        Ok(count)
    }

    /// A byte string of at most `limit` bytes.
    pub(super) fn bytes(&mut self, what: &'static str, limit: usize) -> Result<&'a [u8], Flaw> {
        let length = self.count(what, limit, 1)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Flaw::Short)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<(), Flaw> {
        match self.rest.len() {
            0 => Ok(()),
            more => Err(Flaw::Long(more)),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Flaw> {
        let (array, rest) = self.rest.split_first_chunk().ok_or(Flaw::Short)?;
        self.rest = rest;
        Ok(*array)
    }
}
