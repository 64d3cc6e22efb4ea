//! `NETDB BACKUP` and `NETDB RESTORE`: a node's data, piece by piece. `netdb backup` and
//! `netdb restore` are the other end.
//!
//! A backup or restore belongs to the connection that began it and ends with it.

use bytes::Bytes;

use crate::clock::NodeId;
use crate::node::transfer::{Origin, TransferError, TransferReply, TransferRequest};
use crate::resp::{Value, parse_i64};
use crate::server::failure::Failure;
use crate::server::spec::{Arg, Args, Context, Outcome, Spec};

const BASE: Spec = Spec {
    since: "0.1.0",
    ..Spec::NONE
};

const STEP: &[Arg] = &[Arg::of(
    "step",
    "oneof",
    &[Arg::word("begin", "BEGIN"), Arg::word("next", "NEXT")],
)];

const PIECE: &[Arg] = &[
    Arg::new("partition", "integer"),
    Arg::new("piece", "string"),
];

const RESTORE_STEP: &[Arg] = &[Arg::of(
    "step",
    "oneof",
    &[
        Arg::of(
            "begin",
            "block",
            &[
                Arg::word("begin", "BEGIN"),
                Arg::new("partitions", "integer"),
                Arg::new("hash-seed", "integer"),
            ],
        ),
        Arg::of("rows", "block", PIECE).token("ROWS"),
        Arg::of("end", "block", PIECE).token("END"),
        Arg::word("status", "STATUS"),
    ],
)];

pub(super) const BACKUP: Spec = Spec {
    name: "backup",
    arity: 3,
    summary: "Begins a backup of this node, or returns its next piece.",
    args: STEP,
    run: Some(backup),
    ..BASE
};

pub(super) const RESTORE: Spec = Spec {
    name: "restore",
    arity: -3,
    summary: "Begins to merge a backup into this node, takes its next piece, or tells how far \
              it has come.",
    args: RESTORE_STEP,
    run: Some(restore),
    ..BASE
};

fn backup(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let request = match () {
        () if args.is(2, "begin") => TransferRequest::BeginBackup,
        () if args.is(2, "next") => TransferRequest::NextPiece,
        () => return Err(Failure::new("ERR write BACKUP BEGIN or BACKUP NEXT")),
    };
    answer(context, request)
}

fn restore(context: &mut Context<'_>, args: &mut Args) -> Result<Outcome, Failure> {
    let request = match args.len() {
        3 if args.is(2, "status") => TransferRequest::RestoreStatus,
        5 if args.is(2, "begin") => TransferRequest::BeginRestore {
            partitions: small(args, 3)?,
            hash_seed: number(args.bytes(4)).ok_or(Failure::NOT_AN_INTEGER)?,
        },
        5 if args.is(2, "rows") => TransferRequest::RestoreRows {
            partition: small(args, 3)?,
            payload: args.take(4),
        },
        5 if args.is(2, "end") => TransferRequest::RestoreEnd {
            partition: small(args, 3)?,
            payload: args.take(4),
        },
        _ => {
            return Err(Failure::new(
                "ERR write RESTORE BEGIN partitions hash-seed, RESTORE ROWS partition piece, \
                 RESTORE END partition piece, or RESTORE STATUS",
            ));
        }
    };
    answer(context, request)
}

fn answer(context: &mut Context<'_>, request: TransferRequest) -> Result<Outcome, Failure> {
    context.session.transfers = true;
    let client = context.session.record.id;
    let reply = context.store.transfer(client, request);
    let reply = reply.map_err(|error| failure(&error))?;
    Ok(match reply {
        TransferReply::Begun(origin) => begun(context, &origin).into(),
        TransferReply::CatchingUp(peers) => named(context, "wait", &peers).into(),
        TransferReply::Complete(peers) => named(context, "complete", &peers).into(),
        TransferReply::Rows { partition, payload } => piece("rows", partition, payload).into(),
        TransferReply::End { partition, payload } => piece("end", partition, payload).into(),
        TransferReply::Ready => Outcome::Ok,
        TransferReply::Restored(restored) => counts(&restored.fields()).into(),
        TransferReply::Status {
            on_disk,
            behind,
            away,
        } => Value::Map(vec![
            (Value::bulk("on_disk"), Value::Boolean(on_disk)),
            (Value::bulk("behind"), Value::Array(names(context, &behind))),
            (Value::bulk("away"), Value::Array(names(context, &away))),
        ])
        .into(),
    })
}

fn begun(context: &Context<'_>, origin: &Origin) -> Value {
    let status = context.store.status();
    Value::Map(vec![
        (Value::bulk("cluster"), Value::bulk(status.cluster)),
        (Value::bulk("node"), Value::bulk(status.name)),
        (Value::bulk("version"), Value::bulk(status.version)),
        (Value::bulk("partitions"), decimal(origin.partitions.into())),
        (Value::bulk("hash_seed"), decimal(origin.hash_seed)),
        (Value::bulk("taken_ms"), decimal(origin.taken_ms)),
        (Value::bulk("keys"), decimal(origin.keys)),
    ])
}

fn counts(counts: &[(&'static str, u64)]) -> Value {
    let pairs = counts
        .iter()
        .map(|(name, count)| (Value::bulk(*name), decimal(*count)));
    Value::Map(pairs.collect())
}

fn piece(kind: &'static str, partition: u16, payload: Vec<u8>) -> Value {
    Value::Array(vec![
        Value::bulk(kind),
        decimal(partition.into()),
        Value::Bulk(Bytes::from(payload)),
    ])
}

fn named(context: &Context<'_>, kind: &'static str, peers: &[NodeId]) -> Value {
    let mut items = vec![Value::bulk(kind)];
    items.extend(names(context, peers));
    Value::Array(items)
}

/// The names of members, or their ids where the names have not arrived.
fn names(context: &Context<'_>, peers: &[NodeId]) -> Vec<Value> {
    if peers.is_empty() {
        return Vec::new();
    }
    let members = context.store.members();
    let name = |peer: &NodeId| {
        let member = members.iter().find(|member| member.id == *peer);
        member.map_or_else(|| peer.to_string(), |member| member.name.clone())
    };
    peers.iter().map(|peer| Value::bulk(name(peer))).collect()
}

/// Whole numbers of 64 bits, which a RESP integer has no room for.
fn decimal(n: u64) -> Value {
    Value::bulk(n.to_string())
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn small(args: &Args, at: usize) -> Result<u16, Failure> {
    let n = parse_i64(args.bytes(at)).and_then(|n| u16::try_from(n).ok());
    n.ok_or(Failure::NOT_AN_INTEGER)
}

fn failure(error: &TransferError) -> Failure {
    let code = match error {
        TransferError::Busy { .. } => "BUSY",
        TransferError::NotCaughtUp | TransferError::TooLarge { .. } => "TRYAGAIN",
        TransferError::Storage(_) => "IOERR",
        TransferError::WritesStopped(_) => "MISCONF",
        TransferError::ShuttingDown => "SHUTDOWN",
        TransferError::NotBegun { .. }
        | TransferError::Mismatch { .. }
        | TransferError::NoPartition(_)
        | TransferError::OutOfTurn { .. }
        | TransferError::Malformed { .. }
        | TransferError::Refused { .. } => "ERR",
    };
    Failure::new(format!("{code} {error}"))
}
