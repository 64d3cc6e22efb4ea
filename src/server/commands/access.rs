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
const UPDATE: Access = &["RW", "update"];
const INSERT: Access = &["RW", "insert"];
const REMOVE: Access = &["RW", "delete"];
const TAKE: Access = &["RW", "access", "delete"];

/// The ranges of a command's keys, and what it does to each.
pub(super) fn accesses(spec: &Spec) -> Vec<(Keys, Access)> {
    let one = |place: i64| Keys {
        first: place,
        last: place,
        step: 1,
        ..Keys::NONE
    };
    let others = Keys {
        first: 2,
        ..Keys::ALL
    };
    match spec.name {
        _ if spec.keys == Keys::NONE => Vec::new(),
        "copy" => vec![(one(1), READ), (one(2), OVERWRITE)],
        "sdiffstore" | "sunionstore" => vec![(one(1), OVERWRITE), (others, READ)],
        "sinterstore" => vec![(one(1), UPDATE), (others, READ)],
        "smove" => vec![(one(1), TAKE), (one(2), INSERT)],
        "rename" => vec![(one(1), TAKE), (one(2), OVERWRITE)],
        "renamenx" => vec![(one(1), TAKE), (one(2), &["OW", "insert"])],
        name => vec![(spec.keys, of_one_range(name, spec))],
    }
}

fn of_one_range(name: &str, spec: &Spec) -> Access {
    match name {
        "append" | "hsetnx" | "sadd" => INSERT,
        "del" | "unlink" => &["RM", "delete"],
        "encoding" | "exists" | "freq" | "hexists" | "hlen" | "hstrlen" | "idletime"
        | "refcount" | "scard" | "sismember" | "strlen" | "touch" | "type" | "watch" => &["RO"],
        "expire" | "expireat" | "hmset" | "hset" | "persist" | "pexpire" | "pexpireat"
        | "setrange" => UPDATE,
        "getdel" | "spop" => TAKE,
        "getex" | "getset" | "hincrby" | "hincrbyfloat" => READ_AND_WRITE,
        "hdel" | "srem" => REMOVE,
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
