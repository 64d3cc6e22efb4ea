//! The arguments of one command.

use bytes::Bytes;

use super::failure::Failure;
use crate::resp::parse_i64;

/// A command's arguments, its name first.
#[derive(Debug)]
pub(super) struct Args(Vec<Bytes>);

impl Args {
    pub(super) fn new(args: Vec<Bytes>) -> Self {
        Self(args)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn all(&self) -> &[Bytes] {
        &self.0
    }

    /// The arguments from the `n`-th on.
    pub(super) fn from(&self, n: usize) -> &[Bytes] {
        self.0.get(n..).unwrap_or_default()
    }

    /// The `n`-th argument; empty if there is none, which arity has ruled out.
    pub(super) fn bytes(&self, n: usize) -> &[u8] {
        self.0.get(n).map_or(&[], |arg| arg.as_ref())
    }

    /// Takes the `n`-th argument out, without copying it.
    pub(super) fn take(&mut self, n: usize) -> Bytes {
        self.0.get_mut(n).map(std::mem::take).unwrap_or_default()
    }

    /// Takes all arguments from the `n`-th on.
    pub(super) fn take_from(&mut self, n: usize) -> Vec<Bytes> {
        self.0.split_off(n.min(self.0.len()))
    }

    /// Whether the `n`-th argument is this word, in whatever case.
    pub(super) fn is(&self, n: usize, word: &str) -> bool {
        self.0
            .get(n)
            .is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// The `n`-th argument as a whole number.
    pub(super) fn integer(&self, n: usize) -> Result<i64, Failure> {
        parse_i64(self.bytes(n)).ok_or(Failure::NOT_AN_INTEGER)
    }
}
