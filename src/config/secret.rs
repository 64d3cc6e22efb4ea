//! Shared secrets.

use std::fmt;

use super::value::{KEY_BYTES_MAX, KEY_BYTES_MIN, ValueError};

/// A shared secret. It never shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The bytes as a cluster key, without the white space around them: editors end files with
/// a line feed.
///
/// # Errors
/// [`ValueError::Key`] unless [`KEY_BYTES_MIN`] to [`KEY_BYTES_MAX`] bytes are left.
pub fn cluster_key(bytes: &[u8]) -> Result<Secret, ValueError> {
    let key = bytes.trim_ascii();
    if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len()) {
        return Err(ValueError::Key { length: key.len() });
    }
    Ok(Secret(key.to_vec()))
}
