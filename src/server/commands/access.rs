//! What commands do to their keys, in the words of Redis's key specifications.
//!
//! `RO`, `RW`, `OW`, `RM`: read, read and written, overwritten, removed. Then what becomes of the
//! value: `access` if the client learns it, `insert`, `update`, `delete`.

use bytes::Bytes;

use crate::server::spec::{Keys, Spec};

/// What is done to a key.
pub(super) type Access = &'static [&'static str];

const READ: Access = &["RO", "access"];
const OVERWRITE: Access = &["OW", "update"];
const READ_AND_WRITE: Access = &["RW", "access", "update"];
const TAKE: Access = &["RW", "access", "delete"];

/// The ranges of a command's keys, and what it does to each.
pub(super) fn accesses(spec: &Spec) -> Vec<(Keys, Access)> {
    let one = |place: i64| Keys {
        first: place,
        last: place,
        step: 1,
    };
    match spec.name {
        _ if spec.keys == Keys::NONE => Vec::new(),
        "copy" => vec![(one(1), READ), (one(2), OVERWRITE)],
        "rename" => vec![(one(1), TAKE), (one(2), OVERWRITE)],
        "renamenx" => vec![(one(1), TAKE), (one(2), &["OW", "insert"])],
        name => vec![(spec.keys, of_one_range(name, spec))],
    }
}

fn of_one_range(name: &str, spec: &Spec) -> Access {
    match name {
        "append" => &["RW", "insert"],
        "del" | "unlink" => &["RM", "delete"],
        "encoding" | "exists" | "freq" | "idletime" | "refcount" | "strlen" | "touch" | "type"
        | "watch" => &["RO"],
        "expire" | "expireat" | "persist" | "pexpire" | "pexpireat" | "setrange" => {
            &["RW", "update"]
        }
        "getdel" => TAKE,
        "getex" | "getset" => READ_AND_WRITE,
        "msetnx" | "setnx" => &["OW", "insert"],
        "set" => &["RW", "access", "update", "variable_flags"],
        _ if spec.flags.contains(&"write") => OVERWRITE,
        _ => READ,
    }
}

/// What a command does to its keys where that depends on its other arguments.
pub(super) fn access_of_call(spec: &Spec, command: &[Bytes]) -> Option<Access> {
    if spec.name != "set" {
        return None;
    }
    let mut options = command.iter().skip(3);
    let reads = options.any(|word| word.eq_ignore_ascii_case(b"get"));
    Some(if reads { READ_AND_WRITE } else { OVERWRITE })
}
